"""What the record says is still the case: gates as they were left, what waits, and what nobody saw the end of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from healer.autoheal.events import ENDS, Event, Kind
from healer.autoheal.gates import Gate, Gates, Key, Request
from healer.autoheal.policyfile import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DECIDED = (Kind.DECISION_SKIP, Kind.ACTION_START, Kind.ACTION_DRY_RUN)
_STATE = (*ENDS, Kind.ACTION_START, Kind.HEALED, Kind.NOT_HEALED, Kind.BREAKER_OPEN, Kind.BREAKER_RESET)


@dataclass(slots=True)
class Left:
    """What an earlier process left behind.

    Attributes:
        unfinished: Actions that started and whose end is not on record, by request id.
        waiting: Alerts that were accepted and not decided, oldest first, by request id.
    """

    unfinished: dict[str, Event] = field(default_factory=dict)
    waiting: dict[str, Event] = field(default_factory=dict)


def replay(events: Sequence[Event], gates: Gates, instant: Callable[[float], float]) -> Left:
    """Bring fresh `gates` to where `events` left them.

    Args:
        events: The record, oldest first.
        gates: Is changed.
        instant: Turns epoch seconds into the instants of `gates`.
    """
    left = Left()
    for event in events:
        if event.kind == Kind.ALERT_ACCEPTED:
            left.waiting[event.id] = event
        elif event.kind in _DECIDED:
            left.waiting.pop(event.id, None)
        _apply(event, gates, left, instant)
    return left


def _apply(event: Event, gates: Gates, left: Left, instant: Callable[[float], float]) -> None:
    at, key = instant(event.ts), Key(event.action, event.target)
    if event.kind == Kind.ACTION_START:
        gates.start(request(event, instant), at)
        left.unfinished[event.id] = event
    elif event.kind in ENDS:
        start = left.unfinished.pop(event.id, None)
        if start is not None:
            gates.end(request(start, instant), at, verify=event.kind == Kind.ACTION_OK)
    elif event.kind == Kind.DECISION_SKIP and event.reason == Gate.NOT_FIRING and event.action:
        gates.resolved(key, event.alert, at if event.ends_at is None else instant(event.ends_at))
    elif event.kind in {Kind.HEALED, Kind.NOT_HEALED} and key in gates.past:
        gates.past[key].verify_until = None
    elif event.kind == Kind.BREAKER_OPEN:
        gates.open_since = at
    elif event.kind == Kind.BREAKER_RESET:
        gates.reset()


def request(event: Event, instant: Callable[[float], float]) -> Request:
    """Return the request that an `action_start` is about."""
    return Request(
        id=event.id,
        key=Key(event.action, event.target),
        alert=event.alert,
        incident=event.incident,
        cooldown=event.cooldown_sec or 0.0,
        alertname=event.alertname,
        verify_for=event.verify_sec or 0.0,
        began=None if event.starts_at is None else instant(event.starts_at),
        pending=event.pending_sec or 0.0,
    )


def needed(events: Sequence[Event]) -> list[Event]:
    """Return what has to be carried over when a record is put aside: what `replay` may still ask for."""
    newest = events[-1].ts if events else 0.0
    left = replay(events, Gates.empty(), lambda ts: ts)
    opened = [event for event in events if event.kind in {Kind.BREAKER_OPEN, Kind.BREAKER_RESET}][-1:]
    waiting = {*left.waiting, *left.unfinished}

    def wanted(event: Event) -> bool:
        if event in opened or event.id in waiting:
            return True
        state = event.kind in _STATE or (event.reason == Gate.NOT_FIRING and bool(event.action))
        return state and newest - event.ts < LONGEST

    # The newest, whatever it is, so that numbers go on.
    return [event for event in events[:-1] if wanted(event)] + list(events[-1:])
