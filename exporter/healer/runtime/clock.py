"""Time for daemons: a monotonic clock that can be shown as epoch seconds.

Everything Healer remembers is a monotonic instant; it becomes epoch seconds only where it is shown. A step
of the wall clock (NTP, an operator, a suspended machine) then moves all shown instants together, so that no
age changes: a step forward is not a silence, a step back does not hide one.
"""

from __future__ import annotations

import time
from typing import Protocol

STEP_SECONDS = 0.5
"""A difference between wall and monotonic clock beyond this is a step; below it, scheduling noise."""


class Clock(Protocol):
    """Where a daemon gets its time from; tests bring their own."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps; only differences mean anything."""

    def wall(self) -> float:
        """Return epoch seconds as the machine has them, steps and all."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def wall(self) -> float:
        """Return `time.time()`."""
        return time.time()


class Anchor:
    """Turns monotonic instants into epoch seconds, steadily between two steps of the wall clock.

    The offset is measured once and kept until the wall clock has stepped by more than `STEP_SECONDS`:
    re-measuring it each time would make an instant that did not change look newer by some microseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.monotonic()

    def check(self) -> float:
        """Take over a step of the wall clock; return its seconds (positive: forward), 0.0 for none."""
        offset = self._clock.wall() - self._clock.monotonic()
        step = offset - self._offset
        if abs(step) <= STEP_SECONDS:
            return 0.0
        self._offset = offset
        return step

    def epoch(self, instant: float) -> float:
        """Return the epoch seconds of a monotonic `instant`."""
        return instant + self._offset

    def now(self) -> float:
        """Return the current epoch seconds, on the same footing as `epoch`."""
        return self._clock.monotonic() + self._offset
