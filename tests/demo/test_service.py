"""The demo's service, as a process on a real bus."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
import redis.asyncio

from healer.stack.process import Command, Process
from healer.stack.stack import Server


@pytest_asyncio.fixture
async def bus(redis_server) -> Server:
    return await redis_server()


@pytest_asyncio.fixture
async def service(bus: Server, tmp_path: Path) -> AsyncIterator[Process]:
    argv = [sys.executable, "-m", "healer.demo.service", "mesh", "mesh:heartbeat", bus.url, "0.1"]

    async def beats() -> bool:
        return "beating since" in process.tail()

    process = Process(Command("mesh", argv, beats), tmp_path)
    yield process
    await process.kill()


async def hear(bus: Server, number: int) -> list[dict]:
    async with (
        redis.asyncio.Redis.from_url(bus.url) as client,
        client.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("mesh:heartbeat")
        messages = (
            json.loads(message["data"]) async for message in pubsub.listen() if message["type"] == "message"
        )
        return [await anext(messages) for _ in range(number)]


async def test_it_beats_as_the_contract_says_counting_up(bus: Server, service: Process) -> None:
    await service.start()
    beats = await hear(bus, 3)
    assert {tuple(beat) for beat in beats} == {("svc", "i", "ts")}
    assert {beat["svc"] for beat in beats} == {"mesh"}
    first = beats[0]["i"]
    assert [beat["i"] for beat in beats] == [first, first + 1, first + 2]
    assert 0.15 < beats[2]["ts"] - beats[0]["ts"] < 1.0


async def test_it_outlives_its_bus_and_says_so_once(bus: Server, service: Process) -> None:
    await service.start()
    await service.wait_ready()
    await bus.kill()
    async with asyncio.timeout(10):
        while "no beat" not in service.tail():  # noqa: ASYNC110  it is another process that writes it
            await asyncio.sleep(0.02)
    await bus.restart()
    await hear(bus, 2)
    lines = [line.split(":")[0].split("=")[0] for line in service.tail().splitlines()]
    assert lines == ["beating since i", "no beat can be published", "beating since i"]
