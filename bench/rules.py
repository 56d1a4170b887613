"""What the rules cost on a real Prometheus, by number of services, beside the shapes people write by hand.

A stand-in exporter serves the series of N services, rendered as the real one renders them; Prometheus scrapes it
and evaluates one of three rule files: ours, one literal alert per service, or one alert that joins last seen with
a threshold series. Read from Prometheus itself: seconds of one evaluation, iterations missed, memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from healer.beats.board import Slot
from healer.bundle import Settings, render, write
from healer.bundle.shape import queue_capacity
from healer.exporter.columns import Columns
from healer.exporter.families import Moment
from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find
from healer.truth.model import Bus, Monitor, Service, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

BUS = "system-redis"

EVALUATION = "sum(prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)"
"""What share of an interval all groups together take."""

PAGE = 'max(prometheus_rule_group_last_duration_seconds{rule_group=~".*;heartbeat(-shard-[0-9]+)?"})'

QUIET = """\
route: {receiver: none, group_by: [alertname, svc]}
receivers: [{name: none}]
"""
"""An Alertmanager that takes alerts and tells nobody."""

DROPPED = "sum(prometheus_notifications_dropped_total)"

CPU = 'process_cpu_seconds_total{job="prometheus"}'

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, without what is before the point, are spread evenly: ages of beats from none to an interval."""

SETTLED = 3
"""Samples of the first evaluations, in which series are created, that do not count."""


@dataclass(frozen=True)
class Measured:
    """One shape at one size.

    Attributes:
        shape: Whose rules.
        services: How many services.
        evaluation_ms: Median time that all groups together take in one interval; a group evaluated every six
            intervals counts with a sixth.
        page_ms: Median duration of one evaluation of the group that a page waits for, the longest of its shards.
        cpu_ms: CPU time of Prometheus in one interval, scraping included; compare with that of no rules.
        missed: Iterations that Prometheus left out.
        resident_mb: Prometheus' memory.
        firing: Services that were firing while it was measured.
        delivered: Alerts that Alertmanager had of them.
        dropped: Notifications that Prometheus dropped, but for the Watchdog of its very first evaluation, when it has
            not looked up yet where its Alertmanager is.
    """

    shape: str
    services: int
    evaluation_ms: float
    page_ms: float
    cpu_ms: float
    missed: int
    resident_mb: float
    firing: int
    delivered: int
    dropped: int


@dataclass(frozen=True)
class Run:
    """How each shape is measured.

    Attributes:
        dead: Services that have stopped beating.
        interval: Seconds between two scrapes, and two evaluations.
        seconds: How long it runs.
        release: Debian release to take the servers from.
        shards: Over how many groups our rules share the services out.
    """

    dead: int
    interval: float
    seconds: float
    release: str | None
    shards: int


def truth_of(number: int) -> Truth:
    """Return a truth of `number` services in a few classes, as large truths have."""
    timeouts = (30.0, 60.0, 120.0)
    services = tuple(
        Service(f"svc{i:06}", BUS, f"svc{i:06}:heartbeat", timeouts[i % 3] / 3, timeouts[i % 3])
        for i in range(number)
    )
    return Truth(services, (Bus(BUS, "redis://127.0.0.1:6379"),), Monitor(), "bench", "0" * 64)


class StandIn:
    """Serves what an exporter of all these services would; `dead` of them have stopped beating."""

    def __init__(self, truth: Truth, dead: int) -> None:
        self._slots = [Slot(service) for service in truth.services]
        self._columns = Columns(self._slots)
        self._since = time.monotonic() - 3600
        self._dead = dead

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer a scrape."""
        now = time.monotonic()
        for index, slot in enumerate(self._slots):
            slot.listen(self._since)
            if index >= self._dead or slot.last is None:
                age = 3600.0 if index < self._dead else index * GOLDEN % 1 * slot.service.interval
                slot.note(now - age)
        offset = time.time() - now
        text = b"".join(self._columns.render(Moment(offset, frozenset({BUS})), openmetrics=False))
        text += (
            f'heartbeat_bus_up{{bus="{BUS}"}} 1\n'
            f'heartbeat_bus_loopback_timestamp_seconds{{bus="{BUS}"}} {now + offset}\n'
            f'heartbeat_truth_info{{sha256="{"0" * 64}",version="bench"}} 1\n'
        ).encode()
        return web.Response(body=text, content_type="text/plain")


def ours(truth: Truth, settings: Settings) -> dict[str, str]:
    """Return the generated rules."""
    return {name: text for name, text in render(truth, settings).items() if name.startswith("rules/")}


def group(rules: str, settings: Settings) -> dict[str, str]:
    """Return a file with one group of these rules."""
    head = f"groups:\n- name: heartbeat\n  interval: {settings.evaluation_interval:g}s\n  rules:\n"
    return {"rules/rules.yml": head + rules}


def literal(truth: Truth, settings: Settings) -> dict[str, str]:
    """Return one literal alert per service."""
    rules = "".join(
        f'  - alert: Miss_{s.name}\n    expr: time() - heartbeat_last_seen_timestamp_seconds{{svc="{s.name}"}} > {s.timeout:g}\n'
        for s in truth.services
    )
    return group(rules, settings)


def join(_: Truth, settings: Settings) -> dict[str, str]:
    """Return one alert that joins last seen with the exporter's own threshold series."""
    expr = "time() - heartbeat_last_seen_timestamp_seconds > on (svc) heartbeat_timeout_seconds"
    return group(f"  - alert: Miss\n    expr: {expr}\n", settings)


def none(_: Truth, __: Settings) -> dict[str, str]:
    """Return nothing: what scraping alone costs."""
    return {}


SHAPES = {"no rules": none, "healer": ours, "one alert per service": literal, "one naive join": join}


async def sample(session: aiohttp.ClientSession, url: str, promql: str) -> list[float]:
    """Return the values of an instant query."""
    async with session.get(f"{url}/api/v1/query", params={"query": promql}) as answer:
        return [float(series["value"][1]) for series in (await answer.json())["data"]["result"]]


async def measure(shape: str, number: int, run: Run) -> Measured:
    """Run one Prometheus with one shape and read what it says of itself."""
    servers = find(run.release)
    truth = truth_of(number)
    with tempfile.TemporaryDirectory() as name, Ports() as ports:
        folder = Path(name)
        stand_in, app = StandIn(truth, run.dead), web.Application()
        app.router.add_get("/metrics", stand_in.metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        exporter = ports.take()
        await web.TCPSite(runner, "127.0.0.1", exporter).start()
        (folder / "alertmanager.yml").write_text(QUIET)
        receiver = stack.alertmanager(servers.alertmanager, folder, ports.take(), folder / "alertmanager.yml")
        server = stack.prometheus(
            servers.prometheus,
            folder,
            ports.take(),
            folder / "prometheus/prometheus.yml",
            resend_delay=10,
            queue_capacity=queue_capacity(truth),
        )
        settings = Settings(
            exporters=(f"127.0.0.1:{exporter}",),
            prometheus=(server.address,),
            alertmanagers=(receiver.address,),
            scrape_interval=run.interval,
            evaluation_interval=run.interval,
            rule_shards=run.shards,
        )
        files = render(truth_of(1), settings)
        write(
            {
                "prometheus/prometheus.yml": files["prometheus/prometheus.yml"],
                **SHAPES[shape](truth, settings),
            },
            folder,
        )
        await receiver.start()
        try:
            await server.start()
            await server.wait_ready(120)
            async with aiohttp.ClientSession() as session:
                durations: list[float] = []
                pages: list[float] = []
                drops: list[float] = []
                end = time.monotonic() + run.seconds
                while time.monotonic() < end:
                    await asyncio.sleep(run.interval)
                    durations += await sample(session, server.url, EVALUATION)
                    pages += await sample(session, server.url, PAGE)
                    drops += await sample(session, server.url, DROPPED)
                used = await sample(
                    session, server.url, f"rate({CPU}[{max(3 * run.interval, run.seconds / 2):.0f}s])"
                )
                missed = await sample(
                    session, server.url, "sum(prometheus_rule_group_iterations_missed_total)"
                )
                resident = await sample(
                    session, server.url, 'process_resident_memory_bytes{job="prometheus"}'
                )
                firing = await sample(
                    session, server.url, 'count(ALERTS{alertstate="firing", alertname=~".*Miss.*"})'
                )
                delivered = await sample(
                    session, server.url, 'sum(alertmanager_alerts{job="alertmanager", state="active"})'
                )
        finally:
            await server.stop()
            await receiver.stop()
            await runner.cleanup()
    return Measured(
        shape,
        number,
        round(1e3 * statistics.median(durations[SETTLED:] or [0]) * run.interval, 1),
        round(1e3 * statistics.median(pages[SETTLED:] or [0]), 1),
        round(1e3 * sum(used) * run.interval, 1),
        int(sum(missed)),
        round(max(resident, default=0) / 1e6),
        int(sum(firing)),
        int(sum(delivered)),
        int(max(drops, default=0) - min(drops, default=0)),
    )


def main(arguments: Sequence[str]) -> None:
    """Measure every shape at every size and print the table, ratios last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 50_000])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--dead", type=int, default=0, help="services that have stopped beating")
    parser.add_argument("--interval", type=float, default=5, help="seconds between two evaluations")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--release", help="Debian release to take Prometheus from")
    parser.add_argument("--rule-shards", type=int, default=1, help="groups that share the services out")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    run = Run(options.dead, options.interval, options.seconds, options.release, options.rule_shards)
    rows = []
    for number in options.sizes:
        for shape in options.shapes:
            row = asyncio.run(measure(shape, number, run))
            rows.append(row)
            print(
                f"{row.services:7} {row.shape:22} {row.evaluation_ms:9.1f} ms  page {row.page_ms:8.1f} ms  cpu {row.cpu_ms:9.1f} ms  missed {row.missed}  "
                f"{row.resident_mb:6.0f} MB  firing {row.firing} delivered {row.delivered} dropped {row.dropped}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
