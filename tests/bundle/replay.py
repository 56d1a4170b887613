"""Replays worlds through promtool, a batch at a time, and says where the rules and the model disagree.

The verdict compared is `ALERTS{alertname="HeartbeatMiss"}` with all its labels, and the lateness is `time()` minus
the latch; that the annotation `late_sec` is this number is asserted in test_alerts.py. Annotations and rules
that decide nothing about a miss are left out, which more than halves the time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import yaml
from tests.bundle.model import Prometheus, Promise, Sighting, Watcher
from tests.bundle.world import BUSES, DAWN, Scrape, World

from healer.bundle import Settings, render, shape
from healer.truth.model import Bus, Monitor, Service, Truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from healer.stack.servers import Program

RULES = "rules/heartbeat.rules.yml"
MISSES = 'ALERTS{alertname="HeartbeatMiss"}'
LATE = "time() - max by (svc) (svc:heartbeat_silent_since_timestamp_seconds:latched)"
_FAILURE = re.compile(r'expr: "(.*)", time: (\S+),\n\s*exp: ?(.*)\n\s*got: ?(.*)')
_SAMPLE = re.compile(r'\{[^}]*svc="(\w+)"[^}]*\} ([^\s,]+)')
_DURATION = re.compile(r"(\d+)(ms|[hms])")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

Verdicts = dict[float, dict[str, float]]
"""By time of evaluation: how late each missing service is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What the model and the rules make of one service at one evaluation: seconds late, None for not missing."""

    at: float
    service: str
    model: float | None
    rules: float | None


def evaluations(world: World) -> range:
    """When the rules are evaluated, counted from the beginning of the world."""
    return range(0, world.pace.horizon + 1, world.pace.evaluation)


def judged(world: World, *, closed: bool, memory: float = 0.0, attentive: bool = False) -> Verdicts:
    """What the model says of `world` at each evaluation; an attentive one heeds each scrape between them too.

    Services become known every `memory` seconds, after the evaluation; 0: by each, before it. Those who were shown by
    nobody who is believed have to stand in an evaluation before.
    """
    verdicts: Verdicts = {at: {} for at in evaluations(world)}
    for service in world.services:
        own = world.pace.own_timeout
        fresh = max(2 * own, 3 * Settings().scrape_interval)
        watcher = Watcher(Promise(service.interval, service.timeout, own, fresh))
        held = [Prometheus(closed=closed) for _ in world.replicas]
        pending = [iter([*scrapes]) for scrapes in world.scrapes]
        upcoming = [next(each, None) for each in pending]
        watcher.known = not memory
        shown, stands, stood = False, [False for _ in world.replicas], False
        for at in verdicts:
            for index, prometheus in enumerate(held):
                while (scrape := upcoming[index]) is not None and scrape.at <= at:
                    sighting = _sighting(scrape, service.name, service.bus)
                    prometheus.scraped(scrape.at + DAWN, sighting)
                    if attentive and sighting is not None:
                        watcher.hear(sighting.at, [sighting])
                    shown = shown or (sighting is not None and watcher.shown(sighting))
                    stands[index] = service.name in (scrape.services or {})
                    upcoming[index] = next(pending[index], None)
            sightings = [seen for each in held if (seen := each.holds(at + DAWN)) is not None]
            since = watcher.evaluate(at + DAWN, sightings)
            if since is not None:
                verdicts[at][service.name] = at + DAWN - since
            if memory and (at + DAWN) % memory == 0:
                watcher.write_down(shown=shown or stood)
                shown = False
            stood = stood or any(stands)
    return verdicts


def _sighting(scrape: Scrape, name: str, bus: str) -> Sighting | None:
    """What a replica says of a service on the bus that the rules' truth says, and of that bus.

    What one with an old truth says of the service on another bus is about something else.
    """
    if bus not in scrape.buses:
        return None
    shown = (scrape.services or {}).get(name)
    own_beat = scrape.buses[bus][0]
    if shown is None or shown.bus != bus:
        return Sighting(scrape.at + DAWN, 0.0, 0.0, own_beat, shown=False)
    return Sighting(scrape.at + DAWN, shown.last_seen, shown.watch_start, own_beat)


class Replay:
    """Replays batches with one promtool.

    Args:
        promtool: Which.
        many: By the rules of many services, whose memory lags. They may also agree with the attentive model: their
            windows show them beats of scrapes that no evaluation saw, because the exporter was gone by then.
    """

    def __init__(self, promtool: Program, *, many: bool = False) -> None:
        self._promtool = promtool
        self._many = many
        # Prometheus 3 no longer holds a sample of exactly the lookback's age.
        self.closed = promtool.version.startswith("2.")
        self.steps = 0
        self.missing = 0

    def differences(self, worlds: Sequence[World]) -> list[list[Difference]]:
        """Where model and rules disagree, for each of `worlds`, which share a pace."""
        batch = Batch(worlds, closed=self.closed, many=self._many)
        self.steps += batch.steps
        self.missing += batch.missing
        with tempfile.TemporaryDirectory(prefix="healer-replay-") as name:
            folder = Path(name)
            (folder / "rules.yml").write_text(about_misses(batch.rules()))
            (folder / "test.yml").write_text(json.dumps(batch.document()))
            command = [self._promtool.path, "test", "rules", folder / "test.yml"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=frugal())
        if done.returncode == 0:
            return [[] for _ in worlds]
        found = batch.read(done.stdout + done.stderr)
        return [*map(partial(self._inexcusable, batch), worlds, found)] if self._many else found

    def _inexcusable(self, batch: Batch, world: World, found: list[Difference]) -> list[Difference]:
        if not found:
            return found
        attentive = judged(world, closed=self.closed, memory=batch.memory, attentive=True)
        return [each for each in found if each.rules != attentive[each.at].get(each.service)]


def many_services() -> AbstractContextManager[object]:
    """Rules written meanwhile are those that a truth of many services would have."""
    return mock.patch.object(shape, "LEISURELY", ((0, 30.0),))


def lagging(rules: str, first: float = 0.0) -> str:
    """These rules of many services, made for promtool, which evaluates all groups at every step.

    Prometheus leaves what is remembered as it is in between, and so do they, and write it down from `first` on.
    """
    document = yaml.load(rules, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (memory,) = (group for group in document["groups"] if group["name"] == "heartbeat-memory")
    every = float(memory["interval"].removesuffix("s"))
    due = f"(vector(time()) >= {first} and vector(time()) % {every} == {first % every})"
    for rule in memory["rules"]:
        labels = ",".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
        rule["expr"] = (
            f"(({rule['expr']}) and on () {due}) or ({rule['record']}{{{labels}}} unless on () {due})"
        )
    return json.dumps(document)


def frugal() -> dict[str, str]:
    """The environment for promtool: a process that lives for seconds has no need to collect its garbage often."""
    return {**os.environ, "GOGC": "800"}


def about_misses(rules: str) -> str:
    """`HeartbeatMiss` and the recording rules that it reads, directly or not."""
    document = yaml.load(rules, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    every = [rule for group in document["groups"] for rule in group["rules"]]
    needed = {"HeartbeatMiss"}
    size = 0
    while size != len(needed):
        size = len(needed)
        read = " ".join(rule["expr"] for rule in every if needed & {rule.get("alert"), rule.get("record")})
        needed |= {rule["record"] for rule in every if "record" in rule and rule["record"] in read}
    for group in document["groups"]:
        group["rules"] = [
            {name: value for name, value in rule.items() if name != "annotations"}
            for rule in group["rules"]
            if needed & {rule.get("alert"), rule.get("record")}
        ]
    return json.dumps(document)


class Batch:
    """Worlds side by side in one test group: no series of one touches those of another.

    Attributes:
        memory: How many seconds apart the rules write down what they remember, in a group of its own; 0: in that of
            the verdicts.
    """

    def __init__(self, worlds: Sequence[World], *, closed: bool, many: bool = False) -> None:
        self._worlds = worlds
        self._form = many_services if many else nullcontext
        self._settings = (
            Settings(evaluation_interval=float(worlds[0].pace.evaluation)) if many else Settings()
        )
        with self._form():
            self.memory = shape.memory_interval(self.truth(), self._settings)
        self._verdicts = [judged(world, closed=closed, memory=self.memory) for world in worlds]
        self.steps = sum(len(evaluations(world)) * len(world.services) for world in worlds)
        self.missing = sum(len(names) for verdicts in self._verdicts for names in verdicts.values())

    def truth(self) -> Truth:
        pace = self._worlds[0].pace
        services = [
            Service(
                _name(index, each.name),
                _name(index, each.bus),
                f"{index}:{each.name}",
                each.interval,
                each.timeout,
            )
            for index, world in enumerate(self._worlds)
            for each in world.services
        ]
        return Truth(
            services=tuple(sorted(services, key=lambda each: each.name)),
            buses=tuple(
                Bus(_name(index, name), f"redis://{name}:6379")
                for index, _ in enumerate(self._worlds)
                for name in BUSES
            ),
            monitor=Monitor(
                interval=pace.own_interval, timeout=pace.own_timeout, alerts_bus=_name(0, BUSES[0])
            ),
            version="1",
            sha256="ab" * 32,
        )

    def rules(self) -> str:
        """The rules of that truth."""
        with self._form():
            text = render(self.truth(), self._settings)[RULES]
        return lagging(text) if self.memory else text

    def document(self) -> dict[str, Any]:
        return {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{self._worlds[0].pace.evaluation}s",
            "group_eval_order": ["heartbeat-truth", "heartbeat", "heartbeat-memory"],
            "tests": [
                {
                    "interval": "1s",
                    "input_series": [
                        {"series": series, "values": values}
                        for index, world in enumerate(self._worlds)
                        for series, values in _series(index, world)
                    ],
                    "promql_expr_test": [*self._expectations()],
                }
            ],
        }

    def _expectations(self) -> Iterator[dict[str, Any]]:
        for at in evaluations(self._worlds[0]):
            missing = [
                (_name(index, service.name), _name(index, service.bus), late)
                for index, world in enumerate(self._worlds)
                for service in world.services
                if (late := self._verdicts[index][at].get(service.name)) is not None
            ]
            firing = 'ALERTS{{alertname="HeartbeatMiss",alertstate="firing",bus="{}",severity="critical",svc="{}"}}'
            yield _expect(at, MISSES, [(firing.format(bus, svc), 1.0) for svc, bus, _ in missing])
            yield _expect(at, LATE, [(f'{{svc="{svc}"}}', late) for svc, _, late in missing])

    def read(self, output: str) -> list[list[Difference]]:
        """Promtool's words as differences; words that name none are an error of the test itself."""
        lates: dict[tuple[int, float, str], list[float | None]] = {}
        verdicts: dict[tuple[int, float, str], list[float | None]] = {}
        for expr, time, *sides in _FAILURE.findall(output):
            found = lates if expr == LATE else verdicts
            for side, text in enumerate(sides):
                for svc, value in _SAMPLE.findall(text):
                    index, name = _world(svc)
                    found.setdefault((index, _seconds(time) - DAWN, name), [None, None])[side] = float(value)
        found = {key: pair for key, pair in lates.items() if pair[0] != pair[1]}
        for key, pair in verdicts.items():
            if pair[0] != pair[1] and key not in found:
                found[key] = [None if each is None else -1.0 for each in pair]
        if not found:
            raise AssertionError(f"promtool failed, but not over a verdict:\n{output[:5000]}")
        result: dict[int, list[Difference]] = defaultdict(list)
        for (index, at, name), (model, rules) in sorted(found.items()):
            result[index].append(Difference(at, name, model, rules))
        return [result[index] for index in range(len(self._worlds))]


def _expect(at: float, expr: str, samples: list[tuple[str, float]]) -> dict[str, Any]:
    return {
        "eval_time": f"{at + DAWN}s",
        "expr": expr,
        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
    }


def _name(index: int, name: str) -> str:
    return f"w{index}_{name}"


def _world(svc: str) -> tuple[int, str]:
    index, _, name = svc.removeprefix("w").partition("_")
    return int(index), name


def _seconds(text: str) -> float:
    return sum(int(count) * _UNITS[unit] for count, unit in _DURATION.findall(text))


def _series(index: int, world: World) -> Iterator[tuple[str, str]]:
    for number, scrapes in enumerate(world.scrapes):
        target = f'job="heartbeat",instance="w{index}r{number}"'
        columns: dict[str, dict[int, float | None]] = defaultdict(dict)
        shown: set[str] = set()
        for scrape in scrapes:
            row: dict[str, float | None] = dict.fromkeys(shown)
            for bus, (own_beat, up) in scrape.buses.items():
                row[f'heartbeat_bus_loopback_timestamp_seconds{{{target},bus="{_name(index, bus)}"}}'] = (
                    own_beat
                )
                row[f'heartbeat_bus_up{{{target},bus="{_name(index, bus)}"}}'] = float(up)
            for name, state in (scrape.services or {}).items():
                labels = f'{target},bus="{_name(index, state.bus)}",svc="{_name(index, name)}"'
                row[f"heartbeat_last_seen_timestamp_seconds{{{labels}}}"] = state.last_seen
                row[f"heartbeat_watch_start_timestamp_seconds{{{labels}}}"] = state.watch_start
            for series, value in row.items():
                columns[series][int(scrape.at) + DAWN] = value
            shown = {series for series, value in row.items() if value is not None}
        for series, column in columns.items():
            yield series, _values(column)


def _values(column: dict[int, float | None]) -> str:
    """One sample a second in promtool's notation; None is a staleness marker."""
    terms = []
    expected = 0
    for second, value in column.items():
        if second > expected:
            terms.append(f"_x{second - expected}")
        terms.append("stale" if value is None else f"{value:g}" if value < 1e5 else repr(value))
        expected = second + 1
    return " ".join(terms)
