"""A bus in trouble: a real Redis behind a proxy, a real exporter, and a real Prometheus with the generated rules.

Two services tell whether anybody was fooled: `alive` beats all the time, straight to Redis, and must never be
missing; `dead` fell silent before the trouble began, and must be missing at every moment until it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.beats.proxy import Proxy

from healer.bundle import Settings, render, write
from healer.runtime.tasks import end
from healer.stack import stack
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

INTERVAL, TIMEOUT = 0.4, 2.4
"""Of both services, in seconds. The own beat then goes out every 0.4 s, and its absence is known after 1.05 s."""

DETECTED = TIMEOUT - INTERVAL
"""A bus must be known not to be heard before the first service on it could be called missing."""

SCRAPE = 0.5

MISSING = 'ALERTS{{alertname="HeartbeatMiss",alertstate="firing",svc="{svc}"}}'

# Stands in for a name server that can be taken away: names resolve as long as a file is there.
NAMES = """
import os, socket, sys
real = socket.getaddrinfo
def getaddrinfo(host, *rest, **named):
    if host == "bus.example":
        if os.path.exists(sys.argv[0]):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        host = "127.0.0.1"
    return real(host, *rest, **named)
socket.getaddrinfo = getaddrinfo
sys.argv[0] = os.environ["GONE"]
from healer.cli import main
main(args=sys.argv[1:], prog_name="healer")
"""


def document(url: str, *, events: str) -> dict[str, Any]:
    beat = {"interval_sec": INTERVAL, "timeout_sec": TIMEOUT}
    access = {
        "subscribe_to": [{"bus": "bus", "key": f"{name}:heartbeat"} for name in ("alive", "dead")],
        "publish_to": [{"bus": "events", "key": "healer:alerts"}],
    }
    own = {"interval_sec": INTERVAL, "timeout_sec": 30}
    return {
        "buses": {"bus": {"url": url}, "events": {"url": events}},
        "services": {
            "alive": {"heartbeat": beat},
            "dead": {"heartbeat": beat},
            "healer": {"access_points": access, "heartbeat": own},
        },
    }


@dataclass
class Trouble:
    """The running world.

    Attributes:
        url: Where services publish; may change.
        exporter: The exporter's process.
        at: Its URL.
        prometheus: Prometheus.
        log: What the exporter says.
        proxy: Between the exporter and Redis.
    """

    url: str
    exporter: asyncio.subprocess.Process
    at: str
    prometheus: stack.Server
    log: Path
    proxy: Proxy | None = None
    beating: set[str] = field(default_factory=lambda: {"alive", "dead"})
    begun: float = 0.0

    async def beat(self) -> None:
        """Publish the beats of whoever lives; a service tries on whatever becomes of its bus."""
        number = 0
        while True:
            number += 1
            for name in tuple(self.beating):
                with contextlib.suppress(RedisError, OSError):
                    async with asyncio.timeout(0.5), Redis.from_url(self.url, socket_timeout=0.5) as redis:
                        beat = {"svc": name, "i": number, "ts": int(time.time())}
                        await redis.publish(f"{name}:heartbeat", json.dumps(beat))
            await asyncio.sleep(INTERVAL)

    async def samples(self) -> dict[str, float]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.at}/metrics") as answer:
            text = await answer.text()
        return {
            f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def until(
        self, condition: Callable[[dict[str, float]], object], seconds: float
    ) -> tuple[float, dict[str, float]]:
        """Look at the metrics until `condition` holds; return how long that took, and them."""
        begun = time.monotonic()
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                samples = await self.samples()
                if condition(samples):
                    return time.monotonic() - begun, samples
            assert time.monotonic() - begun < seconds, self.log.read_text()
            await asyncio.sleep(0.02)

    async def ask(self, query: str, **parameters: float) -> list[dict[str, Any]]:
        path = "query_range" if parameters else "query"
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.prometheus.url}/api/v1/{path}", params={"query": query, **parameters}) as answer,
        ):
            result: list[dict[str, Any]] = (await answer.json())["data"]["result"]
        return result

    async def missing(self, svc: str) -> bool:
        return bool(await self.ask(MISSING.format(svc=svc)))

    async def settle(self) -> None:
        """Let `dead` die, and begin to watch what is said."""
        await self.until(healthy, 15)
        await asyncio.sleep(TIMEOUT)
        self.beating.discard("dead")
        begun = time.monotonic()
        while not await self.missing("dead"):
            assert time.monotonic() - begun < 15, await self.ask("ALERTS")
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * SCRAPE)
        self.begun = time.time()

    async def nobody_was_fooled(self) -> None:
        """Assert that at every evaluation since `settle` exactly `dead` was missing; then that it can return."""
        end = time.time()
        steps = {"start": self.begun, "end": end, "step": SCRAPE}
        assert await self.ask(MISSING.format(svc="alive"), **steps) == []
        (dead,) = await self.ask(MISSING.format(svc="dead"), **steps)
        assert len(dead["values"]) >= int((end - self.begun) / SCRAPE), "a false recovery"
        self.beating.add("dead")
        begun = time.monotonic()
        while await self.missing("dead"):
            assert time.monotonic() - begun < 15, "no recovery after a true return"
            await asyncio.sleep(0.1)

    def logged(self, pattern: str) -> list[str]:
        lines = self.log.read_text().splitlines()
        return [line for line in lines if " bus=bus " in line and re.search(pattern, line)]


def healthy(samples: dict[str, float]) -> bool:
    return samples.get("heartbeat_bus_up{bus=bus}") == 1 and all(
        value > 0 for name, value in samples.items() if name.startswith("heartbeat_watch_start")
    )


def down(samples: dict[str, float]) -> bool:
    return samples.get("heartbeat_bus_up{bus=bus}") == 0 and all(
        value == 0 for name, value in samples.items() if name.startswith("heartbeat_watch_start")
    )


def failures(samples: dict[str, float]) -> dict[str, float]:
    """Return how often the bus failed, by the reasons that occurred."""
    found = {}
    for name, value in samples.items():
        match = re.fullmatch(r"heartbeat_bus_failures_total\{bus=bus,reason=(\w+)\}", name)
        if match and value:
            found[match[1]] = value
    return found


@pytest.fixture
async def trouble(
    servers: Servers, ports: Ports, tmp_path: Path, redis_server
) -> AsyncIterator[Callable[..., Awaitable[Trouble]]]:
    """Return a factory: `await trouble(redis)` starts exporter and Prometheus, and lets `dead` die.

    `through(url)` says how the exporter gets to the bus, by default through a proxy.
    """
    store = await redis_server()
    async with contextlib.AsyncExitStack() as running:

        async def start(url: str, *, through: str | None = None, proxied: bool = True) -> Trouble:
            proxy = None
            if proxied:
                proxy = await running.enter_async_context(Proxy(int(url.rpartition(":")[2])))
            bus = through or url
            if proxy is not None:
                bus = bus.replace(url.rpartition(":")[2], str(proxy.port))
            text = json.dumps(document(bus, events=store.url))
            async with Redis.from_url(store.url) as redis:
                await redis.set("truth:doc", text)
            here, there = ports.take(), ports.take()
            log = tmp_path / "exporter.log"
            with log.open("wb") as file:
                exporter = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", NAMES, "exporter", "--listen", f"127.0.0.1:{here}"),
                    stderr=file,
                    env={**os.environ, "TRUTH_REDIS_URL": store.url, "GONE": str(tmp_path / "gone")},
                )
            settings = Settings(
                exporters=(f"127.0.0.1:{here}",),
                prometheus=(f"127.0.0.1:{there}",),
                scrape_interval=SCRAPE,
                evaluation_interval=SCRAPE,
            )
            write(render(parse(text, env={}).truth, settings), tmp_path / "bundle")
            config = tmp_path / "bundle/prometheus/prometheus.yml"
            prometheus = stack.prometheus(servers.prometheus, tmp_path, there, config)
            world = Trouble(url, exporter, f"http://127.0.0.1:{here}", prometheus, log, proxy)
            running.push_async_callback(_end, exporter)
            running.push_async_callback(prometheus.kill)
            await prometheus.start()
            await prometheus.wait_ready()
            beats = asyncio.create_task(world.beat())
            running.push_async_callback(end, [beats])
            await world.settle()
            return world

        yield start


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
