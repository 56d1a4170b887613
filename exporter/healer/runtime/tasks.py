"""Ending asyncio tasks for sure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

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
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)
