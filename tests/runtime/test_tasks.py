"""Tasks end when they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from healer.runtime.tasks import end, first_to_fail


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
    assert swallowed == 3


async def test_the_first_failure_ends_the_others_and_is_raised() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await first_to_fail(forever(), fail())
    assert ended.is_set()


async def test_nothing_of_the_others_waits_for_a_collection_of_garbage() -> None:
    class Held:
        """What a coroutine holds, say ten thousand channels."""

    alive: weakref.ref[Held] | None = None

    async def forever() -> None:
        nonlocal alive
        held = Held()
        alive = weakref.ref(held)
        await asyncio.sleep(60)  # never waited for: the other's failure ends it

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ConnectionError

    gc.disable()
    try:
        with contextlib.suppress(ConnectionError):
            await first_to_fail(forever(), fail())
        assert alive is not None
        assert alive() is None
    finally:
        gc.enable()
