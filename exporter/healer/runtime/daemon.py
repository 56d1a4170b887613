"""A daemon's life: run its tasks until a signal, feed the watchdog, stop within the grace period."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import structlog

from healer.runtime.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

GRACE_SECONDS = 1.5
"""How long the tasks may take to end after SIGTERM; the process is gone within 2 s."""


async def run(
    tasks: Mapping[str, Callable[[], Awaitable[None]]],
    *,
    hangup: Callable[[], Coroutine[Any, Any, object]],
    alive: Callable[[], bool],
) -> int:
    """Run `tasks` side by side until SIGTERM or SIGINT; return the exit status.

    A task that ends or raises takes the daemon down with status 1: a monitor that runs on with a part
    missing is worse than one that its service manager restarts.

    Args:
        tasks: What to run, by name; each is expected to run until cancelled.
        hangup: Run on SIGHUP, one run at a time.
        alive: Asked before each ping of systemd's watchdog: True if real work went on lately.
    """
    log = structlog.get_logger(component="daemon")
    notifier = Notifier()
    # Nothing that it runs may speak in its name: journalctl would, and systemd would log each time that it is not heard.
    os.environ.pop("NOTIFY_SOCKET", None)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _one_at_a_time(hangup))

    stopping = asyncio.create_task(stop.wait(), name="signal")
    running = {asyncio.ensure_future(_named(start), loop=loop): name for name, start in tasks.items()}
    pings = asyncio.create_task(_feed_watchdog(notifier, alive), name="watchdog")
    notifier.send("READY=1")
    await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)

    notifier.send("STOPPING=1")
    ended = [(name, task) for task, name in running.items() if task.done()]
    for task in (stopping, pings, *running):
        task.cancel()
    await asyncio.wait({stopping, pings, *running}, timeout=GRACE_SECONDS)
    for name, task in ended:
        error = None if task.cancelled() else task.exception()
        log.error("task ended by itself", task=name, error=repr(error), exc_info=error)
    if not ended:
        log.info("stopped")
    return 1 if ended else 0


def _one_at_a_time(work: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], None]:
    """Return what starts `work`, or has it run once more if it runs: it may have read what is old by now."""
    due = False
    running: asyncio.Task[None] | None = None

    async def run_while_due() -> None:
        nonlocal due
        while due:
            due = False
            await work()

    def start() -> None:
        nonlocal due, running
        due = True
        if running is None or running.done():
            running = asyncio.get_running_loop().create_task(run_while_due())

    return start


async def _named(start: Callable[[], Awaitable[None]]) -> None:
    await start()


async def _feed_watchdog(notifier: Notifier, alive: Callable[[], bool]) -> None:
    period = notifier.watchdog_seconds()
    while period is not None:
        if alive():
            notifier.send("WATCHDOG=1")
        await asyncio.sleep(period / 3)
