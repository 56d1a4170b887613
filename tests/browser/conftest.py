"""The pages in a real Chromium. Run by `make test-browser`; `make test` leaves them out, for it installs no browser."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

MISSING = "no Chromium on PATH and none named by HEALER_CHROMIUM; `make test-browser` says how to get one"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless they are asked for by name."""
    return None if any("browser" in str(argument) for argument in config.invocation_params.args) else True


@dataclass
class Fleet:
    """An exporter, its bus, and services that beat.

    Attributes:
        url: The exporter's.
        exporter: Its process.
        bus: The Redis server.
        names: The services.
        silent: Those of them that do not beat.
    """

    url: str
    exporter: stack.Server
    bus: stack.Server
    names: list[str]
    silent: set[str] = field(default_factory=set)
    count: int = 0

    async def beat(self) -> None:
        """Publish one beat of every service that is not silent."""
        self.count += 1
        async with Redis.from_url(self.bus.url) as redis:
            pipe = redis.pipeline(transaction=False)
            for name in self.names:
                if name not in self.silent:
                    pipe.publish(
                        f"{name}:heartbeat", json.dumps({"svc": name, "i": self.count, "ts": time.time()})
                    )
            await pipe.execute()

    async def seed(self, limit: float) -> None:
        """Write the truth of `names`."""
        document = {
            "version": "7",
            "buses": {"test": {"url": self.bus.url}},
            "services": {
                **{name: {"heartbeat": {"interval_sec": 1, "timeout_sec": limit}} for name in self.names},
                "healer": {
                    "access_points": {
                        "subscribe_to": [{"bus": "test", "key": f"{name}:heartbeat"} for name in self.names]
                    },
                    "heartbeat": {"interval_sec": 1, "timeout_sec": 4},
                },
            },
        }
        async with Redis.from_url(self.bus.url) as redis:
            await redis.set("truth:doc", json.dumps(document))


@pytest_asyncio.fixture
async def fleet(servers, redis_server, ports, tmp_path) -> AsyncIterator[Any]:
    """Return a factory: `async with fleet("mesh", limit=4.0) as fleet`."""

    @asynccontextmanager
    async def start(*names: str, limit: float = 4.0) -> AsyncIterator[Fleet]:
        bus = await redis_server()
        exporter = stack.healer("exporter", tmp_path, ports.take(), {"TRUTH_REDIS_URL": bus.url})
        made = Fleet(exporter.url, exporter, bus, list(names))
        await made.seed(limit)
        await exporter.start()
        await exporter.wait_ready()

        async def beat() -> None:
            while True:
                if bus.running:
                    await made.beat()
                await asyncio.sleep(1.0)

        await asyncio.sleep(1.0)
        beating = asyncio.create_task(beat())
        try:
            yield made
        finally:
            beating.cancel()
            await asyncio.wait([beating])
            await exporter.kill()

    yield start


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser of the test's own."""
    found = os.environ.get("HEALER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.fail(MISSING, pytrace=False)
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        # Its own sandbox needs rights that a container does not give; the pages are ours.
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def tab(browser: Browser, url: str, **settings: Any) -> AsyncIterator[Page]:
    """Open a page; fails at the end on any error of a script or of the content policy."""
    context = await browser.new_context(**settings)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(url)
    yield page
    # A server that was killed by the test is no error of the page.
    assert [line for line in said if "net::ERR" not in line] == []
    await context.close()
