"""What an operator's tool would hear, on a real bus."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio
from tests.patience import PATIENCE

from healer.demo.events import Events, NoEventError
from healer.stack.stack import Server

MISS = b'{"type":"heartbeat_miss","svc":"rss_agg","late_sec":3.2,"timeout_sec":3.0,"ts":1}'
OK = b'{"type":"heartbeat_ok","svc":"rss_agg","age_sec":0.5,"ts":2}'


@pytest_asyncio.fixture
async def bus(redis_server) -> Server:
    return await redis_server()


@pytest_asyncio.fixture
async def events(bus: Server) -> AsyncIterator[Events]:
    events = Events(bus.url, "healer:alerts")
    await events.start()
    yield events
    await events.stop()


async def publish(bus: Server, *messages: bytes) -> int:
    async with redis.asyncio.Redis.from_url(bus.url) as client:
        return sum([await client.publish("healer:alerts", message) for message in messages])


async def test_events_are_kept_in_order_byte_for_byte(bus: Server, events: Events) -> None:
    await publish(bus, MISS, OK)
    assert (await events.wait("heartbeat_ok", "rss_agg", within=PATIENCE)).raw == OK
    assert [event.raw for event in events.all] == [MISS, OK]


async def test_a_bookmark_leaves_out_what_came_before(bus: Server, events: Events) -> None:
    await publish(bus, MISS)
    await events.wait("heartbeat_miss", "rss_agg", within=PATIENCE)
    mark = events.mark()
    assert events.since(0, "heartbeat_", "rss_agg") != []
    assert events.since(mark) == []


async def test_an_event_that_does_not_come_is_missed_with_what_came_instead(
    bus: Server, events: Events
) -> None:
    await publish(bus, OK)
    await events.wait("heartbeat_ok", "rss_agg", within=PATIENCE)
    with pytest.raises(
        NoEventError, match=r"no heartbeat_miss for mesh within 0\.1 s; what came: .*heartbeat_ok"
    ):
        await events.wait("heartbeat_miss", "mesh", within=0.1)


async def test_it_hears_again_after_the_bus_was_killed(bus: Server, events: Events) -> None:
    await bus.kill()
    await bus.restart()
    while not await publish(bus, MISS):  # noqa: ASYNC110  until it has subscribed again
        await asyncio.sleep(0.02)
    assert (await events.wait("heartbeat_miss", "rss_agg", within=PATIENCE)).raw == MISS


async def test_a_follower_gets_what_was_and_what_comes(bus: Server, events: Events) -> None:
    await publish(bus, MISS)
    followed = events.follow()
    assert (await anext(followed)).raw == MISS
    await publish(bus, OK)
    assert (await anext(followed)).raw == OK
    await followed.aclose()
