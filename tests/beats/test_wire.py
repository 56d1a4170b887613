"""The subscriber's connection, and the two private attributes of redis-py that it lives on."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from healer.beats.wire import CHUNK, PIECE_BYTES, Wire
from healer.runtime.replies import strange


async def test_redis_py_keeps_its_streams_where_we_look_for_them(redis_server) -> None:
    server = await redis_server()
    connection = Connection(host="127.0.0.1", port=server.port)
    await connection.connect()
    try:
        assert isinstance(connection._reader, asyncio.StreamReader)
        assert isinstance(connection._writer, asyncio.StreamWriter)
    finally:
        await connection.disconnect()


async def test_replies_come_in_batches_and_in_order(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    await wire.send("SUBSCRIBE", [b"a"])
    assert list(await wire.read()) == [[b"subscribe", b"a", 1]]
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


async def test_what_arrives_while_it_rests_is_one_batch_however_it_comes(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    await wire.send("SUBSCRIBE", [b"a"])
    list(await wire.read())
    # Each is larger than what the parser is given at a time, and sent for itself.
    payloads = [bytes([65 + number]) * (PIECE_BYTES + 7) for number in range(10)]

    async def publish() -> None:
        async with Redis.from_url(server.url) as redis:
            for payload in payloads:
                await redis.publish("a", payload)

    publishing = asyncio.create_task(publish())
    while not publishing.done():
        await wire.rest(0.2)
    heard = [reply[2] for reply in await wire.read()]
    assert heard == payloads
    assert wire.arrived > sum(map(len, payloads))
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
    (reply,) = await wire.read()
    with pytest.raises((NoPermissionError, ResponseError), match="permissions"):
        raise strange(reply)
    await wire.close()


async def test_an_end_of_the_connection_is_raised(redis_server) -> None:
    server = await redis_server()
    wire = await Wire.connect(server.url)
    await server.kill()
    with pytest.raises((RedisConnectionError, OSError)):
        await wire.read()
    await wire.close()
