"""When the next beat is due, what it says, and how long to wait after one that failed; no I/O."""

from __future__ import annotations

import json
import math
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_INTERVAL = 10.0
SHORTEST_INTERVAL = 0.1
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
LONGEST_ATTEMPT = 5.0


class Rhythm:
    """The beats of one service.

    Attributes:
        svc: Its name.
        channel: Where they are published.
        interval: Seconds between two.
        attempt: Seconds that publishing one may take.
        sent: Beats published.
        error: Why the newest attempt failed, or None if it did not.
    """

    def __init__(
        self,
        svc: str,
        channel: str | None,
        interval: float,
        stall_after: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the rhythm; the first beat is due at once.

        Args:
            svc: The service's name.
            channel: None for `<svc>:heartbeat`.
            interval: Seconds; what is no usable number counts as 10.
            stall_after: Seconds after the last `alive` in which beats are due, or None for always.
            clock: Monotonic seconds.
        """
        self.svc = str(svc)
        self.channel = f"{svc}:heartbeat" if channel is None else channel
        self.interval = _usable(interval)
        self.attempt = min(self.interval, LONGEST_ATTEMPT)
        self.sent = 0
        self.error: str | None = None
        self._stall_after = stall_after
        self._clock = clock
        self._alive = self._due = clock()
        self._count = 0
        self._failures = 0

    def alive(self) -> None:
        """Note that the work goes on."""
        self._alive = self._clock()

    def next(self) -> bytes | None:
        """Return the beat that is due now, or None while the work stands still.

        A beat that failed is tried again under its number. Those that came due meanwhile are counted, so that the
        numbers tell how many were lost.
        """
        now = self._clock()
        if self._stall_after is not None and now - self._alive > self._stall_after:
            self._due = now + min(self.interval, 1.0)
            return None
        if not self._failures:
            self._count += 1
        else:
            missed = int(max(0.0, now - self._due) // self.interval)
            self._count += missed
            self._due += missed * self.interval
        beat = {"svc": self.svc, "i": self._count, "ts": time.time()}
        return json.dumps(beat, separators=(",", ":")).encode()

    def published(self) -> bool:
        """Note that the beat was published; return whether the one before was not, or there was none."""
        news = self.error is not None or not self.sent
        self.sent, self.error, self._failures = self.sent + 1, None, 0
        self._due += self.interval
        now = self._clock()
        if self._due < now:  # after standing still: one beat says as much as all that were left out
            self._due = now + self.interval
        return news

    def failed(self, error: BaseException) -> bool:
        """Note that it was not; return whether that is news."""
        news = self.error is None
        self.error = f"{type(error).__name__}: {error}"
        self._failures += 1
        return news

    def wait(self) -> float:
        """Return the seconds until `next` is to be asked again."""
        if self._failures:
            longest = min(LONGEST_PAUSE, self.interval)
            pause = min(longest, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
            return pause * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret
        return max(0.0, self._due - self._clock())


def _usable(interval: object) -> float:
    """Return seconds that can be waited; a service is not to fail because its heartbeat was set up wrongly."""
    try:
        seconds = float(interval)  # type: ignore[arg-type]  # that is what is found out here
    except (TypeError, ValueError):
        return DEFAULT_INTERVAL
    return max(seconds, SHORTEST_INTERVAL) if math.isfinite(seconds) and seconds > 0 else DEFAULT_INTERVAL
