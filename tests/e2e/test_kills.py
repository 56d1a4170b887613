"""Each part killed while a service is missing: nothing hangs, nothing false is published, everything recovers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from healer.demo import contract, truth
from healer.demo.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from healer.stack.process import Process
    from healer.stack.servers import Servers

OUTAGE_SECONDS = 10.0
"""Longer than every timeout of the demo's truth, and than Alertmanager keeps a dead Prometheus' alerts (4 s)."""

PATIENCE_SECONDS = 25.0

HEALER = [("healer_miss", "healer"), ("healer_ok", "healer")]


def published(world: World, since: int = 0) -> list[tuple[str, str]]:
    return [(event.type, event.svc) for event in world.events.since(since)]


def logged(process: Process, *words: str) -> int:
    """Return how many lines of the log hold all of `words`."""
    return sum(all(word in line for word in words) for line in process.log.read_text().splitlines())


@contextlib.asynccontextmanager
async def missing(servers: Servers, directory: Path) -> AsyncIterator[World]:
    """A world in which rss_agg is missing; what is killed within has to leave that as it is, until it returns."""
    async with World.start(servers, truth.document(), directory) as world:
        await world.services["rss_agg"].kill()
        await world.events.wait("heartbeat_miss", "rss_agg", within=PATIENCE_SECONDS)
        yield world
        mark = world.events.mark()
        await world.services["rss_agg"].restart()
        await world.events.wait("heartbeat_ok", "rss_agg", within=PATIENCE_SECONDS, since=mark)
        await world.settled()
        await asyncio.sleep(3)  # what is false or doubled has its chance to come
        assert published(world, mark) == [("heartbeat_ok", "rss_agg")]
        assert [contract.faults(event) for event in world.events.all] == [[]] * world.events.mark()


async def outage(process: Process) -> None:
    await process.kill()
    await asyncio.sleep(OUTAGE_SECONDS)  # the world goes on without it
    await process.restart()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", ["prometheus", "alertmanager"])
async def test_a_part_of_the_pipeline(servers: Servers, tmp_path: Path, part: str) -> None:
    async with missing(servers, tmp_path) as world:
        mark = world.events.mark()
        await outage(world.processes[part])
        await world.events.wait("healer_ok", "healer", within=PATIENCE_SECONDS, since=mark)
        assert published(world, mark) == HEALER
        assert logged(world.sentinel, "watchdog silent") == 1
        assert logged(world.sentinel, "watchdog back") == 1


@pytest.mark.timeout(180)
async def test_the_exporter(servers: Servers, tmp_path: Path) -> None:
    async with missing(servers, tmp_path) as world:
        mark = world.events.mark()
        await outage(world.exporter)
        await world.events.wait("healer_ok", "healer", within=PATIENCE_SECONDS, since=mark)
        assert published(world, mark) == HEALER
        assert logged(world.exporter, "component=bus", "event=hearing") == 4


@pytest.mark.timeout(180)
async def test_the_sentinel(servers: Servers, tmp_path: Path) -> None:
    async with missing(servers, tmp_path) as world:
        mark = world.events.mark()
        await world.sentinel.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        assert ("SentinelDown", "") in await world.firing()
        await world.sentinel.restart()
        await asyncio.sleep(OUTAGE_SECONDS)  # repeated deliveries have their chance to be taken for news
        assert published(world, mark) == []


@pytest.mark.timeout(180)
async def test_the_bus_that_carries_services_truth_and_events(servers: Servers, tmp_path: Path) -> None:
    async with missing(servers, tmp_path) as world:
        mark = world.events.mark()
        bus = world.redis["system-redis"]
        await bus.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        assert await world.firing() == [("HeartbeatBusDown", ""), ("HeartbeatMiss", "rss_agg")]
        states = {state.svc: state.state for state in await world.states()}
        assert states == {
            "rss_agg": "missing",
            "massive": "not watched",
            "mesh": "not watched",
            "vexy_ai": "beating",
        }
        await bus.restart()
        await world.settled(silent=["rss_agg"])
        assert published(world, mark) == []
        assert logged(world.exporter, "event=lost", "bus=system-redis") == 1
        assert logged(world.exporter, "event=hearing", "bus=system-redis") == 2


@pytest.mark.timeout(180)
async def test_all_of_them_together_while_all_is_well(servers: Servers, tmp_path: Path) -> None:
    async with World.start(servers, truth.document(), tmp_path) as world:
        parts = (
            world.redis["system-redis"],
            world.prometheus,
            world.alertmanager,
            world.exporter,
            world.sentinel,
        )
        for part in parts:
            await part.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        for part in parts:
            await part.restart()
        await world.settled()
        await asyncio.sleep(5)  # longer than any timeout: a miss that is false has its chance to come
        assert [event for event in published(world) if event[0].startswith("heartbeat")] == []
