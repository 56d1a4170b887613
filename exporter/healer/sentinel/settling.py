"""Holds back recoveries that nobody proved until a dead service would have been reported again.

When Prometheus dies, Alertmanager lets its alerts expire and calls them resolved. Such an end is believed once
the pipeline has been sound, without a break, for longer than a dead service takes to be missed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Settling:
    """The ends owed, and since when this process has known of each. Instants are monotonic."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[float, float]] = {}

    def due(
        self,
        owed: Mapping[str, float],
        now: float,
        sound_since: Callable[[str], float | None],
        patience: Callable[[str], float],
    ) -> list[tuple[str, float]]:
        """Return the ends that are to be believed now, as `(field, end)`.

        Args:
            owed: All ends owed, by the field of their record.
            now: The current instant.
            sound_since: Since when what would report that record has worked without a break; None: it does not.
            patience: Seconds that the record's service, if dead, takes to be reported at most.
        """
        self._noted = {
            field: noted if (noted := self._noted.get(field)) and noted[0] == end else (end, now)
            for field, end in owed.items()
        }
        due = []
        for field, (end, noted_at) in self._noted.items():
            since = sound_since(field)
            if since is not None and now - max(noted_at, since) >= patience(field):
                due.append((field, end))
        return due
