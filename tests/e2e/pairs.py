"""Two of everything on one Redis, as docs/high-availability.md has it, with services that beat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from healer.bundle import Settings, render, write
from healer.demo.events import Events
from healer.runtime.tasks import end
from healer.stack import stack
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

TIMEOUT, OWN = 2.0, 10.0
BEAT_SECONDS = 0.2
"""More often than promised."""
NAMES = ("rss_agg", "mesh")


def document(url: str, names: Sequence[str], timeout: float) -> dict[str, Any]:
    beat = {"interval_sec": 0.5, "timeout_sec": timeout}
    access = {
        "subscribe_to": [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in names],
        "publish_to": [{"bus": "system-redis", "key": "healer:alerts"}],
    }
    healer = {"access_points": access, "heartbeat": {"interval_sec": 0.5, "timeout_sec": OWN}}
    services = {**{name: {"heartbeat": beat} for name in names}, "healer": healer}
    return {"buses": {"system-redis": {"url": url}}, "services": services}


@dataclass
class Pairs:
    """Two of everything.

    Attributes:
        servers: By kind and letter, such as `exporter-a`.
        events: What was heard on the alerts channel.
        alive: The services that beat.
        url: The bus.
        last: When each service last published a beat that Redis took (epoch seconds).
    """

    servers: dict[str, stack.Server]
    events: Events
    alive: set[str]
    url: str
    last: dict[str, float] = field(default_factory=dict)

    async def beat(self) -> None:
        """Have the services beat for as long as they are alive, with a bus or without."""
        async with Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0) as redis:
            while True:
                for name in tuple(self.alive):
                    beat = {"svc": name, "i": 1, "ts": int(time.time())}
                    with contextlib.suppress(RedisError, OSError):
                        await redis.publish(f"{name}:heartbeat", json.dumps(beat))
                        self.last[name] = time.time()
                await asyncio.sleep(BEAT_SECONDS)

    def told(self) -> list[tuple[str, str]]:
        return [(event.type, event.svc) for event in self.events.all]


@contextlib.asynccontextmanager
async def pairs(
    servers: Servers,
    ports: Ports,
    folder: Path,
    url: str,
    names: Sequence[str] = NAMES,
    timeout: float = TIMEOUT,  # noqa: ASYNC109  of the services
) -> AsyncIterator[Pairs]:
    """Start two of everything, all watching services of these `names`, and wait until all is well."""
    port = {
        f"{kind}-{one}": ports.take()
        for kind in ("exporter", "prometheus", "alertmanager", "sentinel", "gossip")
        for one in "ab"
    }

    def both(kind: str) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{port[f'{kind}-{one}']}" for one in "ab")

    settings = Settings(
        exporters=both("exporter"), sentinels=both("sentinel"), alertmanagers=both("alertmanager"),
        prometheus=both("prometheus"), scrape_interval=0.5, evaluation_interval=0.5, resend_delay=1.0, group_interval=1.0,
    )  # fmt: skip
    text = json.dumps(document(url, names, timeout))
    write(render(parse(text, env={}).truth, settings), folder / "bundle")
    async with Redis.from_url(url) as redis:
        await redis.set("truth:doc", text)
    where = {"TRUTH_REDIS_URL": url}
    made: dict[str, stack.Server] = {}
    for one, other in ("ab", "ba"):
        own = folder / one
        own.mkdir()
        made[f"exporter-{one}"] = stack.healer("exporter", own, port[f"exporter-{one}"], where)
        made[f"prometheus-{one}"] = stack.prometheus(
            servers.prometheus,
            own,
            port[f"prometheus-{one}"],
            folder / "bundle/prometheus/prometheus.yml",
            resend_delay=1.0,
        )
        made[f"sentinel-{one}"] = stack.healer("sentinel", own, port[f"sentinel-{one}"], where)
        made[f"alertmanager-{one}"] = stack.alertmanager(
            servers.alertmanager, own, port[f"alertmanager-{one}"], folder / "bundle/alertmanager/alertmanager.yml",
            gossip=port[f"gossip-{one}"], peers=[port[f"gossip-{other}"]],
        )  # fmt: skip
    events = Events(url, "healer:alerts")
    async with contextlib.AsyncExitStack() as running:
        world = Pairs(made, events, set(names), url)
        await events.start()
        running.push_async_callback(events.stop)
        task = asyncio.create_task(world.beat())
        running.push_async_callback(end, [task])
        for server in made.values():
            running.push_async_callback(server.kill)
            await server.start()
        await asyncio.gather(*(server.wait_ready() for server in made.values()))
        await heard(world)
        yield world


async def heard(world: Pairs) -> None:
    """Return once both sentinels hear Watchdogs from a cluster of two."""
    begun = time.monotonic()
    async with aiohttp.ClientSession() as http:
        while True:
            lacking = []
            for one in "ab":
                async with http.get(world.servers[f"sentinel-{one}"].url + "/metrics") as answer:
                    page = await answer.text()
                if (
                    "sentinel_watchdog_last_beat_timestamp_seconds 0.0" in page
                    or "sentinel_watchdog_silent 1.0" in page
                ):
                    lacking.append(f"sentinel-{one}")
                async with http.get(world.servers[f"alertmanager-{one}"].url + "/api/v2/status") as answer:
                    cluster = (await answer.json())["cluster"]
                if cluster["status"] != "ready" or len(cluster["peers"]) != 2:
                    lacking.append(f"alertmanager-{one}")
            if not lacking:
                return
            assert time.monotonic() - begun < 60, lacking
            await asyncio.sleep(0.2)
