"""Keeps the last check of a host, for whoever asks over HTTP whether it is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from healer.truth.limits import Level
from healer.web.face import Health

if TYPE_CHECKING:
    from collections.abc import Collection

    from healer.host.findings import Report
    from healer.runtime.clock import Clock

TOO_OLD = 90.0
"""Seconds after which a check says nothing any more: whoever makes them hangs."""


class Standing:
    """What `/health` answers of a host."""

    def __init__(self, host: str, failing: Collection[Level], clock: Clock) -> None:
        """Begin without a check, which is not healthy.

        Args:
            host: Its name.
            failing: The levels that are not healthy beside CRITICAL, which never is.
            clock: Its time.
        """
        self._host = host
        self._failing = {Level.CRITICAL, *failing}
        self._clock = clock
        self._checked: float | None = None
        self._last = self._blind("not looked at yet")

    def note(self, report: Report) -> None:
        """Take in a check."""
        # Any item decides, not the worst alone: what is UNKNOWN may fail where a WARNING beside it does not.
        levels = {report.level, *(item.level for item in report.items)}
        healthy = not levels & self._failing
        self._last = Health(healthy, json.dumps({"healthy": healthy, **report.show()}).encode())
        self._checked = self._clock.monotonic()

    def answer(self) -> Health:
        """Return what is known; nothing is looked at for it."""
        if self._checked is not None and self._clock.monotonic() - self._checked > TOO_OLD:
            return self._blind(f"not looked at for more than {TOO_OLD:g} s")
        return self._last

    def _blind(self, why: str) -> Health:
        shown = {
            "healthy": False,
            "host": self._host,
            "level": str(Level.UNKNOWN),
            "summary": why,
            "ts": None,
            "items": [],
        }
        return Health(healthy=False, body=json.dumps(shown).encode())
