"""Remembers what Alertmanager's deliveries still assert: which services are missing, and which nobody watches.

Alertmanager repeats what fires. One that crashed forgets what it was about to say, so an outage that nobody
repeats any more has lapsed, and so has an alert about the watching. All instants are monotonic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from healer.sentinel.alerts import Alert

REPEATS = 3
"""An alert that was not repeated for so many repeat intervals fires no more."""


class Standing:
    """What fires, as far as this process was told.

    Attributes:
        repeat: Seconds after which Alertmanager says again what still fires; None: not known, so nothing lapses.
    """

    def __init__(self, now: float) -> None:
        self.repeat: float | None = None
        self._told = now
        self._since = now
        self._confirmed: dict[str, float] = {}
        self._blind: dict[tuple[str, str, str], float] = {}
        self._ended: dict[tuple[str, str], float] = {}

    def told(self, repeat: float | None, now: float, gap: float) -> None:
        """Note a delivery of an Alertmanager that repeats after `repeat` seconds.

        One that repeats otherwise, or comes more than `gap` seconds after the last, has all be confirmed anew.
        """
        if repeat is None or repeat != self.repeat or now - self._told > gap:
            self._since = now
        self.repeat = repeat
        self._told = now

    def confirm(self, field: str, now: float) -> None:
        """Note that the service of the record `field` was said to be missing."""
        self._confirmed[field] = now

    def lapsed(
        self, missing: Iterable[str], now: float, gap: float, sound_since: Callable[[str], float | None]
    ) -> list[str]:
        """Return which of the records `missing` were confirmed too long ago.

        Args:
            missing: The fields of all records that are missing; one seen for the first time counts as confirmed.
            now: The current instant.
            gap: Seconds without any delivery after which this process counts as cut off.
            sound_since: Since when what would confirm that record has worked without a break; None: it does not.
        """
        self._confirmed = {field: self._confirmed.get(field, now) for field in missing}
        if now - self._told > gap:
            self._since = now
        if self.repeat is None:
            return []
        limit = now - REPEATS * self.repeat
        return [
            field
            for field, at in self._confirmed.items()
            if max(at, self._since) < limit and (since := sound_since(field)) is not None and since < limit
        ]

    def contested(self, field: str, now: float, within: float) -> bool:
        """Return whether somebody may have said within so many seconds that the record `field` is missing."""
        return now - self._confirmed.get(field, now) < within

    def unwatched(self, alert: Alert, now: float) -> None:
        """Note an alert that says that a bus, or one service on it, is not watched."""
        key = (alert.name, alert.bus, alert.svc)
        if alert.firing:
            self._blind[key] = now
        elif self._blind.pop(key, None) is not None:
            self._ended[alert.bus, alert.svc] = now

    def blind_until(self, bus: str, svc: str, now: float) -> float:
        """Return when nobody watched `svc` on `bus` for the last time: `now` while that is so."""
        for key, at in list(self._blind.items()):
            if self.repeat is not None and now - at > REPEATS * self.repeat:
                del self._blind[key]
                self._ended[key[1:]] = now
        if any(key[1] == bus and key[2] in {"", svc} for key in self._blind):
            return now
        return max(self._ended.get((bus, ""), 0.0), self._ended.get((bus, svc), 0.0))
