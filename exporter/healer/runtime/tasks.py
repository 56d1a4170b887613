"""Asyncio tasks that end for sure, and work that keeps nobody from ending."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

T = TypeVar("T")

ASK_AGAIN_SECONDS = 0.1
"""How long a cancelled task may take before it is cancelled once more."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until all have ended; what they raise is dropped.

    Once is not enough: a cancellation that coincides with a timeout inside a library can come out of it as
    that timeout, which whoever retries on timeouts takes for one.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=ASK_AGAIN_SECONDS)
        for task in done:
            if not task.cancelled():
                task.exception()


async def first_to_fail(*parts: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side; when one ends, end the others and raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for number in range(len(tasks)):
            if tasks[number].done():
                tasks[number].result()
    finally:
        await end(tasks)
        # What is raised knows this frame, and a task what it raised: all that the tasks hold would wait for a collection
        # of garbage. For the same reason no name here is bound to one of them.
        tasks.clear()


async def aside(work: Callable[[], T]) -> T:
    """Do `work` in a thread and return what it returns, or raise what it raises.

    Unlike with `asyncio.to_thread`, a process that ends does not wait for work that nobody wants any more.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(note: Callable[[], None]) -> None:
        if not done.done():
            note()

    def thread() -> None:
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  # it is raised to whoever waits
            error = raised
            note = lambda: done.set_exception(error)  # noqa: E731  # two lines of def say no more
        else:
            note = lambda: done.set_result(result)  # noqa: E731  # as above
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(finish, note)

    threading.Thread(target=thread, daemon=True).start()
    return await done
