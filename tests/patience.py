"""Time on a machine that is busy with other things: patience for what has to come, and fairness for what is limited."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0
"""Seconds to wait for what has to come: far more than it takes, and less than a test is given."""


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> float:
    """Wait for `condition` and return how long it took; fail after `seconds`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "waited in vain"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


class Stopwatch:
    """Seconds that a process takes for something, without those in which it, or we, stood in line for a processor.

    So a limit on them says what the process does, and not what else the machine had to do.

    Attributes:
        seconds: What it took, known once it is over.
    """

    def __init__(self, pid: int) -> None:
        self.seconds = float("inf")
        threads = {pid, threading.get_native_id()}
        self._lines = [Path(f"/proc/{thread}/schedstat") for thread in threads]
        self._over = threading.Event()
        self._first = [_stood(line) for line in self._lines]
        self._last = [*self._first]
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        took = time.monotonic() - self._begun
        self._over.set()
        self._thread.join()
        self.seconds = took - sum(self._last) + sum(self._first)

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self._last = [
                max(before, _stood(line)) for before, line in zip(self._last, self._lines, strict=True)
            ]


def _stood(line: Path) -> float:
    """Seconds that a thread was ready to run and did not; 0 for one that is gone, or where the kernel does not count."""
    try:
        return int(line.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


@contextmanager
def stopwatch(pid: int) -> Iterator[Stopwatch]:
    """Time what happens within."""
    watch = Stopwatch(pid)
    try:
        yield watch
    finally:
        watch.stop()
