"""Maintenance windows: when people are not told. Once is exact; recurring is by the wall clock of a time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""As `datetime.weekday()` counts them."""

MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Once:
    """One stretch of time.

    Attributes:
        start: Its first instant, in UTC, on a whole minute.
        end: The first instant after it, likewise.
        reason: What is done in it, for people; may be empty.
    """

    start: datetime
    end: datetime
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Weekly:
    """The same hours of some days, by the wall clock: where clocks go back an hour is in it twice, where they go forward never.

    Attributes:
        days: On which days it begins, as `datetime.weekday()` counts, sorted; never empty.
        start: Its first minute of such a day.
        end: The first minute after it, up to `MINUTES_A_DAY`; of the next day if it is not above `start`.
        zone: The IANA name of the time zone.
        reason: What is done in it, for people; may be empty.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return it for people."""
        every = "every day" if len(self.days) == len(DAYS) else ", ".join(DAYS[day] for day in self.days)
        return f"{every} {clock(self.start)} to {clock(self.end)} {self.zone}"


Window = Once | Weekly


@dataclass(frozen=True, slots=True)
class Team:
    """A team of which the truth says something.

    Attributes:
        name: The `team` of its services.
        maintenance: When people are not told of any of its services.
    """

    name: str
    maintenance: tuple[Window, ...]


def clock(minute: int) -> str:
    """Return a minute of the day as `HH:MM`."""
    return f"{minute // 60:02}:{minute % 60:02}"
