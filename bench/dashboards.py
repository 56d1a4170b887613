"""What the dashboards' queries cost on a real Prometheus that watches many services.

The stand-in of bench/rules.py serves the series of N services, some of which have stopped beating; Prometheus scrapes it
and evaluates our rules for a while. Then every query of every panel is asked as Grafana asks it, with as many steps as
an hour has on a screen, and its time and the number of series in its answer are noted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from rules import INTERVAL, QUIET, StandIn, truth_of

from healer.bundle import Settings, render, write
from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOARDS = Path(__file__).parents[1] / "grafana" / "dashboards"
STEPS = 720
"""An hour in steps of five seconds; the steps here are shorter, for the run is."""
TRIES = 3


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    panel: str
    expression: str
    instant: bool
    steps: int


def queries(seconds: float) -> Iterator[Query]:
    """Yield every query of every dashboard, its variables filled in for a range of `seconds`."""
    step = seconds / STEPS
    values = {
        "bus": ".*", "severity": ".*", "team": ".*", "top": "100", "svc": "svc000001", "slo": "0.999",
        "__range": f"{seconds:.0f}s", "__interval": f"{step * 1000:.0f}ms", "__interval_ms": f"{step * 1000:.0f}",
        "__rate_interval": f"{4 * INTERVAL:.0f}s",
    }  # fmt: skip
    for path in sorted(BOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel["targets"]:
                text = re.sub(r"\$\{?([a-z_]\w*)\}?", lambda found: values[found[1]], target["expr"])
                steps = min(STEPS, panel.get("maxDataPoints") or STEPS)
                yield Query(f"{path.stem}: {panel['title']}", text, target.get("instant", False), steps)


async def ask(session: aiohttp.ClientSession, url: str, query: Query, seconds: float) -> tuple[float, int]:
    """Return how many seconds the median answer took, and how many series were in it."""
    now = time.time()
    given: dict[str, str] = {"query": query.expression, "time": str(now)}
    if not query.instant:
        given |= {"start": str(now - seconds), "end": str(now), "step": str(seconds / query.steps)}
    took, series = [], 0
    for _ in range(TRIES):
        begun = time.perf_counter()
        async with session.post(
            f"{url}/api/v1/{'query' if query.instant else 'query_range'}", data=given
        ) as answer:
            said = await answer.json()
        took.append(time.perf_counter() - begun)
        assert said["status"] == "success", said
        series = len(said["data"]["result"])
    return statistics.median(took), series


async def measure(number: int, dead: int, seconds: float) -> list[tuple[Query, float, int]]:
    """Run Prometheus on `number` services for `seconds`; return each query with its time and series."""
    servers, truth = find(), truth_of(number)
    with tempfile.TemporaryDirectory() as name, Ports() as ports:
        folder = Path(name)
        app = web.Application()
        app.router.add_get("/metrics", StandIn(truth, dead).metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        exporter = ports.take()
        await web.TCPSite(runner, "127.0.0.1", exporter).start()
        (folder / "alertmanager.yml").write_text(QUIET)
        receiver = stack.alertmanager(servers.alertmanager, folder, ports.take(), folder / "alertmanager.yml")
        config = folder / "prometheus/prometheus.yml"
        server = stack.prometheus(servers.prometheus, folder, ports.take(), config, resend_delay=10)
        settings = Settings(
            exporters=(f"127.0.0.1:{exporter}",),
            prometheus=(server.address,),
            alertmanagers=(receiver.address,),
            scrape_interval=INTERVAL,
            evaluation_interval=INTERVAL,
        )
        files = render(truth, settings)
        write(
            {name: text for name, text in files.items() if name.startswith(("prometheus/", "rules/"))}, folder
        )
        await receiver.start()
        await server.start()
        try:
            await server.wait_ready(120)
            await asyncio.sleep(seconds)
            async with aiohttp.ClientSession() as session:
                return [
                    (query, *await ask(session, server.url, query, seconds)) for query in queries(seconds)
                ]
        finally:
            await server.stop()
            await receiver.stop()
            await runner.cleanup()


def main(arguments: Sequence[str]) -> None:
    """Measure at every size and print the slowest panels, the most series and the sums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 5000])
    parser.add_argument(
        "--dead", type=float, default=0.02, help="share of services that have stopped beating"
    )
    parser.add_argument("--seconds", type=float, default=100)
    options = parser.parse_args(arguments)
    for number in options.sizes:
        rows = asyncio.run(measure(number, max(1, int(number * options.dead)), options.seconds))
        boards: dict[str, float] = {}
        for query, took, _ in rows:
            board = query.panel.split(":")[0]
            boards[board] = boards.get(board, 0.0) + took
        print(f"{number} services, {len(rows)} queries; one view, all queries one after the other:")
        print("  " + ", ".join(f"{board} {1e3 * took:.0f} ms" for board, took in boards.items()))
        for query, took, series in sorted(rows, key=lambda row: -row[1])[:8]:
            print(f"  {1e3 * took:8.1f} ms {series:5} series  {query.panel}")
        query, _, series = max(rows, key=lambda row: row[2])
        print(f"  most series: {series}  {query.panel}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
