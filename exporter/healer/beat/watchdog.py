"""Feeds the watchdog of systemd from the progress of a service, if it is asked to and systemd wants it."""

from __future__ import annotations

from healer.runtime.notify import Notifier

AT_LEAST = 2
"""So many times within its period the watchdog is fed."""


class Watchdog:
    """The watchdog of one service; without one, or if it is not `wanted`, all of this does nothing."""

    def __init__(self, *, wanted: bool) -> None:
        self._notifier = Notifier() if wanted else None

    def pace(self, interval: float) -> float:
        """Return `interval` seconds, or less if systemd wants to hear more often."""
        period = None if self._notifier is None else self._notifier.watchdog_seconds()
        return interval if period is None else min(interval, period / AT_LEAST)

    def ready(self) -> None:
        """Say that the service runs; never raises."""
        if self._notifier is not None:
            self._notifier.send("READY=1")

    def feed(self) -> None:
        """Say that the work goes on; never raises."""
        if self._notifier is not None:
            self._notifier.send("WATCHDOG=1")
