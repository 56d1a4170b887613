"""Ten million beats as fast as Redis delivers them, with a scrape every second: as many counted as published, and how late.

A real Redis, a real `healer exporter` process. First everything at once, for the count; then 50,000 a second for a while,
for how long a beat takes from the publisher's clock to the board. Prints a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
from bench import page
from bench.flood import Flood
from bench.measure import percentile
from bench.soak import BEATS, LOST, SKEW, document
from redis.asyncio import Redis

from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import find

SECONDS = 30.0
"""For how long latency is measured."""

FASTEST = 200_000.0
"""Beats per second while counting: what is on the way when a scrape looks has to fit into Redis' output buffer, 32 MB."""

MOST_BEHIND = 100_000
"""Beats on the way from which on the publisher waits: a service beats, it does not flood."""


class Scraper:
    """Scrapes every second, and keeps what it saw last."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url
        self.scrapes = 0
        self.skews: list[float] = []
        self.flood: Flood | None = None
        self.before = 0

    async def run(self) -> None:
        """Scrape until cancelled; let the publisher wait for an exporter that is behind."""
        while True:
            due = time.monotonic() + 1.0
            body = await self.body()
            self.skews += map(float, SKEW.findall(body))
            self.scrapes += 1
            if self.flood is not None:
                counted = sum(int(float(value)) for value in BEATS.findall(body))
                self.flood.paused = self.before + self.flood.delivered - counted > MOST_BEHIND
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def body(self) -> bytes:
        """Return one scrape."""
        async with self._http.get(f"{self._url}/metrics") as answer:
            return await answer.read()

    async def counted(self) -> tuple[int, int, float]:
        """Return how many beats are counted, how many gaps, and how often the bus was lost."""
        body = await self.body()
        beats = sum(int(float(value)) for value in BEATS.findall(body))
        found = re.search(rb'^heartbeat_bus_reconnects_total\{bus="bus"\} (\S+)$', body, re.MULTILINE)
        return (
            beats,
            sum(int(float(value)) for _, value in LOST.findall(body)),
            float(found[1]) if found else -1,
        )


async def run(messages: int, channels: int) -> dict[str, Any]:
    """Publish, scrape, count; return the figures."""
    async with AsyncExitStack() as open_:
        servers = find(None)
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        ports = open_.enter_context(Ports())
        bus = stack.redis(servers.redis_server, folder, ports.take())
        names = [f"svc{number}" for number in range(channels)]
        exporter = stack.healer("exporter", folder, ports.take(), {"TRUTH_REDIS_URL": bus.url})
        open_.push_async_callback(bus.kill)
        await bus.start()
        await bus.wait_ready()
        async with Redis.from_url(bus.url) as redis:
            truth = document(bus.url, bus.url, names)
            truth["services"]["healer"]["heartbeat"] = {"interval_sec": 5, "timeout_sec": 30}
            for name in names:
                truth["services"][name]["heartbeat"] = {"interval_sec": 1, "timeout_sec": 600}
            await redis.set("truth:doc", json.dumps(truth))
        open_.push_async_callback(exporter.kill)
        await exporter.start()
        await exporter.wait_ready(60)
        http = await open_.enter_async_context(aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}))
        scraper = Scraper(http, exporter.url)
        async with asyncio.timeout(120):
            while b'heartbeat_bus_up{bus="bus"} 1.0' not in (body := await scraper.body()):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.2)
            assert body
        scraping = asyncio.create_task(scraper.run())
        seconds, delivered, flood = await _flood(
            scraper, bus.url, names, FASTEST, lambda flood: flood.sent >= messages
        )
        counted = await _all_of(scraper, delivered)
        scrapes, scraper.skews = scraper.scrapes, []
        begun = time.monotonic()
        _, late, _ = await _flood(
            scraper, bus.url, names, 50_000.0, lambda _: time.monotonic() - begun > SECONDS
        )
        await _all_of(scraper, delivered + late)
        scraping.cancel()
        return {
            "published": delivered, "sent": flood.sent, "counted": counted[0], "gaps": counted[1],
            "reconnects": counted[2], "load": round(os.getloadavg()[0], 1), "channels": channels, "scrapes_meanwhile": scrapes,
            "messages_per_second": round(delivered / seconds),
            "latency_messages_per_second": round(late / SECONDS),
            "latency_ms_p50": round(1e3 * percentile(scraper.skews, 0.5), 1),
            "latency_ms_p99": round(1e3 * percentile(scraper.skews, 0.99), 1),
        }  # fmt: skip


async def _flood(
    scraper: Scraper, url: str, names: list[str], rate: float, enough: Any
) -> tuple[float, int, Flood]:
    flood = scraper.flood = Flood(url, names, rate)
    task = asyncio.create_task(flood.run())
    begun = time.monotonic()
    while not enough(flood):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.01)
    scraper.flood = None
    flood.paused = True
    await flood.settled()
    seconds = time.monotonic() - begun
    scraper.before += flood.delivered
    task.cancel()
    return seconds, flood.delivered, flood


async def _all_of(scraper: Scraper, wanted: int) -> tuple[int, int, float]:
    """Return what is counted once it is all, or will not become more."""
    before = (-1, 0, 0.0)
    while (now := await scraper.counted())[0] < wanted and now != before:
        before = now
        await asyncio.sleep(2.0)
    return now


def words(figures: dict[str, Any]) -> str:
    """Say what came of it."""
    return (
        f"{figures['published']:,} beats delivered on {figures['channels']:,} channels, {figures['counted']:,} counted,"
        f" {figures['gaps']:,} gaps, with {figures['scrapes_meanwhile']:,} scrapes meanwhile;"
        f" {figures['messages_per_second']:,} a second, the machine's load {figures['load']}.\n"
        f"From the publisher's clock to the board at {figures['latency_messages_per_second']:,} a second:"
        f" half within {figures['latency_ms_p50']} ms, 99 of 100 within {figures['latency_ms_p99']} ms.\n"
        "`make bench-count` measures it.\n"
    )


def main() -> int:
    """Run it; the exit status says whether the counts agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    given = parser.parse_args()
    figures = asyncio.run(run(given.messages, given.channels))
    print(json.dumps(figures, indent=2))
    if not given.dry:
        page.write("count", figures, words)
    return 0 if figures["published"] == figures["counted"] >= given.messages and figures["gaps"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
