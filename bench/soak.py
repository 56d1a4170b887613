"""An exporter under load and in trouble for an hour, beside a ledger of what was true.

Real Redis, a real `healer exporter`, a real Prometheus with the generated rules. Every service beats several times a
second; every minute some die, and some return, and the bus gets into one kind of trouble after the other. At every
evaluation of the rules what they called missing is held against the ledger; between the troubles each beat that Redis
delivered has to be counted; the exporter's memory is watched throughout. Writes a JSON object, the figures of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from bench import page
from bench.flood import Flood
from bench.measure import cpu_seconds, percentile, resident_bytes
from bench.troubles import TROUBLES, Troubled
from redis.asyncio import Redis
from tests.beats.proxy import Proxy
from tests.redises import server as redis_server

from healer.bundle import Settings, render, write
from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

TURN = 5.0
"""Seconds between two scrapes, and between two evaluations."""

INTERVAL, TIMEOUT = 1.0, 24.0
"""Of all services, as the truth has them; they really beat more often."""

WARMUP = 18.0
"""What follows from these; so does that the exporter beats every 4 s, and knows after 8.25 s that it is deaf."""

LASTS = 13.0
"""Seconds that a trouble is left alone."""

DEATHS = 20
"""Services that die in a minute."""

SHORTEST_DEATH, LONGEST_DEATH = 100.0, 220.0
"""Seconds: most of them have to be noticed, whatever happens meanwhile."""

MISSES = 'ALERTS{alertname="HeartbeatMiss",alertstate="firing"}'
BEATS = re.compile(rb"^heartbeat_beats_total\{[^}]*\} (\S+)$", re.MULTILINE)
LOST = re.compile(rb'^heartbeat_lost_total\{[^}]*svc="([^"]*)"\} (\S+)$', re.MULTILINE)
SKEW = re.compile(rb"^heartbeat_clock_skew_seconds\{[^}]*\} (\S+)$", re.MULTILINE)


def document(bus: str, store: str, names: Sequence[str]) -> dict[str, Any]:
    beat = {"interval_sec": INTERVAL, "timeout_sec": TIMEOUT}
    access = {
        "subscribe_to": [{"bus": "bus", "key": f"{name}:heartbeat"} for name in names],
        "publish_to": [{"bus": "store", "key": "healer:alerts"}],
    }
    own = {"interval_sec": 4.0, "timeout_sec": 30}
    return {
        "buses": {"bus": {"url": bus}, "store": {"url": store}},
        "services": {
            **{name: {"heartbeat": beat} for name in names},
            "healer": {"access_points": access, "heartbeat": own},
        },
    }


@dataclass
class Death:
    """When a service fell silent (its last beat was before), and when it beat again."""

    name: str
    since: float
    until: float = float("inf")
    noticed: float | None = None


@dataclass
class Ledger:
    """What was true, and every evaluation that said otherwise."""

    deaths: list[Death] = field(default_factory=list)
    false_misses: list[str] = field(default_factory=list)
    false_recoveries: list[str] = field(default_factory=list)
    late_recoveries: list[str] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)
    deaf: list[tuple[float, float]] = field(default_factory=list)

    def due(self, death: Death) -> float:
        """Return when the service is missing at the earliest: after its timeout, less what a stamp may be early.

        Whose last beats fell into a trouble, so that nobody heard them, is missing once it was then watched for its warm-up.
        """
        unheard = any(begin <= death.since <= end for begin, end in self.deaf)
        return death.since + (WARMUP if unheard else TIMEOUT) - INTERVAL

    def judge(self, fired: dict[str, list[float]], end: float) -> None:
        """Hold the evaluations at which services were called missing against what was true.

        Args:
            fired: By service, the instants of the evaluations, sorted.
            end: Of what is judged; a death that had not ended by then is judged up to there.
        """
        self.false_misses, self.false_recoveries, self.late_recoveries = [], [], []
        every = sorted({at for instants in fired.values() for at in instants})
        deaths: dict[str, list[Death]] = {}
        for death in self.deaths:
            deaths.setdefault(death.name, []).append(death)
        for name, instants in fired.items():
            for at in instants:
                mine = [one for one in deaths.get(name, ()) if self.due(one) <= at]
                if not mine:
                    self.false_misses.append(f"{name} at {at:.1f}")
                elif mine[-1].until + 60 < at:
                    self.late_recoveries.append(f"{name} at {at:.1f}")
        for death in self.deaths:
            until = min(death.until, end)
            said = [at for at in fired.get(death.name, ()) if death.since <= at <= until]
            if said:
                death.noticed = said[0]
                silent = {at for at in every if said[0] <= at <= until} - set(said)
                self.false_recoveries += [f"{death.name} at {at:.1f}" for at in sorted(silent)]

    def unnoticed(self) -> list[str]:
        """Return the deaths that were not noticed although the service was watched for long enough after its timeout."""
        return [
            f"{one.name} since {one.since:.1f}"
            for one in self.deaths
            if one.noticed is None
            and any(
                min(one.until, end) - max(one.since + TIMEOUT, begin + WARMUP) > 4 * TURN
                for begin, end in self.heard
            )
        ]


@dataclass
class Count:
    """What was published between two troubles, and what the exporter counted of it."""

    published: int
    counted: int
    lost: int
    seconds: float
    whole: bool


class Soak:
    """The running world."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        self.names = [f"svc{number}" for number in range(given.channels)]
        self.ledger = Ledger()
        self.counts: list[Count] = []
        self.memory: list[tuple[float, int]] = []
        self.skews: list[float] = []
        self.fired: dict[str, set[float]] = {}
        self.random = random.Random(given.seed)

    async def run(self) -> dict[str, Any]:
        """Start everything, endure the troubles, return the figures."""
        async with AsyncExitStack() as open_:
            await self._start(open_)
            tasks = [asyncio.create_task(work()) for work in (self.flood.run, self._watch_memory)]
            await self._until_heard(120)
            # Who dies before the exporter ever heard it is missing after its warm-up already.
            await asyncio.sleep(2.0)
            tasks.append(asyncio.create_task(self._deaths()))
            for task in tasks:
                open_.callback(task.cancel)
            await asyncio.sleep(2 * TIMEOUT)
            self.begun, self.used, self.sent = time.time(), self._cpu(), self.flood.sent
            troubles = [TROUBLES[number % len(TROUBLES)] for number in range(self.given.minutes)]
            for number, trouble in enumerate(troubles, 1):
                await self._minute(number, trouble)
                if self.given.progress:
                    self.given.progress.write_text(json.dumps(self._figures()))
            tasks[2].cancel()
            await self._collect()
            return self._figures()

    async def _start(self, open_: AsyncExitStack) -> None:
        servers, folder = find(None), self.folder
        ports = open_.enter_context(Ports())
        here, there = ports.take(), ports.take()
        self.store = stack.redis(servers.redis_server, folder, ports.take(), "store")
        self.bus = redis_server(
            *(servers, folder, ports.take(), "bus", "--enable-debug-command", "local"),
            *("--user", "healer", "on", ">pw", "~*", "&*", "+@all"),
        )
        for one in (self.store, self.bus):
            open_.push_async_callback(one.kill)
            await one.start()
            await one.wait_ready()
        self.proxy = await open_.enter_async_context(Proxy(self.bus.port))
        text = json.dumps(
            document(f"redis://healer:pw@127.0.0.1:{self.proxy.port}", self.store.url, self.names)
        )
        async with Redis.from_url(self.store.url) as redis:
            await redis.set("truth:doc", text)
        settings = Settings(
            exporters=(f"127.0.0.1:{here}",), prometheus=(f"127.0.0.1:{there}",), scrape_interval=TURN, evaluation_interval=TURN
        )  # fmt: skip
        write(render(parse(text, env={}).truth, settings), folder / "bundle")
        config = folder / "bundle/prometheus/prometheus.yml"
        self.exporter = stack.healer("exporter", folder, here, {"TRUTH_REDIS_URL": self.store.url})
        self.prometheus = stack.prometheus(servers.prometheus, folder, there, config, queue_capacity=40_000)
        for one in (self.exporter, self.prometheus):
            open_.push_async_callback(one.kill)
            await one.start()
            await one.wait_ready(60)
        self.flood = Flood(self.bus.url, self.names, self.given.rate)
        plain = {"Accept-Encoding": "identity"}
        self.http = await open_.enter_async_context(
            aiohttp.ClientSession(headers=plain, timeout=aiohttp.ClientTimeout(60))
        )

    async def _minute(self, number: int, trouble: Any) -> None:
        """Count beats, then make trouble, and wait until it is over."""
        end = self.begun + 60 * number
        before = await self._settled()
        # What is counted lies between two troubles: from the recovery to the next one.
        await asyncio.sleep(max(5.0, end - 60 + 38 - time.time()))
        after = await self._settled()
        # Who was silent comes back with the counter of those who were not: no gap of theirs is a loss.
        dead = {one.name for one in self.ledger.deaths}
        gaps = sum(after[2][name] - lost for name, lost in before[2].items() if name not in dead)
        count = Count(
            after[0] - before[0], after[1] - before[1], gaps, after[3] - before[3], before[4] == after[4]
        )
        self.counts.append(count)
        if count.whole:
            self.ledger.heard.append((before[3], after[3]))
        world = Troubled(self.bus, self.proxy, self.exporter, self.flood)
        begun = time.time()
        await trouble(world)
        await asyncio.sleep(max(0.0, LASTS - (time.time() - begun)))
        await world.end()
        lasted = time.time() - begun
        await self._until_heard(60)
        back = time.time() - begun - lasted
        self.ledger.deaf.append((begun, time.time()))
        await self._collect()
        print(
            f"{time.strftime('%H:%M:%S')} minute {number}: {count.published} published, {count.counted} counted"
            f"{'' if count.whole else ' (void: the bus was lost)'}, {count.lost} gaps; {trouble.__name__} for {lasted:.1f} s,"
            f" heard again after {back:.1f} s; exporter {self.memory[-1][1] / 1e6:.1f} MB,"
            f" {len(self.flood.silent)} silent, {len(self.fired)} ever called missing",
            flush=True,
        )
        await asyncio.sleep(max(0.0, end - time.time()))

    async def _settled(self) -> tuple[int, int, dict[str, int], float, float]:
        """Pause the publishing; return what was delivered and counted so far, gaps, the time, and reconnects."""
        self.flood.paused = True
        await self.flood.settled()
        counted, body = -1, b""
        while True:
            await asyncio.sleep(0.3)
            body = await self._scrape()
            now = sum(int(float(value)) for value in BEATS.findall(body))
            if now == counted:
                break
            counted = now
        self.flood.paused = False
        found = re.search(rb'^heartbeat_bus_reconnects_total\{bus="bus"\} (\S+)$', body, re.MULTILINE)
        lost = {name.decode(): int(float(value)) for name, value in LOST.findall(body)}
        return self.flood.delivered, counted, lost, time.time(), float(found[1]) if found else -1

    async def _until_heard(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                body = await self._scrape()
                if b'heartbeat_bus_up{bus="bus"} 1.0' in body:
                    starts = re.findall(
                        rb"^heartbeat_watch_start_timestamp_seconds\{[^}]*\} (\S+)$", body, re.MULTILINE
                    )
                    if len(starts) == len(self.names) and b"0.0" not in starts:
                        return
            await asyncio.sleep(1.0)
        raise SystemExit(f"the bus is not heard again:\n{self.exporter.tail()}")

    async def _scrape(self) -> bytes:
        async with self.http.get(f"{self.exporter.url}/metrics") as answer:
            return await answer.read()

    async def _collect(self) -> None:
        """Note at which evaluations of the last minutes who was called missing."""
        parameters = {"query": f"{MISSES}[150s]"}
        async with self.http.get(f"{self.prometheus.url}/api/v1/query", params=parameters) as answer:
            for series in (await answer.json())["data"]["result"]:
                instants = self.fired.setdefault(series["metric"]["svc"], set())
                instants.update(at for at, _ in series["values"])

    async def _deaths(self) -> None:
        """Let services die at random, and return."""
        for_ever = {self.names[0]}
        self.flood.silence(for_ever, silent=True)
        self.ledger.deaths.append(Death(self.names[0], time.time()))
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self.random.expovariate(DEATHS / 60))
                name = self.random.choice(self.names)
                if name not in self.flood.silent:
                    group.create_task(self._death(name))

    async def _death(self, name: str) -> None:
        self.flood.silence({name}, silent=True)
        # On a busy machine the last beat may have been sent a good while ago.
        death = Death(name, self.flood.last_written(name) or time.time())
        self.ledger.deaths.append(death)
        await asyncio.sleep(self.random.uniform(SHORTEST_DEATH, LONGEST_DEATH))
        death.until = time.time()
        self.flood.silence({name}, silent=False)

    async def _watch_memory(self) -> None:
        while True:
            self.memory.append((time.time(), resident_bytes(self.exporter.pid)))
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    self.skews += map(float, SKEW.findall(await self._scrape())[:: len(self.names) // 100])
            await asyncio.sleep(10)

    def _cpu(self) -> dict[str, float]:
        parts = {
            "exporter": self.exporter.pid,
            "prometheus": self.prometheus.pid,
            "publisher_and_proxy": os.getpid(),
        }
        return {name: cpu_seconds(pid) for name, pid in parts.items()}

    def _figures(self) -> dict[str, Any]:
        seconds, sent = time.time() - self.begun, self.flood.sent - self.sent
        cpu = {name: (now - self.used[name]) / seconds for name, now in self._cpu().items()}
        fired = {name: sorted(instants) for name, instants in self.fired.items()}
        self.ledger.judge(fired, time.time() - 2 * TURN)
        ledger, whole = self.ledger, [count for count in self.counts if count.whole]
        late = [one for one in self.memory if one[0] > self.begun + seconds / 6]
        latest = [one for one in self.memory if one[0] > self.begun + seconds / 2]
        noticed = [one.noticed - one.since - TIMEOUT for one in ledger.deaths if one.noticed is not None]
        return {
            "seconds": round(seconds), "load": round(os.getloadavg()[2], 1), "channels": len(self.names), "beats_per_second": round(sent / seconds),
            "troubles": len(self.counts), "published": sum(one.published for one in whole),
            "counted": sum(one.counted for one in whole), "gaps": sum(one.lost for one in whole),
            "counted_seconds": round(sum(one.seconds for one in whole)), "void_windows": len(self.counts) - len(whole),
            "deaths": len(ledger.deaths), "noticed": len(noticed), "unnoticed": ledger.unnoticed(),
            "false_misses": ledger.false_misses, "false_recoveries": ledger.false_recoveries,
            "late_recoveries": ledger.late_recoveries,
            "noticed_after_timeout_seconds_p50": round(percentile(noticed or [0.0], 0.5), 1),
            "evaluations": len({at for instants in self.fired.values() for at in instants}),
            "memory_mb": round(late[-1][1] / 1e6, 1), "memory_mb_per_hour": growth(late),
            "memory_mb_per_hour_second_half": growth(latest),
            "publish_to_board_ms_p50": round(1e3 * percentile(self.skews, 0.5), 1),
            "publish_to_board_ms_p99": round(1e3 * percentile(self.skews, 0.99), 1),
            **{f"cores_{name}": round(share, 3) for name, share in cpu.items()},
        }  # fmt: skip


def growth(memory: Sequence[tuple[float, int]]) -> float:
    """Return the MB an hour by which bytes at instants change, by a line through them."""
    if len(memory) < 3:
        return 0.0
    return round(statistics.linear_regression(*zip(*memory, strict=True)).slope * 3600 / 1e6, 1)


def sound(figures: dict[str, Any]) -> bool:
    """Return whether nobody was fooled and nothing was miscounted."""
    events = ("false_misses", "false_recoveries", "late_recoveries", "unnoticed")
    return (
        not any(figures[name] for name in events)
        and figures["published"] == figures["counted"] > 0
        and figures["gaps"] == 0
    )


WORDS = """\
{minutes} minutes at {beats_per_second:,} beats/s on {channels:,} channels, {troubles} troubles of twelve kinds, on a machine with a load
of {load} in all.

- {evaluations:,} evaluations in which somebody was missing: {false_misses} false misses, {false_recoveries} false recoveries,
  {late_recoveries} recoveries late by a minute. {deaths} deaths, {noticed} noticed; {unnoticed} not although there was the time.
- {published:,} beats delivered between the troubles, {counted:,} counted, {gaps} gaps. {void_windows} of {troubles} such
  times do not count, because the bus was lost in them: the exporter got too little of the machine.
- The exporter's memory is {memory_mb} MB and changes by {memory_mb_per_hour} MB an hour, by a line through all but the first sixth; by
  {memory_mb_per_hour_second_half} in the second half.
- Shares of a core: exporter {cores_exporter}, Prometheus {cores_prometheus}, publisher and proxy {cores_publisher_and_proxy}.

`make soak` does it again.
"""
"""What the page says of a run."""


def words(figures: dict[str, Any]) -> str:
    """Say what came of it."""
    count = {
        name: len(figures[name])
        for name in ("false_misses", "false_recoveries", "late_recoveries", "unnoticed")
    }
    said = {
        **figures,
        **count,
        "minutes": round(figures["seconds"] / 60),
        "load": figures.get("load", "more than ten"),
    }
    return WORDS.format_map(said)


def main() -> int:
    """Run it; the exit status says whether all held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60, help="and as many troubles")
    parser.add_argument("--rate", type=float, default=50_000, help="beats per second")
    parser.add_argument("--channels", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--figures", type=Path, help="run nothing, document the figures of an earlier run")
    parser.add_argument("--progress", type=Path, help="where the figures so far go after each minute")
    parser.add_argument("--log", type=Path, help="where what the exporter said goes")
    given = parser.parse_args()
    if given.figures:
        page.write("soak", json.loads(given.figures.read_text()), words)
        return 0
    with tempfile.TemporaryDirectory(prefix="healer-soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(given, Path(folder))
        try:
            figures = asyncio.run(soak.run())
        finally:
            if given.log:
                shutil.copy(soak.exporter.log, given.log)
    print(json.dumps(figures, indent=2))
    page.write("soak", figures, words)
    return 0 if sound(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
