"""The process around a daemon: threads that hold up nobody, faults that flood no log, a SIGHUP that comes too soon."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from healer.runtime.clock import SystemClock
from healer.runtime.log import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from healer.runtime.clock import Clock

T = TypeVar("T")

MOST_THREADS = 64
"""Enough that many names which do not resolve, each for half a minute, keep no other work waiting."""

LAST_SECONDS = 0.3
"""How long work in a thread may still take once the daemon has ended; a write to a disk takes less."""

COMPLAINT_SECONDS = 60.0
"""Of faults that nothing awaits, each kind is logged this often at most."""


def run(daemon: Coroutine[Any, Any, int]) -> int:
    """Run a daemon to its end; return its exit status.

    Args:
        daemon: Its life; `healer.runtime.daemon.run` within it takes the signals over.
    """
    # Until then a SIGHUP has nothing to reload. Not SIG_IGN: the programs that a daemon starts would inherit it.
    signal.signal(signal.SIGHUP, lambda *_: None)
    with asyncio.Runner() as runner:
        return runner.run(_equipped(daemon))


def end_on_hangup() -> None:
    """Undo what `healer.__main__` did for daemons: any other command ends with its terminal."""
    if callable(signal.getsignal(signal.SIGHUP)):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def heed_interrupt() -> None:
    """Undo what `healer.__main__` did for the time of the imports: from now on Ctrl-C is an exception again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


async def _equipped(daemon: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(Threads())
    loop.set_exception_handler(Faults(SystemClock()).take)
    return await daemon


class Threads(ThreadPoolExecutor):
    """An event loop's threads; the process ends without waiting for one that hangs, in a resolver for example."""

    def __init__(self) -> None:
        super().__init__(1)  # The loop insists on this class; none of its threads is ever started.
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._started = 0
        self._running: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have `fn` called in a thread; called by the loop, in the loop's own thread only."""
        future: Future[T] = Future()
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        self._jobs.put(partial(_do, future, partial(fn, *args, **kwargs)))
        if not self._free.acquire(blocking=False) and self._started < MOST_THREADS:
            self._started += 1
            threading.Thread(target=self._work, name="aside", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # as the loop calls it
        """Give what runs a last moment if `wait`."""
        deadline = time.monotonic() + LAST_SECONDS
        while wait and self._running and time.monotonic() < deadline:
            time.sleep(0.005)

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            self._free.release()


def _do(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # it is raised to whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)


class Faults:
    """Takes what the event loop reports because nothing awaits it: one line for each kind in a while."""

    def __init__(self, clock: Clock) -> None:
        self._throttle = Throttle(clock, COMPLAINT_SECONDS)
        self._log = structlog.get_logger(component="asyncio")

    def take(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log a fault; with its traceback, unless the operating system says all there is to say."""
        error = context.get("exception")
        message = str(context.get("message") or "unhandled fault")
        held = self._throttle.admit(f"{message} {type(error).__name__}")
        if held is not None:
            traceback = None if isinstance(error, OSError) else error
            self._log.error(message, error=repr(error), more_like_it=held, exc_info=traceback)
