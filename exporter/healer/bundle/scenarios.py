"""The user's own services, taken through death and recovery: what `promtool test rules` replays.

Services with the same interval and timeout live through a scenario together. Each scenario is a list of phases
on the time line of one exporter; the samples that Prometheus would scrape from it and the verdicts expected of
the rules both follow from the phases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from healer.bundle.text import duration, number, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from healer.bundle.settings import Settings
    from healer.truth.model import Service, Truth

SLOW_STEP = 120.0
"""Seconds between evaluations for services too slow to be tested at the settings' pace.

As long as it can be: Prometheus looks back five minutes, and a memory has to survive a step.
"""
FAST_EVALUATIONS = 40
"""A timeout of more evaluations than this is tested at `SLOW_STEP`, so that the tests take seconds."""

LONGEST_SECONDS = 7200.0
"""Services with longer timeouts are left out: a day of silence takes promtool half a minute to live through, and
the rules treat it as they treat an hour's."""

STALE = "stale"
_PAIR = 2
_OF_SERVICE = ("watch_start_timestamp_seconds", "last_seen_timestamp_seconds")
_OF_BUS = ("bus_loopback_timestamp_seconds", "bus_up")
MISSES = 'ALERTS{alertname="HeartbeatMiss"}'


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its samples in promtool's notation."""

    series: str
    values: str


@dataclass(frozen=True, slots=True)
class Check:
    """What an expression has to yield at a time, in seconds: pairs of series and value."""

    at: float
    expr: str
    samples: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test group: samples every `step` seconds, and what the rules have to make of them."""

    name: str
    step: float
    series: tuple[Series, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """What exporter, bus and service do for a number of samples."""

    samples: int
    exporter: bool = True
    bus: bool = True
    beats: bool = True


def notation(values: Sequence[float | str | None]) -> str:
    """Return `values`, one a sample and None for no sample, the way promtool wants them.

    Runs that grow evenly become one term: `0 5 10 15` is `0+5x3`.
    """
    terms: list[str] = []
    index = 0
    while index < len(values):
        first = values[index]
        end = index + 1
        if isinstance(first, (int, float)):
            second = values[end] if end < len(values) else None
            slope = second - first if isinstance(second, (int, float)) else 0.0
            while end < len(values) and _near(values[end], first + slope * (end - index)):
                end += 1
            if end - index == _PAIR and slope:
                end = index + 1
            sign = "-" if slope < 0 else "+"
            count = end - index - 1
            terms.append(f"{number(first)}{sign}{number(abs(slope))}x{count}" if count else number(first))
        else:
            while first is None and end < len(values) and values[end] is None:
                end += 1
            terms.append(f"_x{end - index}" if first is None else first)
        index = end
    return " ".join(terms)


def _near(value: float | str | None, expected: float) -> bool:
    return isinstance(value, (int, float)) and math.isclose(value, expected, abs_tol=1e-9)


def play(phases: Iterable[Phase], step: float, services: Sequence[Service]) -> tuple[Series, ...]:
    """Return what Prometheus scrapes every `step` seconds from an exporter that lives through `phases`.

    All `services` do the same. A beat is received just before each scrape.
    """
    columns: dict[str, list[float | str | None]] = {name: [] for name in (*_OF_SERVICE, *_OF_BUS, "up")}
    start = seen = loopback = 0.0
    there = False
    for phase in phases:
        for _ in range(phase.samples):
            now = len(columns["up"]) * step
            if not phase.exporter:
                for name in (*_OF_SERVICE, *_OF_BUS):
                    columns[name].append(STALE if there else None)
                columns["up"].append(0)
                start = seen = loopback = 0.0
                there = False
                continue
            there = True
            start = (start or now) if phase.bus else 0.0
            loopback = now if phase.bus else loopback
            seen = now if phase.bus and phase.beats else seen
            for name, value in zip(columns, (start, seen, loopback, float(phase.bus), 1.0), strict=True):
                columns[name].append(value)
    return _labelled(columns, services)


def _labelled(
    columns: dict[str, list[float | str | None]], services: Sequence[Service]
) -> tuple[Series, ...]:
    target = 'instance="exporter", job="heartbeat"'
    texts = {name: notation(values) for name, values in columns.items()}
    series = [Series(f"up{{{target}}}", texts.pop("up"))]
    for bus in sorted({service.bus for service in services}):
        labels = f"bus={quoted(bus)}, {target}"
        series += [Series(f"heartbeat_{name}{{{labels}}}", texts[name]) for name in _OF_BUS]
    for service in services:
        labels = f"bus={quoted(service.bus)}, {target}, svc={quoted(service.name)}"
        series += [Series(f"heartbeat_{name}{{{labels}}}", texts[name]) for name in _OF_SERVICE]
    return tuple(series)


def fast(truth: Truth, settings: Settings) -> tuple[Scenario, ...]:
    """Return the scenarios of the services that are tested at the settings' own pace."""
    return _scenarios(truth, settings, settings.evaluation_interval, settings.scrape_interval, slow=False)


def slow(truth: Truth, settings: Settings) -> tuple[Scenario, ...]:
    """Return the scenarios of the services that are tested at `SLOW_STEP`; those over `LONGEST_SECONDS` have none."""
    return _scenarios(truth, settings, SLOW_STEP, SLOW_STEP, slow=True)


def left_out(truth: Truth) -> int:
    """Return how many services have no scenario, because their timeouts are over `LONGEST_SECONDS`."""
    return sum(map(_endless, truth.services))


def _endless(service: Service) -> bool:
    return service.timeout > LONGEST_SECONDS


def _scenarios(
    truth: Truth, settings: Settings, evaluation: float, scrape: float, *, slow: bool
) -> tuple[Scenario, ...]:
    limit = FAST_EVALUATIONS * settings.evaluation_interval
    chosen = sorted(
        (each for each in truth.services if (each.timeout > limit) == slow and not _endless(each)),
        key=lambda each: (each.timeout, each.warmup, each.name),
    )
    made: list[Scenario] = []
    for _, same in groupby(chosen, lambda each: (each.timeout, each.warmup)):
        story = _Story(tuple(same), evaluation, scrape)
        made += [story.never_seen(), story.dies_and_returns(), story.healthy_throughout()]
    return tuple(made)


class _Story:
    """The scenarios of services that share interval and timeout. Times are seconds from the first sample."""

    def __init__(self, services: tuple[Service, ...], evaluation: float, scrape: float) -> None:
        self._services = services
        self._evaluation = evaluation
        self._scrape = scrape
        self._timeout = services[0].timeout
        self._warmup = services[0].warmup
        self._title = f"timeout {duration(self._timeout)}, warm-up {duration(self._warmup)}"
        # Nobody may call a service missing before this many samples after the first of a watch.
        self._settled = math.ceil(self._warmup / scrape - 1e-9)
        # A sample this many after the last beat is the first to be too late.
        self._late = math.floor(self._timeout / scrape + 1e-9) + 1
        # Long enough for an evaluation that has seen the newest sample.
        self._margin = math.ceil(2 * evaluation / scrape)

    def never_seen(self) -> Scenario:
        watched = 1 + self._settled
        phases = [
            Phase(1, exporter=False),
            Phase(self._settled + 2 * self._margin, beats=False),
            Phase(2 * self._margin),
        ]
        return self._scenario(
            "never seen, then comes",
            phases,
            self._quiet(max(0.0, watched * self._scrape - self._evaluation)),
            self._missing(watched * self._scrape + self._evaluation),
            self._quiet((watched + 3 * self._margin) * self._scrape),
        )

    def dies_and_returns(self) -> Scenario:
        alive = self._settled + 2
        gone = self._late + 2 * self._margin
        phases = [
            Phase(1, exporter=False),
            Phase(alive),
            Phase(gone, beats=False),
            Phase(2 * self._margin, exporter=False),
            Phase(self._settled + 2 * self._margin, beats=False),
            Phase(2 * self._margin),
        ]
        death = alive * self._scrape
        late = death + self._late * self._scrape
        restart = (1 + alive + gone) * self._scrape
        back = restart + 2 * self._margin * self._scrape
        returned = back + (self._settled + 2 * self._margin) * self._scrape
        return self._scenario(
            "dies, the exporter restarts meanwhile, returns",
            phases,
            self._quiet(max(0.0, late - self._evaluation)),
            self._missing(late + self._evaluation),
            self._missing(restart + self._margin * self._scrape),
            self._missing(back + self._scrape),
            self._missing(returned - self._scrape),
            self._silence(returned - self._scrape, death),
            self._quiet(returned + self._margin * self._scrape),
        )

    def healthy_throughout(self) -> Scenario:
        alive = self._settled + 2
        phases = [
            Phase(1, exporter=False),
            Phase(alive),
            Phase(2 * self._margin, exporter=False),
            Phase(alive),
            Phase(self._late + self._margin, bus=False),
            Phase(max(1, self._settled - 1), beats=False),
            Phase(alive),
            Phase(self._late + 2 * self._margin, beats=False),
        ]
        death = (sum(phase.samples for phase in phases[:-1]) - 1) * self._scrape
        late = death + self._late * self._scrape
        return self._scenario(
            "lives through an exporter restart and a bus loss, then dies",
            phases,
            Check(
                late - self._evaluation,
                f"max_over_time(svc:heartbeat_missing:bool[{duration(late)}]) > 0",
                (),
            ),
            self._missing(late + self._evaluation),
        )

    def _scenario(self, name: str, phases: list[Phase], *checks: Check) -> Scenario:
        return Scenario(
            f"{name} ({self._title})", self._scrape, play(phases, self._scrape, self._services), checks
        )

    @staticmethod
    def _quiet(at: float) -> Check:
        return Check(at, MISSES, ())

    def _missing(self, at: float) -> Check:
        return Check(at, MISSES, tuple((_alert(service), 1.0) for service in self._services))

    def _silence(self, at: float, since: float) -> Check:
        expr = "max by (svc) (svc:heartbeat_silent_since_timestamp_seconds:latched)"
        samples = tuple((f"{{svc={quoted(service.name)}}}", since) for service in self._services)
        return Check(at, expr, samples)


def _alert(service: Service) -> str:
    labels = {
        "alertname": "HeartbeatMiss",
        "alertstate": "firing",
        "bus": service.bus,
        "severity": service.severity,
        "svc": service.name,
    }
    if service.team:
        labels["team"] = service.team
    return f"ALERTS{{{', '.join(f'{name}={quoted(value)}' for name, value in labels.items())}}}"
