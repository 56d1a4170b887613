"""Seconds from a deadline to the event, and from the first beat of a return to its event, beside a loop written by hand.

Many services die and return at random moments of the cycle. For each of them and each pace, measured is when
Alertmanager's webhook came, when the sentinel's event was on `healer:alerts`, and when the event of bench/handwritten.py
was, which hears the same beats in the same run and checks every second. A deadline is the last beat plus the timeout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from redis.asyncio import Redis

from healer.bundle import Settings, render, write
from healer.demo.events import Events
from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.process import Command, Process
from healer.stack.servers import find
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BY_HAND = "by-hand:alerts"
QUIET_SECONDS = 10.0
"""For how long the load is measured while nothing happens."""
SLOWEST_SECONDS = 15.0
"""What a pipeline at rest may take to say something, beyond twice its pace."""
WAYS = ("webhook", "healer:alerts", "by hand")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


@dataclass
class Beats:
    """Services that beat until told to be silent; when each was last and first heard of again."""

    interval: float
    alive: dict[str, bool]
    last: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)

    async def one(self, redis: Redis, name: str) -> None:
        """Beat as the service `name` for as long as it is alive."""
        await asyncio.sleep(random.random() * self.interval)
        number = 0
        while self.alive[name]:
            number += 1
            beat = {"svc": name, "i": number, "ts": int(time.time())}
            at = time.time()
            await redis.publish(f"{name}:heartbeat", json.dumps(beat))
            self.last[name] = at
            self.first.setdefault(name, at)
            await asyncio.sleep(self.interval)


@dataclass(frozen=True)
class Pace:
    """How fast the pipeline turns, in seconds."""

    turn: float
    group: float
    resend: float = 1.0

    @property
    def interval(self) -> float:
        """Between two beats."""
        return 0.5 if self.turn <= 1 else 1.0

    @property
    def timeout(self) -> float:
        """Of every service: what a scrape may take on top of a beat, and a second."""
        return self.interval + 2.5 * max(self.turn, 1.0)


class Hook:
    """Alertmanager's second sentinel: notes when it was told of whom."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], float] = {}

    async def serve(self, port: int) -> web.AppRunner:
        """Answer on `port`; clean up what is returned."""
        app = web.Application()
        app.router.add_post("/webhook", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        return runner

    async def answer(self, request: web.Request) -> web.Response:
        """Take a webhook."""
        now = time.time()
        for alert in (await request.json())["alerts"]:
            self.at.setdefault((alert["status"], alert["labels"].get("svc", "")), now)
        return web.Response()


def document(url: str, names: list[str], pace: Pace) -> dict[str, Any]:
    beat = {"interval_sec": pace.interval, "timeout_sec": pace.timeout}
    access = {
        "subscribe_to": [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in names],
        "publish_to": [{"bus": "system-redis", "key": "healer:alerts"}],
    }
    own = {"interval_sec": 1.0, "timeout_sec": max(10.0, 6 * pace.turn)}
    services = {name: {"heartbeat": beat} for name in names}
    return {
        "buses": {"system-redis": {"url": url}},
        "services": {**services, "healer": {"access_points": access, "heartbeat": own}},
    }


@dataclass
class World:
    """What runs: the pipeline and the loop written by hand, on the same beats."""

    pipeline: list[stack.Server]
    by_hand: Process
    prometheus: str
    redis: Redis
    ours: Events
    theirs: Events
    hook: Hook

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds so far of the pipeline without its Redis, and of the loop."""

        def used(process: Process) -> float:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        return sum(map(used, self.pipeline)), used(self.by_hand)


@asynccontextmanager
async def assembled(pace: Pace, names: list[str], release: str | None) -> AsyncIterator[World]:
    """Start all of it, with truth and rules for services of these `names`."""
    servers = find(release)
    async with AsyncExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        ports = open_.enter_context(Ports())
        parts = ("redis", "exporter", "prometheus", "alertmanager", "sentinel", "hook")
        port = {name: ports.take() for name in parts}
        at = {name: (f"127.0.0.1:{number}",) for name, number in port.items()}
        bus = stack.redis(servers.redis_server, folder, port["redis"])
        text = json.dumps(document(bus.url, names, pace))
        (folder / "truth.json").write_text(text)
        settings = Settings(
            exporters=at["exporter"], sentinels=at["sentinel"] + at["hook"], alertmanagers=at["alertmanager"],
            prometheus=at["prometheus"], scrape_interval=pace.turn, evaluation_interval=pace.turn,
            resend_delay=pace.resend, group_interval=pace.group,
        )  # fmt: skip
        bundle, where = folder / "bundle", {"TRUTH_REDIS_URL": bus.url}
        write(render(parse(text, env={}).truth, settings), bundle)
        script = [sys.executable, Path(__file__).with_name("handwritten.py"), bus.url, BY_HAND]
        by_hand = Process(Command("by-hand", [*script, folder / "truth.json"], _at_once), folder)
        pipeline = [
            stack.alertmanager(
                servers.alertmanager, folder, port["alertmanager"], bundle / "alertmanager/alertmanager.yml"
            ),
            stack.prometheus(
                servers.prometheus,
                folder,
                port["prometheus"],
                bundle / "prometheus/prometheus.yml",
                resend_delay=pace.resend,
            ),
            stack.healer("exporter", folder, port["exporter"], where),
            stack.healer("sentinel", folder, port["sentinel"], where),
        ]
        hook = Hook()
        open_.push_async_callback((await hook.serve(port["hook"])).cleanup)
        for process in (bus, *pipeline, by_hand):
            open_.push_async_callback(process.kill)
            await process.start()
            await process.wait_ready()
            if process is bus:
                redis = await open_.enter_async_context(Redis.from_url(bus.url))
                await redis.set("truth:doc", text)
        ours, theirs = Events(bus.url, "healer:alerts"), Events(bus.url, BY_HAND)
        for events in (ours, theirs):
            await events.start()
            open_.push_async_callback(events.stop)
        yield World(pipeline, by_hand, f"http://{at['prometheus'][0]}", redis, ours, theirs, hook)


async def _at_once() -> bool:
    return True


@dataclass
class Found:
    """What a run showed: the seconds of each way by `miss` and `ok`, and shares of a core while nothing happened."""

    seconds: dict[str, dict[str, list[float]]]
    pipeline: float
    by_hand: float


async def run(pace: Pace, count: int, release: str | None) -> Found:
    """Let `count` services die and return once."""
    names = [f"service_{number}" for number in range(count)]
    spread = max(10.0, 10 * pace.turn)
    async with assembled(pace, names, release) as world, asyncio.TaskGroup() as group:
        beats = Beats(pace.interval, dict.fromkeys(names, True))

        def begin(name: str) -> asyncio.Task[None]:
            return group.create_task(beats.one(world.redis, name))

        tasks = {name: begin(name) for name in names}
        await _watched(world.prometheus, count, pace)
        before = world.cpu()
        await asyncio.sleep(QUIET_SECONDS)
        pipeline, by_hand = (
            (now - then) / QUIET_SECONDS for then, now in zip(before, world.cpu(), strict=True)
        )

        async def die(name: str) -> None:
            await asyncio.sleep(random.random() * spread)
            beats.alive[name] = False
            await tasks[name]

        async def back(name: str) -> None:
            await asyncio.sleep(random.random() * spread)
            beats.alive[name] = True
            beats.first.pop(name)
            begin(name)

        patience = SLOWEST_SECONDS + 2 * pace.turn + pace.group
        await asyncio.gather(*map(die, names))
        deadlines = {name: beats.last[name] + pace.timeout for name in names}
        await _until(lambda: len(world.ours.since(0, "heartbeat_miss")) >= count, pace.timeout + patience)
        await asyncio.gather(*map(back, names))
        await _until(lambda: len(world.ours.since(0, "heartbeat_ok")) >= count, patience)
        await asyncio.sleep(2 * pace.turn)
        beats.alive = dict.fromkeys(names, False)
        return Found(_latencies(names, world, {"miss": deadlines, "ok": beats.first}), pipeline, by_hand)


def _latencies(
    names: list[str], world: World, since: dict[str, dict[str, float]]
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for kind, status in (("miss", "firing"), ("ok", "resolved")):
        at = {"webhook": {name: world.hook.at[status, name] for name in names}}
        for way, events in (("healer:alerts", world.ours), ("by hand", world.theirs)):
            told = events.since(0, f"heartbeat_{kind}")
            if sorted(event.svc for event in told) != sorted(names):
                raise SystemExit(f"{way}: {len(told)} heartbeat_{kind} for {len(names)} services")
            at[way] = {event.svc: event.at for event in told}
        found[kind] = {way: [at[way][name] - since[kind][name] for name in names] for way in WAYS}
    return found


async def _watched(prometheus: str, count: int, pace: Pace) -> None:
    """Return once all services are heard and watched past their warm-up, and nothing fires."""

    async def well() -> bool:
        query = {"query": "count(svc:heartbeat_state:code == 0)"}
        async with http.get(f"{prometheus}/api/v1/query", params=query) as answer:
            result = (await answer.json())["data"]["result"]
        return bool(result) and float(result[0]["value"][1]) == count

    async with aiohttp.ClientSession() as http:
        for _ in range(int(60 + 10 * pace.turn)):
            if await well():
                await asyncio.sleep(2 * pace.turn)
                return
            await asyncio.sleep(1.0)
    raise SystemExit("the services did not become watched")


async def _until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # noqa: ASYNC110  it is the state of other processes
        await asyncio.sleep(0.1)


def report(pace: Pace, found: Found) -> int:
    """Print a row for each way; return how many goals were missed."""
    goals = {"miss": 2 * pace.turn + 0.1, "ok": 2 * pace.turn + pace.group + 0.2}
    missed = 0
    for kind, ways in found.seconds.items():
        for way, seconds in ways.items():
            p99 = percentile(seconds, 0.99)
            goal = ""
            if way != "by hand":
                missed += p99 > goals[kind]
                goal = f"{goals[kind]:.2f} {'met' if p99 <= goals[kind] else 'MISSED'}"
            figures = " | ".join(f"{value:.2f}" for value in (percentile(seconds, 0.5), p99, max(seconds)))
            print(f"| {pace.turn:g} s | {kind} | {way} | {len(seconds)} | {figures} | {goal} |", flush=True)
    print(
        f"load at {pace.turn:g} s: {100 * found.pipeline:.1f} % of a core, by hand {100 * found.by_hand:.1f} %",
        file=sys.stderr,
    )
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--paces", type=float, nargs="+", default=[0.25, 1.0, 5.0], help="scrape and evaluation, seconds"
    )
    parser.add_argument("--group-interval", type=float, help="seconds; as the pace if not given")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--release", help="a Debian release to take the servers from")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random.seed(given.seed)
    print(
        "| pace | event | seen at | samples | p50 | p99 | worst | goal for p99 |\n|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    missed = 0
    for turn in given.paces:
        pace = Pace(turn, given.group_interval or turn)
        missed += report(pace, asyncio.run(run(pace, given.samples, given.release)))
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
