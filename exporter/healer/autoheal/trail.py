"""The newest events in memory, for /audit, the console and those who listen."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healer.autoheal.events import Event, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REMEMBERED = 10_000
"""Events that can be asked for; older ones are in the file."""

BACKLOG = 256
"""Events that a listener may be behind before it is cut off."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; all that are given have to hold.

    Attributes:
        kind: Its kind, or empty for any.
        alertname: Its alertname, or empty for any.
        since: Not before this (epoch seconds).
        contains: Text that its line of JSON holds, in whatever case; or empty.
    """

    kind: str = ""
    alertname: str = ""
    since: float = 0.0
    contains: str = ""

    def wants(self, event: Event) -> bool:
        """Return whether `event` is wanted."""
        return (
            self.kind in {"", event.kind}
            and self.alertname in {"", event.alertname}
            and event.ts >= self.since
            and (not self.contains or self.contains.casefold() in encode(event).decode().casefold())
        )


class Listener:
    """Whoever is told of new events.

    Attributes:
        queue: The events that it wants, in order; None: it was too slow, or the end.
    """

    def __init__(self, wants: Callable[[Event], bool]) -> None:
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG + 1)
        self._wants = wants

    def hear(self, event: Event) -> bool:
        """Take in `event` if it is wanted; return False if the listener is too far behind."""
        if not self._wants(event):
            return True
        if self.queue.qsize() < BACKLOG:
            self.queue.put_nowait(event)
            return True
        return False


class Trail:
    """The events, and who listens to them."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._listeners: set[Listener] = set()

    def load(self, events: Iterable[Event]) -> None:
        """Take in what was on record before."""
        self._events.extend(events)

    def add(self, events: Iterable[Event]) -> None:
        """Take in new events, which are on record already, and tell everyone."""
        for event in events:
            self._events.append(event)
            for listener in list(self._listeners):
                if not listener.hear(event):
                    self.leave(listener)

    def newest(self, wanted: Filter, count: int) -> list[Event]:
        """Return the newest `count` events that are wanted, oldest first."""
        found: list[Event] = []
        for event in reversed(self._events):
            if len(found) == count:
                break
            if wanted.wants(event):
                found.append(event)
        return found[::-1]

    def after(self, seq: int, wanted: Filter) -> list[Event]:
        """Return the events after number `seq` that are wanted, as far as they are remembered."""
        return [event for event in self._events if event.seq > seq and wanted.wants(event)]

    def listen(self, wanted: Filter) -> Listener:
        """Return a new listener; it has to leave."""
        listener = Listener(wanted.wants)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Tell `listener` nothing more; it finds a None."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            listener.queue.put_nowait(None)

    def close(self) -> None:
        """End every listener."""
        for listener in list(self._listeners):
            self.leave(listener)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)
