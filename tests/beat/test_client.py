"""Heartbeats from Python, of both kinds, on a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest
from tests.beat.conftest import listening
from tests.patience import PATIENCE, stopwatch, until

from healer.beat import AsyncHeartbeat, Heartbeat

pytestmark = pytest.mark.parametrize("kind", [Heartbeat, AsyncHeartbeat])


@contextlib.contextmanager
def running(heart):
    """Start it here, whichever kind it is, and stop it."""
    heart.start()
    try:
        yield heart
    finally:
        heart.stop()


async def test_it_beats_at_once_and_then_at_its_interval(kind, redis_server) -> None:
    server = await redis_server()
    async with listening(server.url, "mesh:heartbeat") as ear:
        begun = time.monotonic()
        with running(kind("mesh", server.url, 0.2)) as heart:
            with stopwatch(os.getpid()) as watch:
                beats = await ear.hear(6)
            assert time.monotonic() - begun > 0.9
            assert watch.seconds < 3
        assert [beat["svc"] for _, beat in beats] == ["mesh"] * len(beats)
        assert ear.numbers[:6] == [1, 2, 3, 4, 5, 6]
        assert heart.error is None
        await asyncio.sleep(0.1)
        count = len(ear.heard)
        await asyncio.sleep(0.5)
        assert len(ear.heard) == count
        assert heart.sent == count


async def test_the_channel_can_be_another(kind, redis_server) -> None:
    server = await redis_server()
    async with listening(server.url, "odd:one") as ear:
        with running(kind("mesh", server.url, 0.2, channel="odd:one")):
            assert (await ear.hear(1))[0][0] == "odd:one"


async def test_redis_may_come_late_die_and_return(kind, redis_server, caplog) -> None:
    caplog.set_level("INFO", "healer.beat")
    server = await redis_server()
    await server.kill()
    with running(kind("mesh", server.url, 0.2)) as heart:
        await until(lambda: heart.error)
        await server.restart()
        await until(lambda: heart.sent >= 2)
        assert heart.error is None
        await server.kill()
        await until(lambda: heart.error)
        await asyncio.sleep(1.0)
        await server.restart()
        before = heart.sent
        async with listening(server.url, "mesh:heartbeat") as ear:
            await ear.hear(2)
        assert heart.sent > before
        # Those that were due meanwhile are gone, and the numbers say so.
        assert ear.numbers[0] > before + 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4, said
    assert ["no beat of mesh" in line for line in said] == [True, False, True, False]


async def test_a_frozen_redis_holds_up_nothing_and_no_backlog_follows(kind, redis_server) -> None:
    server = await redis_server()
    with running(kind("mesh", server.url, 0.2)) as heart:
        await until(lambda: heart.sent)
        await server.pause()
        await until(lambda: heart.error)
        with stopwatch(os.getpid()) as watch:
            for _ in range(1000):
                heart.alive()
        assert watch.seconds < 0.5
        await asyncio.sleep(1.0)
        await server.resume()
        async with listening(server.url, "mesh:heartbeat") as ear:
            await ear.hear(3)
            stamps = [beat["ts"] for _, beat in ear.heard]
            assert min(stamps) > time.time() - 5
            assert len(ear.heard) < 6


async def test_work_that_stands_still_stops_beating(kind, redis_server) -> None:
    server = await redis_server()
    with running(kind("mesh", server.url, 0.1, stall_after=0.5)) as heart:
        await until(lambda: heart.sent >= 3)
        await asyncio.sleep(0.8)
        count = heart.sent
        await asyncio.sleep(0.5)
        assert heart.sent == count
        heart.alive()
        await until(lambda: heart.sent > count)


@pytest.mark.parametrize(
    "url", ["nonsense", "http://x", "redis://nowhere.invalid:1", "", None, "redis://:x@[::"]
)
async def test_whatever_the_url_is_nothing_is_raised(kind, url) -> None:
    with running(kind("mesh", url, 0.2)) as heart:
        await until(lambda: heart.error)
    assert heart.sent == 0


async def test_stopping_before_starting_and_starting_twice_are_harmless(kind, redis_server) -> None:
    server = await redis_server()
    kind("mesh", server.url).stop()
    heart = kind("mesh", server.url, 0.2)
    assert heart.start() is heart.start()
    await until(lambda: heart.sent)
    heart.stop()
    heart.stop()


async def test_a_with_block_beats_and_lets_errors_through(kind, redis_server) -> None:
    server = await redis_server()
    heart = kind("mesh", server.url, 0.2)

    async def work() -> None:
        await until(lambda: heart.sent)
        raise ZeroDivisionError

    async def block() -> None:
        if kind is AsyncHeartbeat:
            async with heart:
                await work()
        with heart:
            await work()

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_a_thread_ends_when_it_is_stopped(kind, redis_server) -> None:
    server = await redis_server()
    with running(kind("ending", server.url, 0.2)) as heart:
        await until(lambda: heart.sent)
    await until(lambda: not any("ending" in thread.name for thread in threading.enumerate()))
    await until(lambda: not any("ending" in task.get_name() for task in asyncio.all_tasks()))


def test_a_process_ends_while_it_beats_into_the_void(kind) -> None:
    code = f"from healer.beat import {kind.__name__} as H\nimport asyncio\nH('a', 'redis://192.0.2.1', 5)"
    code += ".start()" if kind is Heartbeat else ""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - begun < 10


def test_a_service_that_imports_it_loads_nothing_else_of_healer(kind) -> None:
    code = (
        f"import sys, healer.beat; healer.beat.{kind.__name__}; "
        "print([m for m in sys.modules if m.startswith(('healer.', 'aiohttp', 'structlog', 'prometheus')) "
        "and not m.startswith('healer.beat')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=PATIENCE, capture_output=True, text=True
    )
    light = [
        "healer.runtime",
        "healer.runtime.replies",
        "healer.runtime.place",
        "healer.runtime.secrets",
        "healer.runtime.notify",
    ]  # these import redis-py alone, or nothing
    assert done.stdout.strip() == str(light)
