"""A truth edited while everything runs: what was edited changes, what was not keeps its state to the instant."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from redis.asyncio import Redis

from healer.demo import contract, truth
from healer.demo.world import World
from healer.runtime.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from healer.stack.servers import Servers

PATIENCE_SECONDS = 40.0
MONITOR_TIMEOUT = 20.0
"""Longer than Prometheus 2 may forget its Alertmanagers for at a reload (5 s), and the Watchdog's way."""

RETUNED_SECONDS = 8.0

AT_ONCE_SECONDS = 5.0
"""An evaluation, half a second, on a machine that is busy with other tests."""

WITHIN_SECONDS = 12.0
"""From a seed until its rules are in force: up to 5 s until the watcher looks, the rest is work on a busy machine."""


def document() -> dict[str, Any]:
    edited = truth.document()
    edited["services"]["healer"]["heartbeat"]["timeout_sec"] = MONITOR_TIMEOUT
    return edited


def without_massive_with_newcomer_and_a_patient_vexy_ai() -> dict[str, Any]:
    edited = document()
    services = edited["services"]
    del services["massive"]
    services["newcomer"] = {
        "heartbeat": {"channel": "newcomer:heartbeat", "interval_sec": 1, "timeout_sec": 3}
    }
    services["vexy_ai"]["heartbeat"]["timeout_sec"] = RETUNED_SECONDS
    watches = services["healer"]["access_points"]["subscribe_to"]
    watches[:] = [each for each in watches if each["key"] != "massive:heartbeat"]
    watches.append({"bus": "market-redis", "key": "newcomer:heartbeat"})
    return edited


async def until(true: Callable[[], Awaitable[Any]], what: str) -> float:
    """Wait until it is true; return the seconds it took."""
    begun = time.monotonic()
    while not await true():
        assert time.monotonic() - begun < PATIENCE_SECONDS, what
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def alerts(world: World) -> dict[tuple[str, str, str], str]:
    """Return since when each alert is active, by name, service and state."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{world.prometheus.url}/api/v1/alerts") as answer,
    ):
        found = (await answer.json())["data"]["alerts"]
    return {
        (each["labels"]["alertname"], each["labels"].get("svc", ""), each["state"]): each["activeAt"]
        for each in found
    }


@contextlib.asynccontextmanager
async def wrong_clock(world: World, svc: str) -> AsyncIterator[None]:
    """Beat in the stead of a service, with a clock that is a minute slow."""
    beating = asyncio.create_task(beat_with_a_wrong_clock(world, svc))
    try:
        yield
    finally:
        await end([beating])


async def beat_with_a_wrong_clock(world: World, svc: str) -> None:
    (service,) = [each for each in world.truth.services if each.name == svc]
    async with Redis.from_url(world.truth.bus(service.bus).url) as client:
        for i in range(10_000):
            beat = {"svc": svc, "i": i, "ts": int(time.time()) - 60}
            await client.publish(service.channel, json.dumps(beat))
            await asyncio.sleep(0.5)


async def sample(world: World, line: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{world.watcher.url}/metrics") as answer:
        return line in (await answer.text()).splitlines()


async def in_force(world: World) -> bool:
    return await sample(world, f'bundle_truth_info{{sha256="{world.truth.sha256}"}} 1.0') and await sample(
        world, "bundle_last_sync_successful 1.0"
    )


@pytest.mark.timeout(180)
async def test_a_service_is_added_removed_and_retuned_and_nothing_else_notices(
    servers: Servers, tmp_path: Path
) -> None:
    start = World.start(servers, document(), tmp_path, silent=["mesh"], watched=True)
    async with start as world, wrong_clock(world, "mesh"):

        async def mesh_is_back() -> bool:
            told = [event.type for event in world.events.all if event.svc == "mesh"]
            fires = ("HeartbeatMiss", "mesh", "firing") in await alerts(world)
            return not fires and told in ([], ["heartbeat_miss", "heartbeat_ok"])

        # It was silent until now; a reload at the start may have cost Alertmanager the news of its return.
        await until(mesh_is_back, "mesh returns")
        for dead in ("rss_agg", "massive"):
            await world.services[dead].kill()
            await world.events.wait("heartbeat_miss", dead, within=PATIENCE_SECONDS)
        rss_agg, mesh = ("HeartbeatMiss", "rss_agg", "firing"), ("HeartbeatClockSkew", "mesh", "pending")
        massive = ("HeartbeatMiss", "massive", "firing")

        async def both_there() -> bool:
            return {rss_agg, mesh, massive} <= set(await alerts(world))

        await until(both_there, "an alert fires and another is pending")
        before, mark = await alerts(world), world.events.mark()
        pids = {name: process.pid for name, process in world.processes.items() if process.running}

        await world.edit(without_massive_with_newcomer_and_a_patient_vexy_ai())
        await world.services["newcomer"].start()
        took = await until(lambda: in_force(world), world.watcher.tail())
        assert took < WITHIN_SECONDS

        async def massive_gone() -> bool:
            return massive not in await alerts(world)

        assert await until(massive_gone, "massive still alerts") < AT_ONCE_SECONDS
        await world.settled(silent=["rss_agg", "mesh", "massive"])
        after = await alerts(world)
        assert (after[rss_agg], after[mesh]) == (before[rss_agg], before[mesh])
        assert (await world.by_service("svc:heartbeat_timeout_seconds:truth"))["vexy_ai"] == RETUNED_SECONDS
        assert {state.svc: state.state for state in await world.states()} == {
            "mesh": "beating",
            "newcomer": "beating",
            "rss_agg": "missing",
            "vexy_ai": "beating",
        }
        assert {name: world.processes[name].pid for name in pids} == pids, "nothing was restarted"

        for dead in ("newcomer", "vexy_ai"):
            await world.services[dead].kill()
        added = await world.events.wait("heartbeat_miss", "newcomer", within=PATIENCE_SECONDS, since=mark)
        retuned = await world.events.wait("heartbeat_miss", "vexy_ai", within=PATIENCE_SECONDS, since=mark)
        assert added.message["timeout_sec"] == 3
        assert retuned.message["timeout_sec"] == RETUNED_SECONDS
        assert retuned.message["late_sec"] >= RETUNED_SECONDS

        await asyncio.sleep(5)  # what is false or doubled has its chance to come
        after = await alerts(world)
        assert (after[rss_agg], after[mesh]) == (before[rss_agg], before[mesh])
        published = [(event.type, event.svc) for event in world.events.since(mark)]
        assert published == [("heartbeat_miss", "newcomer"), ("heartbeat_miss", "vexy_ai")]
        for event in world.events.all:
            assert contract.faults(event, never_heard=event.svc == "mesh") == []
