"""The dead man's timer: hears the pipeline's Watchdog and tells how long it has been silent.

Alertmanager goes on sending the Watchdog of a Prometheus that died until it expires, so only progress counts:
a beat is one whose evaluation time is another than the same Alertmanager sent before. Clocks are never compared
with each other, and the timer is monotonic: no step of any clock makes silence or hides it.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from healer.runtime.clock import Clock

MAX_SENDERS = 16
"""How many Alertmanagers are told apart; the one unheard for longest is forgotten first."""

STALL_SECONDS = 1.5
"""Two checks further apart than this: this process stood still, and could not have heard anything."""

SELDOM_TIMES, SELDOM_SECONDS = 3, 600.0
"""A Watchdog that ended so many silences within so long is not out: it comes too seldom."""

SELDOM = "the Watchdog comes, but too seldom: start Prometheus with --rules.alert.resend-delay=10s (runbook Watchdog)"
"""What to do then."""

PEER = "another sentinel"
"""The sender of beats that another sentinel wrote to Redis."""


class Watchdog:
    """Says whether the pipeline is silent.

    Attributes:
        timeout: Seconds of silence after which it is.
        beat: Evaluation time of the beat that counted last (epoch seconds), or None before the first.
    """

    def __init__(self, clock: Clock, timeout: float) -> None:
        self.timeout = timeout
        self.beat: float | None = None
        self._clock = clock
        self._heard = self._checked = clock.monotonic()
        self._stalled = 0.0
        self._alive_since: float | None = None
        self._last: dict[str, float] = {}
        self._ended: collections.deque[float] = collections.deque(maxlen=SELDOM_TIMES)

    def adopt(self, beat: float) -> None:
        """Take `beat` for heard before this process began: it and what is older are no news."""
        self._last[PEER] = beat
        if self.beat is None:
            self.beat = beat

    def hear(self, sender: str, beat: float) -> bool:
        """Note the Watchdog evaluated at `beat` (epoch seconds) as sent by `sender`; return whether it counts."""
        before = self._last.pop(sender, None)
        self._last[sender] = beat
        if len(self._last) > MAX_SENDERS:
            del self._last[next(iter(self._last))]
        if beat in {before, self.beat} or (before is None and beat < (self.beat or 0.0)):
            return False
        if self.silent() and self._alive_since is not None:
            self._ended.append(self._clock.monotonic())
        if self.silent() or self._alive_since is None:
            self._alive_since = self._clock.monotonic()
        self.beat = beat
        self._heard = self._clock.monotonic()
        self._stalled = 0.0
        return True

    def check(self) -> None:
        """Note that this process runs; to be called several times a second."""
        self._stalled = self._stood_still()
        self._checked = self._clock.monotonic()

    def silent(self) -> bool:
        """Return whether nothing was heard for longer than `timeout`, while this process could hear."""
        return self.late() - self._stood_still() > self.timeout

    def _stood_still(self) -> float:
        # With the time since the last check: who asks may run before the next check does.
        gap = self._clock.monotonic() - self._checked
        return self._stalled + (gap if gap > STALL_SECONDS else 0.0)

    def seldom(self) -> bool:
        """Return whether silences keep ending by themselves: beats come, but further apart than `timeout`."""
        return len(self._ended) == SELDOM_TIMES and self._clock.monotonic() - self._ended[0] < SELDOM_SECONDS

    def late(self) -> float:
        """Return the seconds since the last beat that counted, or since the start."""
        return self._clock.monotonic() - self._heard

    def alive_since(self) -> float | None:
        """Return since when (monotonic) it has been heard without a silence, or None while it is not."""
        return None if self.silent() else self._alive_since
