"""Beats that are keys, on a real server: what is set anew beats, what only lies there does not."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.patience import until

from healer.beats.keys import KeyPoll
from healer.truth.model import Service, Source

from .conftest import service


def keyed(name: str, interval: float = 0.2, timeout: float = 1.0) -> Service:
    return Service(name, "test", f"{name}:heartbeat", interval, timeout, Source.KEY)


@pytest.fixture(params=["PEXPIRETIME", "PTTL"])
def command(request, monkeypatch) -> str:
    """Both ways to learn when a key expires; servers before 7.0 know the second only."""
    if request.param == "PTTL":
        real = KeyPoll._ask_with

        async def older(self, connection, keys, command):
            asked = "PEXPIRETIMX" if command == "PEXPIRETIME" else command
            return await real(self, connection, keys, asked)

        monkeypatch.setattr(KeyPoll, "_ask_with", older)
    return request.param


async def test_setting_a_key_anew_is_a_beat_whatever_its_value(redis_server, listening, command) -> None:
    server = await redis_server()
    ears = await listening(server.url, keyed("mesh"))
    slot = ears.slot("mesh")
    await until(lambda: ears.listener.up and slot.since is not None)
    async with Redis.from_url(server.url) as redis:
        for beats in (1, 2):
            await redis.set("mesh:heartbeat", "alive", ex=30)
            await until(lambda beats=beats: slot.beats == beats)
            await asyncio.sleep(0.3)  # so that the next expiry differs by more than the slack of old servers
        assert slot.beats == 2
        await redis.set("mesh:heartbeat", '{"i":7,"ts":1}', keepttl=True)
        await until(lambda: slot.beats == 3)
    assert slot.expected == 8
    assert slot.invalid == {}


async def test_a_key_that_only_lies_there_says_nothing(redis_server, listening, command) -> None:
    server = await redis_server()
    async with Redis.from_url(server.url) as redis:
        await redis.set("mesh:heartbeat", "1", ex=30)
        await redis.hset("massive:heartbeat", "a", "b")
        ears = await listening(server.url, keyed("mesh"), keyed("massive"))
        await until(lambda: ears.listener.up and ears.slot("mesh").since is not None)
        await asyncio.sleep(0.5)  # several looks
        assert ears.slot("mesh").last is None
        await redis.expire("massive:heartbeat", 30)
        await until(lambda: ears.slot("massive").beats == 1)
        await redis.persist("massive:heartbeat")
        await redis.expire("mesh:heartbeat", 5)
        await asyncio.sleep(0.4)
    assert (ears.slot("mesh").beats, ears.slot("massive").beats) == (0, 1)


async def test_an_expired_key_is_silent_and_beats_when_it_is_set_again(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, keyed("mesh"))
    slot = ears.slot("mesh")
    await until(lambda: ears.listener.up and slot.since is not None)
    async with Redis.from_url(server.url) as redis:
        await redis.set("mesh:heartbeat", "1", px=600)
        await until(lambda: slot.beats == 1)
        last = slot.last
        await asyncio.sleep(1.0)
        assert slot.last == last
        await redis.set("mesh:heartbeat", "1", px=600)
        await until(lambda: slot.beats == 2)


async def test_what_was_set_during_a_break_is_no_beat(redis_server, listening) -> None:
    server = await redis_server(keep=True)
    ears = await listening(server.url, keyed("mesh"))
    slot = ears.slot("mesh")
    await until(lambda: ears.listener.up and slot.since is not None)
    async with Redis.from_url(server.url) as redis:
        await redis.set("mesh:heartbeat", "1", ex=30)
        await until(lambda: slot.beats == 1)
        await redis.set("mesh:heartbeat", "2", ex=30)
        await redis.client_kill_filter(_type="pubsub")
        await until(lambda: not ears.listener.up)
        beats = slot.beats  # the second may have been seen before the connection fell
        await redis.set("mesh:heartbeat", "3", ex=30)
    await until(lambda: ears.listener.up and slot.since is not None)
    await asyncio.sleep(0.3)
    assert slot.beats == beats


async def test_a_value_that_names_another_service_is_refused(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, keyed("mesh"))
    slot = ears.slot("mesh")
    await until(lambda: ears.listener.up and slot.since is not None)
    async with Redis.from_url(server.url) as redis:
        await redis.set("mesh:heartbeat", '{"svc":"massive"}', ex=30)
    await until(lambda: slot.invalid)
    assert slot.last is None


async def test_keys_and_channels_share_a_bus(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"), keyed("massive"))
    await until(lambda: ears.listener.up and ears.slot("massive").since and ears.slot("mesh").since)
    async with Redis.from_url(server.url) as redis:
        counted = dict(await redis.pubsub_numsub("mesh:heartbeat", "massive:heartbeat"))
        assert counted == {b"mesh:heartbeat": 1, b"massive:heartbeat": 0}
        await redis.publish("mesh:heartbeat", "{}")
        await redis.set("massive:heartbeat", "1", ex=3)
    await until(lambda: ears.slot("massive").beats == 1 and ears.slot("mesh").beats == 1)


async def test_a_frozen_bus_is_known_before_a_key_could_be_missed(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, keyed("mesh"))
    await until(lambda: ears.listener.up and ears.slot("mesh").since is not None)
    await server.pause()
    assert await until(lambda: not ears.listener.up) < keyed("mesh").timeout
    await until(lambda: ears.slot("mesh").since is None, 0.5)
    await server.resume()
    await until(lambda: ears.listener.up and ears.slot("mesh").since is not None)
