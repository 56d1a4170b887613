"""What shards and a Redis Cluster make cheaper: CPU and memory of exporters and servers at the same beats.

Real redis-servers and real `healer exporter` processes; each arrangement has the same services beat at the same rate for
some seconds. Every beat that is published has to be counted. Writes a table into docs/scaling.md.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from bench import page
from bench.flood import Flood
from bench.measure import cpu_seconds, resident_bytes
from bench.soak import document
from redis.asyncio import Redis
from redis.crc import key_slot
from tests import redises

from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from healer.stack.stack import Server

SECONDS = 10.0
"""For how long each arrangement is measured."""


@dataclass(frozen=True)
class Measured:
    """One arrangement. Shares are of a core.

    Attributes:
        what: Its name.
        busiest: CPU of the busiest exporter.
        exporters: CPU of all exporters.
        redis: CPU of the busiest redis-server that carries beats.
        resident_mb: Memory of the largest exporter.
        subscribed: Seconds from the start of the exporters until all services are watched.
        published: Beats that were published.
        counted: Beats that the exporters counted.
    """

    what: str
    busiest: float
    exporters: float
    redis: float
    resident_mb: float
    subscribed: float
    published: int
    counted: int


class Arrangement:
    """Exporters on a bus, and what publishes on it."""

    def __init__(
        self, what: str, buses: Sequence[Server], exporters: Sequence[Server], floods: Sequence[Flood]
    ) -> None:
        self.what = what
        self.buses = buses
        self.exporters = exporters
        self.floods = floods

    async def measure(self, http: aiohttp.ClientSession, services: int) -> Measured:
        """Start the exporters and the beats, and return what they cost."""
        begun = time.monotonic()
        for exporter in self.exporters:
            await exporter.start()
        await asyncio.gather(*(exporter.wait_ready(60) for exporter in self.exporters))
        async with asyncio.timeout(120):
            while await self._sum(http, b"heartbeat_watch_start_timestamp_seconds", above=0) < services:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.1)
        subscribed = time.monotonic() - begun
        tasks = [asyncio.create_task(flood.run()) for flood in self.floods]
        await asyncio.sleep(2.0)
        before, since = self._cpu(), time.monotonic()
        await asyncio.sleep(SECONDS)
        took = time.monotonic() - since
        used = {name: (now - before[name]) / took for name, now in self._cpu().items()}
        resident = max(resident_bytes(one.pid) for one in self.exporters)
        for flood in self.floods:
            flood.paused = True
            await flood.settled()
        await asyncio.sleep(1.0)
        counted = int(await self._sum(http, b"heartbeat_beats_total"))
        for task in tasks:
            task.cancel()
        mine = [used[one.name] for one in self.exporters]
        return Measured(
            self.what, round(max(mine), 3), round(sum(mine), 3), round(max(used[one.name] for one in self.buses), 3),
            round(resident / 1e6, 1), round(subscribed, 1), sum(flood.sent for flood in self.floods), counted,
        )  # fmt: skip

    def _cpu(self) -> dict[str, float]:
        return {one.name: cpu_seconds(one.pid) for one in (*self.exporters, *self.buses)}

    async def _sum(self, http: aiohttp.ClientSession, family: bytes, above: float | None = None) -> float:
        """Return the sum of a family over the services and exporters, or how many values lie above."""
        total = 0.0
        for exporter in self.exporters:
            async with http.get(f"{exporter.url}/metrics") as answer:
                body = await answer.read()
            values = [
                float(line.rpartition(b" ")[2])
                for line in body.splitlines()
                if line.startswith(family + b"{") and b'svc="svc' in line
            ]
            total += sum(values) if above is None else sum(value > above for value in values)
        return total


class World:
    """What all arrangements share."""

    def __init__(self, given: argparse.Namespace, folder: Path, ports: Ports) -> None:
        self.names = [f"svc{number}" for number in range(given.services)]
        self.rate = given.rate
        self.folder = folder
        self.ports = ports
        self.servers = find(None)
        self.store = stack.redis(self.servers.redis_server, folder, ports.take(), "store")

    async def truth(self, bus: str) -> None:
        """Have the services beat on `bus`."""
        text = json.dumps(document(bus, self.store.url, self.names))
        async with Redis.from_url(self.store.url) as redis:
            await redis.set("truth:doc", text)

    def exporters(self, shards: int) -> list[Server]:
        """Return exporters that share the services out, or one for all."""
        return [
            stack.healer(
                "exporter", self.folder, self.ports.take(), {"TRUTH_REDIS_URL": self.store.url}, name=f"exporter-{number}",
                options=("--shard", f"{number}/{shards}") if shards > 1 else (),
            )
            for number in range(1, shards + 1)
        ]  # fmt: skip

    async def sharded(self, http: aiohttp.ClientSession, shards: int) -> Measured:
        """Measure exporters that share the services of one Redis."""
        async with AsyncExitStack() as open_:
            bus = stack.redis(self.servers.redis_server, self.folder, self.ports.take(), f"bus-{shards}")
            open_.push_async_callback(bus.kill)
            await bus.start()
            await bus.wait_ready()
            await self.truth(bus.url)
            exporters = self.exporters(shards)
            for one in exporters:
                open_.push_async_callback(one.kill)
            what = f"one Redis, {shards} exporters" if shards > 1 else "one Redis, one exporter"
            flood = Flood(bus.url, self.names, self.rate)
            return await Arrangement(what, [bus], exporters, [flood]).measure(http, len(self.names))

    async def clustered(self, http: aiohttp.ClientSession, *, sharded: bool) -> Measured:
        """Measure one exporter on a cluster of three masters, by plain or by sharded messages."""
        folder = self.folder / f"cluster-{sharded}"
        async with AsyncExitStack() as open_:
            nodes = await open_.enter_async_context(redises.cluster(self.servers, folder, self.ports))
            await self.truth(redises.cluster_url(nodes) + ("?sharded=true" if sharded else ""))
            (exporter,) = self.exporters(1)
            open_.push_async_callback(exporter.kill)
            command = b"SPUBLISH" if sharded else b"PUBLISH"
            floods = []
            for number, node in enumerate(nodes):
                mine = [name for name in self.names if _master(name) == number]
                share = self.rate * len(mine) / len(self.names)
                floods.append(Flood(node.url, mine, share, command=command))
            what = f"a cluster of three, {'sharded' if sharded else 'plain'} messages"
            return await Arrangement(what, nodes, [exporter], floods).measure(http, len(self.names))


def _master(name: str) -> int:
    """Return which of three masters has the slot of a service's channel; see `tests.redises.cluster`."""
    return bisect.bisect_right((5461, 10923), key_slot(f"{name}:heartbeat".encode()))


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every arrangement; return the results."""
    load = os.getloadavg()[0]
    async with AsyncExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        world = World(given, folder, open_.enter_context(Ports()))
        open_.push_async_callback(world.store.kill)
        await world.store.start()
        await world.store.wait_ready()
        http = await open_.enter_async_context(aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}))
        rows = [await world.sharded(http, shards) for shards in (1, 2, 3)]
        rows += [await world.clustered(http, sharded=sharded) for sharded in (False, True)]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "load": round(load, 1),
        "services": given.services,
        "rate": given.rate,
        "rows": [asdict(row) for row in rows],
    }


def words(figures: dict[str, Any]) -> str:
    """Say what came of it."""
    lines = [
        "| | busiest exporter | all exporters | busiest redis-server | memory of the largest | started and watching after |",
        "|---|---|---|---|---|---|",
    ]
    for each in figures["rows"]:
        row = Measured(**each)
        lines.append(
            f"| {row.what} | {row.busiest:.1%} | {row.exporters:.1%} | {row.redis:.1%} | {row.resident_mb:.0f} MB | {row.subscribed} s |"
        )
    published = sum(row["published"] for row in figures["rows"])
    counted = sum(row["counted"] for row in figures["rows"])
    said = (
        f"{figures['services']:,} services, {figures['rate']:,.0f} beats a second; shares of a core. {published:,} beats"
        f" published, {counted:,} counted. {figures['date']}, load {figures['load']} before it. `make bench-shards` measures it."
    )
    return "\n".join([*lines, "", said]) + "\n"


def main() -> int:
    """Run it; the exit status says whether the counts agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    given = parser.parse_args()
    figures = asyncio.run(run(given))
    print(json.dumps(figures, indent=2))
    if not given.dry:
        page.write("shards", figures, words)
    return 0 if all(row["published"] == row["counted"] for row in figures["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
