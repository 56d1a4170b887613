"""What showing the services costs beside prometheus_client: time, memory, and how long nothing else gets its turn."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import ClientSession, web
from bench.flood import publish
from bench.ingest import connection
from bench.measure import resident_bytes
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from healer.beats.board import Slot
from healer.exporter.columns import Columns
from healer.exporter.families import FAMILIES, Moment
from healer.exporter.metrics import HeartbeatCollector
from healer.exporter.wiring import Wiring
from healer.runtime.clock import Anchor, SystemClock
from healer.truth.load import parse
from healer.truth.model import Service
from healer.web.face import Face, application, process_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.ingest import Bus
    from prometheus_client import Metric

BEATS_PER_SECOND = 5000
SCRAPES = 6


def heard(number: int) -> list[Slot]:
    """Return the slots of services that have all been heard."""
    slots = [Slot(Service(f"svc{i}", "bus", f"svc{i}:heartbeat", 10.0, 30.0)) for i in range(number)]
    for index, slot in enumerate(slots):
        slot.listen(1.5)
        slot.hear(b'{"i":1,"ts":1795350000}', 100.0 + index / 7, 1_795_350_000.5)
    return slots


class Plain(Collector):
    """The same families through prometheus_client."""

    def __init__(self, slots: Sequence[Slot], moment: Moment) -> None:
        self._slots, self._moment = slots, moment

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for family in FAMILIES:
            kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = kind(family.name, family.text, labels=("svc", "bus"))
            for slot, value in zip(self._slots, family.column(self._slots, self._moment), strict=True):
                if value is not None:
                    metric.add_metric([slot.name, slot.service.bus], value)
            yield metric


def children(slots: Sequence[Slot], moment: Moment) -> CollectorRegistry:
    """Return the same families as labelled gauges and counters, the way they are usually kept."""
    registry = CollectorRegistry()
    for family in FAMILIES:
        kind: Any = Gauge if family.kind == "gauge" else Counter
        metric = kind(family.name, family.text, ["svc", "bus"], registry=registry)
        for slot, value in zip(slots, family.column(slots, moment), strict=True):
            if value is not None:
                child = metric.labels(slot.name, slot.service.bus)
                child.set(value) if family.kind == "gauge" else child.inc(value)
    return registry


def cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def time_of_each(number: int) -> tuple[float, float]:
    """Return the CPU seconds of one rendering: ours, and prometheus_client's of labelled metrics."""
    slots, moment = heard(number), Moment(1_795_350_000.0, frozenset({"bus"}))
    columns, registry = Columns(slots), children(slots, moment)
    warm = [*columns.render(moment, openmetrics=False)]
    assert len(warm) > number / 1000
    return (
        cpu(lambda: [*columns.render(moment, openmetrics=False)]),
        cpu(lambda: generate_latest(registry)),
    )


def memory_of(kind: str, number: int) -> int:
    """Return the bytes that the state of so many services takes, in a process of its own."""
    argv = [sys.executable, "-m", "bench.rendering", kind, str(number)]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def _memory(kind: str, number: int) -> None:
    services = [Service(f"svc{i}", "bus", f"svc{i}:heartbeat", 10.0, 30.0) for i in range(number)]
    moment = Moment(1_795_350_000.0, frozenset({"bus"}))
    before = resident_bytes(os.getpid())
    slots = [Slot(service) for service in services]
    for slot in slots:
        slot.listen(1.5)
        slot.hear(b'{"i":1,"ts":1795350000}', 100.0, 1_795_350_000.5)
    if kind == "ours":
        kept: object = Columns(slots)
        for _ in kept.render(moment, openmetrics=False):  # type: ignore[attr-defined]
            pass
    else:
        kept = children(slots, moment)
    print(resident_bytes(os.getpid()) - before)
    assert kept


def blocks(bus: Bus, number: int) -> dict[str, Any]:
    """Return how long nothing else got its turn in scrapes of so many services, with beats coming in."""
    argv = [sys.executable, "-m", "bench.rendering", "exporter", bus.url, str(number)]
    each = [publish(b"svc%d:heartbeat" % n, b'{"svc":"svc%d","i":1}' % n) for n in range(number)]
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process,
        connection(bus) as out,
    ):
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the exporter to be measured did not get ready")
        sent, begun = 0, time.monotonic()
        while process.poll() is None:
            due = int((time.monotonic() - begun) * BEATS_PER_SECOND)
            while sent < due:
                out.sendall(each[sent % number])
                sent += 1
            time.sleep(0.002)
        found: dict[str, Any] = json.loads(process.stdout.read())
    return found


async def _exporter(url: str, number: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    access = [{"bus": "bus", "key": f"svc{one}:heartbeat"} for one in range(number)]
    document = {
        "buses": {"bus": {"url": url}},
        "services": {"healer": {"access_points": {"subscribe_to": access}}},
    }
    clock = SystemClock()
    wiring = Wiring("bench", clock)
    running = asyncio.create_task(wiring.run())
    await wiring.adopt(parse(json.dumps(document), env={}).truth)
    gc.freeze()  # as the exporter does
    while wiring.waiting_for() or not all(slot.since for slot in wiring.board):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.1)
    collector = HeartbeatCollector(wiring, Anchor(clock), {})
    registry = process_registry()
    registry.register(collector)

    async def reload() -> str | None:
        return None

    face = Face(
        "bench", "bench", registry, wiring.waiting_for, reload,
        stream=lambda openmetrics: collector.services(openmetrics=openmetrics),
    )  # fmt: skip
    runner = web.AppRunner(application(face), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print("ready", flush=True)
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.rendering", "scrape", str(port), stdout=asyncio.subprocess.PIPE
    )
    longest = _timed_callbacks()
    assert scraper.stdout is not None
    found: dict[str, list[float]] = {"wall": [], "cpu": [], "scrape": []}
    for _ in range(SCRAPES):
        await scraper.stdout.readline()
        longest.update(wall=0.0, cpu=0.0)
        found["scrape"].append(float(await scraper.stdout.readline()))
        found["wall"].append(longest["wall"])
        found["cpu"].append(longest["cpu"])
    beats = sum(slot.beats for slot in wiring.board)
    await runner.cleanup()
    running.cancel()
    print(json.dumps({**found, "beats": beats}), flush=True)


def _timed_callbacks() -> dict[str, float]:
    """Measure every callback of the event loop from now on; return where the longest is noted."""
    longest = {"wall": 0.0, "cpu": 0.0}
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        begun, used = time.perf_counter(), time.thread_time()
        run(handle)
        longest["wall"] = max(longest["wall"], time.perf_counter() - begun)
        longest["cpu"] = max(longest["cpu"], time.thread_time() - used)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    return longest


async def _scrape(port: int) -> None:
    async with ClientSession(headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as session:
        for _ in range(SCRAPES):
            await asyncio.sleep(1.0)
            print("now", flush=True)
            begun = time.monotonic()
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                await answer.read()
            print(time.monotonic() - begun, flush=True)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "exporter":
        asyncio.run(_exporter(rest[0], int(rest[1])))
    elif what == "scrape":
        asyncio.run(_scrape(int(rest[0])))
    else:
        _memory(what, int(rest[0]))
