"""An exporter process on real Redis servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


def truth(*services: str, url: str, timeout: float = 1.5) -> dict[str, Any]:
    """Return a document with `services` on one bus called `test`, beating every 0.3 s."""
    return {
        "version": "7",
        "buses": {"test": {"url": url}},
        "services": {
            **{name: {"heartbeat": {"interval_sec": 0.3, "timeout_sec": timeout}} for name in services},
            "healer": {
                "access_points": {
                    "subscribe_to": [{"bus": "test", "key": f"{name}:heartbeat"} for name in services],
                    "publish_to": [{"bus": "test", "key": "healer:alerts"}],
                },
                "heartbeat": {"interval_sec": 0.3, "timeout_sec": 1.5},
            },
        },
    }


async def seed(url: str, document: object) -> None:
    async with Redis.from_url(url) as redis:
        await redis.set("truth:doc", document if isinstance(document, str) else json.dumps(document))


async def publish(url: str, channel: str, payload: str = "{}") -> None:
    async with Redis.from_url(url) as redis:
        await redis.publish(channel, payload)


@dataclass
class Exporter:
    """A running `healer exporter`."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with ClientSession() as session, session.request(method, url) as answer:
            return answer.status, await answer.text()

    async def metrics(self) -> dict[str, float]:
        """Return every sample as `name{label="value",...}`."""
        _, text = await self.get("/metrics")
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples

    async def until(
        self, condition: Callable[[dict[str, float]], object], seconds: float = PATIENCE
    ) -> dict[str, float]:
        """Scrape until `condition` holds of the samples; return them."""
        start = time.monotonic()
        while True:
            with contextlib.suppress(OSError):
                samples = await self.metrics()
                if condition(samples):
                    return samples
            assert time.monotonic() - start < seconds, self.log.read_text()
            await asyncio.sleep(0.02)

    def logged(self, pattern: str) -> list[str]:
        """Return the log lines that match."""
        return [line for line in self.log.read_text().splitlines() if re.search(pattern, line)]


@pytest_asyncio.fixture
async def exporter_at(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Exporter]]]:
    """Return a factory: `await exporter_at(port, url, *options)` starts the process; it need not be ready then."""
    started: list[Exporter] = []

    async def start(port: int, url: str, *options: str, **env: str) -> Exporter:
        log = tmp_path / ("exporter.log" if not started else f"exporter-{len(started)}.log")
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "healer", "exporter", "--listen", f"127.0.0.1:{port}", *options),
                stderr=file,
                env={**os.environ, "TRUTH_REDIS_URL": url, **env},
            )
        started.append(Exporter(process, port, log))
        return started[-1]

    yield start
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
        await one.process.wait()


@pytest_asyncio.fixture
async def exporter(free_port: int, exporter_at: Any) -> Callable[..., Awaitable[Exporter]]:
    """Return a factory: `await exporter(url)`."""

    async def start(url: str, **env: str) -> Exporter:
        started: Exporter = await exporter_at(free_port, url, **env)
        return started

    return start
