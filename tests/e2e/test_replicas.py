"""Two of everything on one Redis: any one of them killed at any time, and each event still comes once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from redis.asyncio import Redis

from healer.bundle import Settings, render, write
from healer.demo.events import Events
from healer.stack import stack
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

TIMEOUT, OWN = 2.0, 10.0
PATIENCE_SECONDS = 60.0
"""A recovery without proof, as a busy machine makes one, is held back for half a minute."""

NAMES = ("rss_agg", "mesh")


def document(url: str) -> dict[str, Any]:
    beat = {"interval_sec": 0.5, "timeout_sec": TIMEOUT}
    access = {
        "subscribe_to": [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in NAMES],
        "publish_to": [{"bus": "system-redis", "key": "healer:alerts"}],
    }
    healer = {"access_points": access, "heartbeat": {"interval_sec": 0.5, "timeout_sec": OWN}}
    services = {**{name: {"heartbeat": beat} for name in NAMES}, "healer": healer}
    return {"buses": {"system-redis": {"url": url}}, "services": services}


@dataclass
class Pairs:
    """Two of everything."""

    servers: dict[str, stack.Server]
    events: Events
    alive: set[str]
    url: str

    async def beat(self) -> None:
        async with Redis.from_url(self.url) as redis:
            while True:
                for name in tuple(self.alive):
                    beat = {"svc": name, "i": 1, "ts": int(time.time())}
                    await redis.publish(f"{name}:heartbeat", json.dumps(beat))
                await asyncio.sleep(0.2)

    def told(self) -> list[tuple[str, str]]:
        return [(event.type, event.svc) for event in self.events.all]


@contextlib.asynccontextmanager
async def pairs(servers: Servers, ports: Ports, folder: Path, url: str) -> AsyncIterator[Pairs]:
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
    text = json.dumps(document(url))
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
        world = Pairs(made, events, set(NAMES), url)
        await events.start()
        running.push_async_callback(events.stop)
        task = asyncio.create_task(world.beat())
        running.callback(task.cancel)
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


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("one", ["a", "b"])
async def test_each_of_a_pair_is_killed_and_every_event_comes_once(
    servers: Servers, ports: Ports, tmp_path: Path, redis_server, one: str
) -> None:
    bus = await redis_server(keep=True)
    async with pairs(servers, ports, tmp_path, bus.url) as world:
        await asyncio.sleep(TIMEOUT)
        begun = world.events.mark()
        expected: list[tuple[str, str]] = []
        for kind in ("exporter", "prometheus", "alertmanager", "sentinel"):
            victim = world.servers[f"{kind}-{one}"]
            # Killed in the moment of the death, and back only after the return.
            await victim.kill()
            world.alive.discard("rss_agg")
            expected.append(("heartbeat_miss", "rss_agg"))
            await world.events.wait(
                "heartbeat_miss", "rss_agg", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            world.alive.add("rss_agg")
            expected.append(("heartbeat_ok", "rss_agg"))
            await world.events.wait(
                "heartbeat_ok", "rss_agg", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            # Back while a service is dead: neither forgotten nor said again.
            world.alive.discard("mesh")
            expected.append(("heartbeat_miss", "mesh"))
            await world.events.wait(
                "heartbeat_miss", "mesh", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            await victim.restart()
            await heard(world)
            await asyncio.sleep(3.0)
            world.alive.add("mesh")
            expected.append(("heartbeat_ok", "mesh"))
            await world.events.wait(
                "heartbeat_ok", "mesh", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            await asyncio.sleep(2.0)
            assert world.told()[begun:] == expected, f"after {kind}-{one}"
