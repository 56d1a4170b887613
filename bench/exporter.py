"""What the exporter's hot paths cost, each beside what one would take without them, in the same run; ratios first.

Every figure is the median of rounds in which all contenders take their turns, three of each where they share the cores with Redis.
Prints the table, writes it to bench/results.json, and from there into docs/scaling.md. On a machine that is busy otherwise, it
measures that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ingest, page, rendering, rivals, subscribing
from redis import Redis

from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1000, 10_000)
MANY = (10_000, 100_000)

TURNS = 3
"""In a round, of each that needs Redis all the time: no two turns get the same of the cores."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        ratio: Ours by theirs, or theirs by ours, or our figure itself where nothing is beside it.
        goal: What it should be; None: it is Redis' own doing, and has none.
        most: The goal is an upper bound, not a lower one.
        ours: Our figure, with its unit.
        theirs: The other's.
    """

    what: str
    ratio: float
    goal: float | None
    most: bool
    ours: str
    theirs: str

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.most else self.ratio >= self.goal


class Samples:
    """What was measured, by name, a value of each round."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        """Note what a round brought."""
        print(f"  {name}: {value:.6g}", file=sys.stderr, flush=True)
        self.values[name].append(value)

    def __getitem__(self, name: str) -> float:
        return statistics.median(self.values[name])

    def ratio(self, one: str, other: str) -> float:
        """Return the median of the ratios of each turn, or round if the other has no turns: what disturbs it disturbs both."""
        ours, theirs = self.values[one], self.values[other]
        turns = len(ours) // len(theirs)
        medians = [statistics.median(ours[start : start + turns]) for start in range(0, len(ours), turns)]
        return statistics.median(mine / yours for mine, yours in zip(medians, theirs, strict=True))


def measure(bus: ingest.Bus, folder: Path, ports: Ports, rounds: int) -> tuple[Samples, bool, bool]:
    """Return the samples, and whether there was a compiler, and others to compare with."""
    found = Samples()
    program = ingest.compiled(folder)
    root = rivals.fetched()
    Redis.from_url(bus.url).config_set("client-output-buffer-limit", "pubsub 0 0 0")
    kinds = ("ours", *(("c",) if program else ()), "redis-py")
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr, flush=True)
        for size in SIZES:
            for kind in TURNS * kinds:
                found.add(f"rate {kind} {size}", ingest.rate(kind, bus, size, program))
            for kind, cost in ingest.paced(bus, 1000, size).items():
                found.add(f"beat {kind} {size}", cost)
        for size in MANY:
            for kind, subscribe in TURNS * (("ours", subscribing.ours), ("redis-py", subscribing.redis_py)):
                took = subscribe(bus, size)
                found.add(f"subscribe {kind} {size}", took.first)
                found.add(f"again {kind} {size}", took.again)
                found.add(f"wait {kind} {size}", took.wait)
                found.add(f"end {kind} {size}", took.wait_end)
        ours, theirs = rendering.time_of_each(10_000)
        found.add("render ours", ours)
        found.add("render prometheus_client", theirs)
        for kind in ("ours", "prometheus_client"):
            found.add(f"memory {kind}", rendering.memory_of(kind, 20_000))
        if root:
            found.add("mqtt", rivals.mqtt_rate(root, folder, ports, 1000))
            found.add("push", rivals.push_rate(root, ports, 1000))
            found.add("redis_exporter", rivals.redis_scrape(root, bus, ports, 10_000))
    blocks = rendering.blocks(bus, 100_000)
    found.values["block wall"], found.values["block cpu"] = blocks["wall"], blocks["cpu"]
    found.values["scrape"] = rendering.blocks(bus, 10_000)["scrape"][:rounds]
    return found, program is not None, root is not None


class Table:
    """The rows, as they are made of the samples."""

    def __init__(self, found: Samples) -> None:
        self.found = found
        self.rows: list[Row] = []

    def rate(self, name: str) -> str:
        """Show messages per second."""
        return f"{self.found[name] / 1e3:.0f} k/s"

    def compare(
        self, what: str, goal: float, ours: str, theirs: str, show: Callable[[str], str], *, most: bool
    ) -> None:
        """Add a row with ours by theirs."""
        self.rows.append(Row(what, self.found.ratio(ours, theirs), goal, most, show(ours), show(theirs)))

    def cheaper(self, what: str, goal: float, ours: str, theirs: str, show: Callable[[str], str]) -> None:
        """Add a row with theirs by ours."""
        self.rows.append(Row(what, self.found.ratio(theirs, ours), goal, False, show(ours), show(theirs)))

    def bound(self, what: str, goal: float | None, value: float, ours: str, theirs: str = "") -> None:
        """Add a row with a figure that is held against nothing but a bound."""
        self.rows.append(Row(what, value, goal, True, ours, theirs))

    def ingest(self, *, compiled: bool) -> None:
        """Add what hearing costs."""
        for size in SIZES:
            ours = f"rate ours {size}"
            if compiled:
                what = f"ingest, {size:,} channels, of a reader in C"
                self.compare(what, 0.75, ours, f"rate c {size}", self.rate, most=False)
            what = f"ingest, {size:,} channels, of redis-py, json and gauges"
            self.compare(what, 12, ours, f"rate redis-py {size}", self.rate, most=False)
        for size in SIZES:
            what = f"CPU of a beat at {size:,} a second, of redis-py"
            names = f"beat ours {size}", f"beat redis-py {size}"
            self.compare(what, 0.25, *names, lambda name: f"{self.found[name]:.1f} µs", most=True)

    def subscribing(self) -> None:
        """Add what subscribing takes."""
        for size in MANY:
            for name, words in (("subscribe", "subscribing"), ("again", "subscribing again")):
                names = f"{name} ours {size}", f"{name} redis-py {size}"
                what = f"{words}, {size:,} channels, of redis-py"
                self.compare(what, 1 / 6, *names, lambda name: f"{self.found[name]:.2f} s", most=True)
            for name, words, goal in (("wait", "meanwhile", 15), ("end", "when it ends, Redis' own", None)):
                wait = 1e3 * self.found[f"{name} ours {size}"]
                other = f"{1e3 * self.found[f'{name} redis-py {size}']:.1f} ms"
                what = f"… longest wait of another client {words}, ms ({size:,})"
                self.bound(what, goal, wait, f"{wait:.1f} ms", other)

    def rendering(self) -> None:
        """Add what showing costs."""
        names = "render ours", "render prometheus_client"
        what = "rendering 10,000 services, CPU of prometheus_client by ours"
        self.cheaper(what, 30, *names, lambda name: f"{1e3 * self.found[name]:.1f} ms")
        names = "memory ours", "memory prometheus_client"
        what = "memory of 20,000 services, of prometheus_client"
        self.compare(what, 0.25, *names, lambda name: f"{self.found[name] / 1e6:.1f} MB", most=True)
        for kind, what in (("wall", "ms"), ("cpu", "ms of CPU")):
            median, worst = (
                1e3 * summary(self.found.values[f"block {kind}"]) for summary in (statistics.median, max)
            )
            label = f"event loop blocked in a scrape, 100,000 services, 5,000 beats/s, {what}"
            self.bound(label, 5, median, f"{median:.1f} ms")
            self.bound("… worst", 15, worst, f"{worst:.1f} ms")

    def others(self) -> None:
        """Add what others make of the nearest task."""
        for name, what, goal in (("mqtt", "prometheus-mqtt-exporter", 10), ("push", "a pushgateway", 30)):
            words = f"ingest, 1,000 channels, of {what}"
            self.compare(words, goal, "rate ours 1000", name, self.rate, most=False)
        what = "scrape of 10,000 services, prometheus-redis-exporter by ours"
        self.cheaper(what, 4, "scrape", "redis_exporter", lambda name: f"{self.found[name]:.2f} s")


def rows(found: Samples, compiled: bool, others: bool) -> list[Row]:
    """Make the table of the samples."""
    table = Table(found)
    table.ingest(compiled=compiled)
    table.subscribing()
    table.rendering()
    if others:
        table.others()
    return table.rows


def markdown(results: dict[str, Any]) -> str:
    """Return the table as it stands in the docs."""
    lines = ["| ratio | goal | | what | ours | beside it |", "|---|---|---|---|---|---|"]
    for given in results["rows"]:
        row = Row(**given)
        goal = "" if row.goal is None else f"{'≤' if row.most else '≥'} {row.goal:.3g}"
        verdict = {True: "met", False: "missed", None: ""}[row.met]
        lines.append(f"| {row.ratio:.3g} | {goal} | {verdict} | {row.what} | {row.ours} | {row.theirs} |")
    lines += ["", f"{results['date']}, {results['cores']} cores, load {results['load']} before it, {results['versions']}; median of {results['rounds']} rounds."]  # fmt: skip
    return "\n".join(lines) + "\n"


async def run(rounds: int) -> dict[str, Any]:
    """Measure everything; return the results."""
    load = os.getloadavg()[0]
    servers = find(None)
    with Ports() as ports, tempfile.TemporaryDirectory(prefix="healer-bench-") as name:
        folder = Path(name)
        server = stack.redis(servers.redis_server, folder, ports.take())
        await server.start()
        try:
            await server.wait_ready()
            bus = ingest.Bus(server.port)
            found, *present = await asyncio.to_thread(measure, bus, folder, ports, rounds)
        finally:
            await server.kill()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "versions": f"Python {platform.python_version()}, redis {servers.redis_server.version}",
        "rounds": rounds,
        "rows": [asdict(row) for row in rows(found, *present)],
        "samples": {key: [round(value, 7) for value in values] for key, values in found.values.items()},
    }


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    results = asyncio.run(run(options.rounds))
    print(markdown(results))
    if not options.dry:
        page.write("results", results, markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
