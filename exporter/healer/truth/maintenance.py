"""Reads the maintenance windows of services and teams."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

from healer.truth.blocks import LONGEST_TEXT, alike
from healer.truth.document import Members
from healer.truth.problems import shown
from healer.truth.windows import DAYS, MINUTES_A_DAY, Once, Team, Weekly

if TYPE_CHECKING:
    from collections.abc import Collection

    from healer.truth.blocks import Block
    from healer.truth.problems import Problems
    from healer.truth.windows import Window

KEY: Final = "maintenance"
TEAMS: Final = "teams"
WINDOW_KEYS = ("from", "to", "days", "time_zone", "reason")
MOST_WINDOWS = 50
"""Of one service or team: Alertmanager asks each of them for each message."""
LONGEST_DAYS = 366
UTC_ZONE = "UTC"

_TIME = re.compile(r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)|24:00")
_LIKE_TIME = re.compile(r"\d{1,2}:")
_MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d(:00)?(?P<offset>Z|[+-]\d\d:\d\d)?")
_TIME_SHOWN = "a time of day such as 22:00"
_MOMENT_SHOWN = "a date and time such as 2026-12-24T18:00, whole minutes, from 2000 to 2099"
_EXAMPLE = '{"days": ["sunday"], "from": "02:00", "to": "04:00", "time_zone": "Europe/Berlin"}'
_LIST = f"a list like [{_EXAMPLE}]"


def windows(owner: Block) -> tuple[Window, ...]:
    """Return the windows under `maintenance` of a service or team; what is wrong with them is noted."""
    listed = owner.blocks(KEY, _LIST, f"an object like {_EXAMPLE}")
    if len(listed) > MOST_WINDOWS:
        owner.wrong(KEY, f"at most {MOST_WINDOWS} windows", found=f"{len(listed)} windows")
        return ()
    read = (_window(block) for block in listed)
    return tuple(window for window in read if window is not None)


def teams(root: Block, named: Collection[str], problems: Problems) -> tuple[Team, ...]:
    """Return the teams that have windows, sorted by name.

    Args:
        root: The document, whose `teams` may hold what is others' business, in any shape.
        named: The teams of the services.
        problems: Takes what is wrong.
    """
    if not isinstance(root.members.get(TEAMS), Members):
        return ()
    block = root.block(TEAMS)
    found = []
    for name, value in block.members.items():
        if not isinstance(value, Members):
            continue
        team = block.block(name)
        for key, meant in team.misspelt((KEY,)):
            problems.warn(
                team.at(key), "an unknown key", meant, "Rename it if that is what it is; it has no effect so."
            )
        if KEY not in team:
            continue
        if name not in named:
            known = alike(name, sorted(named)) if problems.may_suggest(named) else None
            hint = f"Did you mean {known}?" if known else "It mutes nothing."
            problems.warn(block.at(name), "a team that no service has", "the `team` of a service", hint)
        found.append(Team(name, windows(team)))
    return tuple(sorted((team for team in found if team.maintenance), key=lambda team: team.name))


def _window(block: Block) -> Window | None:
    block.only(WINDOW_KEYS)
    reason = block.text("reason", "what is done in it", LONGEST_TEXT)
    zone = _zone(block)
    for key in ("from", "to"):
        if key not in block:
            block.wrong(key, f"{_TIME_SHOWN} or {_MOMENT_SHOWN}", found="nothing")
    told = reason.value if reason else ""
    if "days" in block or _LIKE_TIME.match(str(block.members.get("from", ""))):
        return _weekly(block, zone or UTC_ZONE, told)
    return _once(block, zone, told)


def _weekly(block: Block, zone: str, reason: str) -> Weekly | None:
    days = _days(block)
    start, end = _minute(block, "from"), _minute(block, "to")
    if start == MINUTES_A_DAY:
        block.wrong("from", _TIME_SHOWN, "Write 00:00, of the next day.")
    if start is not None and start == end:
        block.wrong("to", "another time than `from`", "For whole days write 00:00 to 24:00.")
    if not block.sound or start is None or end is None:
        return None
    return Weekly(days, start, end, zone, reason)


def _days(block: Block) -> tuple[int, ...]:
    if "days" not in block:
        return tuple(range(len(DAYS)))
    listed = block.members["days"]
    if not isinstance(listed, list) or not listed:
        block.wrong("days", 'a list of days such as ["saturday", "sunday"]', "Leave it out for every day.")
        return ()
    found: set[int] = set()
    for index, day in enumerate(listed):
        if not isinstance(day, str) or day not in DAYS:
            meant = alike(day.lower(), DAYS) if isinstance(day, str) else None
            hint = f"Did you mean {meant}?" if meant else ""
            block.wrong_in("days", index, f"one of {', '.join(DAYS)}", hint, found=shown(day))
        else:
            found.add(DAYS.index(day))
    return tuple(sorted(found))


def _minute(block: Block, key: str) -> int | None:
    if key not in block:
        return None
    value = block.members[key]
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        block.wrong(key, _TIME_SHOWN, "Recurring windows have times of day in both `from` and `to`.")
        return None
    return MINUTES_A_DAY if found["hour"] is None else 60 * int(found["hour"]) + int(found["minute"])


def _once(block: Block, zone: str | None, reason: str) -> Once | None:
    start, end = _instant(block, "from", zone), _instant(block, "to", zone)
    if start is not None and end is not None:
        if end <= start:
            block.wrong("to", "an instant after `from`")
        elif end - start > timedelta(days=LONGEST_DAYS):
            block.wrong(
                "to",
                f"at most {LONGEST_DAYS} days after `from`",
                "To stop watching a service, unsubscribe it.",
            )
    if not block.sound or start is None or end is None:
        return None
    return Once(start, end, reason)


def _instant(block: Block, key: str, zone: str | None) -> datetime | None:
    """Return the instant; of a wall clock time that comes twice, the first for `from` and the second for `to`."""
    if key not in block:
        return None
    value = block.members[key]
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        moment = datetime.fromisoformat(str(value)) if found else None
    except ValueError:  # the 30th of February
        moment = None
    if moment is None or found is None:
        block.wrong(key, f"{_TIME_SHOWN} or {_MOMENT_SHOWN}", f'Write it like "{_example(key)}".')
        return None
    if found["offset"]:
        if zone is not None:
            block.wrong(
                key, "a date and time without an offset, or no `time_zone`", "One of the two decides."
            )
            return None
        return moment.astimezone(UTC)
    local = moment.replace(tzinfo=ZoneInfo(zone or UTC_ZONE), fold=int(key == "to"))
    instant = local.astimezone(UTC)
    if instant.astimezone(local.tzinfo).replace(tzinfo=None) != moment:
        block.wrong(key, f"a time that there is in {zone}", "Clocks go forward over it: write a later one.")
        return None
    return instant


def _example(key: str) -> str:
    return "2026-12-24T18:00" if key == "from" else "2026-12-27T06:00"


def _zone(block: Block) -> str | None:
    given = block.text("time_zone", "a time zone such as Europe/Berlin")
    if given is None:
        return None
    if given.value not in _zones():
        meant = alike(given.value, sorted(_zones()))
        hint = f"Did you mean {meant}?" if meant else "Leave it out for UTC."
        block.wrong("time_zone", "a time zone such as Europe/Berlin", hint)
        return None
    return given.value


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}
