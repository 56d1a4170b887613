"""Maintenance windows as Alertmanager's time intervals, and which alerts each of them mutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from healer.bundle.text import alternation, quoted
from healer.truth.windows import DAYS, MINUTES_A_DAY, Once, clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from healer.truth.model import Truth
    from healer.truth.windows import Weekly, Window

_MIDNIGHT = time(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mute:
    """Alerts that people are not told of during some windows.

    Attributes:
        team: The team of the services, or None.
        services: Their names, sorted; none: all of the team.
        intervals: Names of time intervals.
    """

    team: str | None
    services: tuple[str, ...]
    intervals: tuple[str, ...]

    @property
    def matcher(self) -> str:
        """What Alertmanager tells the alerts by."""
        if not self.services:
            return f"team={quoted(self.team or '')}"
        if len(self.services) == 1:
            return f"svc={quoted(self.services[0])}"
        return f"svc=~{alternation(self.services)}"


@dataclass(frozen=True, slots=True)
class Mutes:
    """Every `Mute`, and those of each route to people.

    Attributes:
        all: Those of services before those of their teams: the first that matches counts, and has both.
        of_everyone: Those of services whose team is not told by itself.
        of_team: Those of services whose team is, by team.
    """

    all: tuple[Mute, ...]
    of_everyone: tuple[Mute, ...]
    of_team: dict[str, tuple[Mute, ...]]


def mutes(truth: Truth, teams: Sequence[str]) -> Mutes:
    """Return who is muted when.

    Args:
        truth: Has the windows.
        teams: The teams that are told instead of everyone.
    """
    of_teams = {team.name: f"team {team.name}" for team in truth.teams}
    every = [
        Mute(team, names, (_title(names), *([of_teams[team]] if team in of_teams else [])))
        for (_, team), names in _alike(truth).items()
    ]
    every += [Mute(name, (), (interval,)) for name, interval in of_teams.items()]
    return Mutes(
        all=tuple(every),
        of_everyone=tuple(mute for mute in every if mute.team not in teams),
        of_team={team: tuple(mute for mute in every if mute.team == team) for team in teams},
    )


def time_intervals(truth: Truth) -> str:
    """Return the list of named time intervals as YAML; empty without windows."""
    named = {_title(names): windows for (windows, _), names in _alike(truth).items()}
    named |= {f"team {team.name}": team.maintenance for team in truth.teams}
    if not named:
        return ""
    listed = [
        {"name": name, "time_intervals": [interval for window in windows for interval in intervals(window)]}
        for name, windows in named.items()
    ]
    text: str = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=10**9)
    return text


def _alike(truth: Truth) -> dict[tuple[tuple[Window, ...], str | None], tuple[str, ...]]:
    """Return the services that have windows of their own, those of one team with the same windows together."""
    found: dict[tuple[tuple[Window, ...], str | None], tuple[str, ...]] = {}
    for service in truth.services:
        if service.maintenance:
            key = (service.maintenance, service.team)
            found[key] = (*found.get(key, ()), service.name)
    return found


def _title(names: Sequence[str]) -> str:
    more = len(names) - 1
    return f"service {names[0]}" + (f" and {more} more" if more else "")


def intervals(window: Window) -> list[dict[str, Any]]:
    """Return the time intervals that together hold exactly the minutes of `window`."""
    return list(_once(window) if isinstance(window, Once) else _weekly(window))


def _times(start: int, end: int) -> dict[str, Any]:
    return {"times": [{"start_time": clock(start), "end_time": clock(end)}]}


def _weekly(window: Weekly) -> Iterator[dict[str, Any]]:
    def on(days: Sequence[int], start: int, end: int) -> dict[str, Any]:
        weekdays = {"weekdays": [DAYS[day] for day in sorted(days)]} if len(days) < len(DAYS) else {}
        return {**_times(start, end), **weekdays, "location": window.zone}

    if window.start < window.end:
        yield on(window.days, window.start, window.end)
        return
    yield on(window.days, window.start, MINUTES_A_DAY)
    if window.end:
        yield on([(day + 1) % len(DAYS) for day in window.days], 0, window.end)


def _once(window: Once) -> Iterator[dict[str, Any]]:
    """Yield intervals in UTC, which knows no change of clocks: the parts of the first and last day, whole days by month."""
    first, last = window.start.date(), window.end.date()
    begins, ends = (60 * each.hour + each.minute for each in (window.start, window.end))
    if first == last:
        yield {**_times(begins, ends), **_days(first, first)}
        return
    if begins:
        yield {**_times(begins, MINUTES_A_DAY), **_days(first, first)}
        first += timedelta(days=1)
    while first < last:
        month_ends = (
            (datetime.combine(first, _MIDNIGHT).replace(day=28) + timedelta(days=4)).replace(day=1).date()
        )
        upto = min(month_ends, last) - timedelta(days=1)
        yield _days(first, upto)
        first = upto + timedelta(days=1)
    if ends:
        yield {**_times(0, ends), **_days(last, last)}


def _days(first: date, last: date) -> dict[str, Any]:
    """Return the days from `first` to `last` of one month."""
    days = f"{first.day}" if first == last else f"{first.day}:{last.day}"
    return {"days_of_month": [days], "months": [str(first.month)], "years": [str(first.year)]}
