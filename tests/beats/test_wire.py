"""The subscriber's connection, and the one private attribute of redis-py that it lives on."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from healer.beats.wire import CHUNK, Wire


async def test_redis_py_keeps_its_stream_where_we_look_for_it(redis_server) -> None:
    server = await redis_server()
    connection = Connection(host="127.0.0.1", port=server.port)
    await connection.connect()
    try:
        assert isinstance(connection._reader, asyncio.StreamReader)
    finally:
        await connection.disconnect()


async def test_replies_come_in_batches_and_in_order(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    await wire.send("SUBSCRIBE", [b"a"])
    assert await wire.read() == [[b"subscribe", b"a", 1]]
    async with Redis.from_url(server.url) as redis, redis.pipeline(transaction=False) as pipeline:
        for number in range(100):
            pipeline.publish("a", number)
        await pipeline.execute()
    heard: list[bytes] = []
    reads = 0
    while len(heard) < 100:
        heard += [reply[2] for reply in await wire.read()]
        reads += 1
    assert heard == [str(number).encode() for number in range(100)]
    assert reads < 10
    await wire.close()


async def test_many_channels_are_subscribed_in_chunks(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    channels = [f"c{number}".encode() for number in range(2 * CHUNK + 1)]
    await wire.send("SUBSCRIBE", channels)
    confirmed: list[bytes] = []
    while len(confirmed) < len(channels):
        confirmed += [reply[1] for reply in await wire.read()]
    assert confirmed == channels
    async with Redis.from_url(server.url) as redis:
        assert (await redis.info("commandstats"))["cmdstat_subscribe"]["calls"] == 3
    await wire.close()


async def test_a_refusal_is_raised(redis_server) -> None:
    server = await redis_server()
    async with Redis.from_url(server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "&allowed", "+@all")
    wire = await Wire.connect(server.url.replace("redis://", "redis://narrow:pw@"))
    await wire.send("SUBSCRIBE", [b"forbidden"])
    with pytest.raises((NoPermissionError, ResponseError), match="permissions"):
        await wire.read()
    await wire.close()


async def test_an_end_of_the_connection_is_raised(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    await server.kill()
    with pytest.raises((RedisConnectionError, OSError)):
        await wire.read()
    await wire.close()
