"""The board: what was last heard of every service, and since when somebody has been listening.

A slot belongs to one service and is written by the bus that carries it; nothing here reads a clock or does
I/O. Instants are monotonic seconds (see `healer.runtime.clock`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from healer.beats.decode import MALFORMED, MAX_BYTES, Beat, Invalid, decode, exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from healer.truth.model import Service

MAX_GAP = 1_000_000
"""A jump of `i` beyond this is a publisher's new numbering, not a million lost beats."""


class Slot:
    """What is known of one service.

    Attributes:
        service: The service, as the current truth describes it.
        name: Its name; a slot's never changes.
        since: When this replica began to listen to its channel without a break, or None while it does not.
        last: When its newest beat was received, or None before the first.
        ahead: How many more beats were heard than `expected` says (0 while it says nothing). While their numbers
            follow one another both grow alike, so hearing the next one need not count it.
        lost: Beats that gaps in `i` say were missed.
        restarts: Times that `i` went back.
        skew: Receipt minus the publisher's `ts` of the newest beat that had one, in seconds, or None.
        present: Whether the file that is its heartbeat is there; None where there is no file, or nobody can tell.
        expected: The `i` after that of its newest beat which had one, or None before the first.
        invalid: Messages that were no beat, by reason.
    """

    __slots__ = (
        "ahead",
        "expected",
        "invalid",
        "last",
        "lost",
        "name",
        "present",
        "restarts",
        "service",
        "since",
        "skew",
    )

    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = service.name
        self.since: float | None = None
        self.last: float | None = None
        self.ahead = 0
        self.lost = 0
        self.restarts = 0
        self.skew: float | None = None
        self.present: bool | None = None
        self.expected: int | None = None
        self.invalid: dict[Invalid, int] = {}

    @property
    def beats(self) -> int:
        """Beats heard."""
        return self.ahead + (self.expected or 0)

    def listen(self, now: float) -> None:
        """Note that listening to the channel began at `now` (monotonic)."""
        self.since = now

    def hear(self, payload: bytes, now: float, wall: float) -> Invalid | None:
        """Take in a message received at `now` (monotonic) and `wall` (epoch seconds).

        Returns:
            None for a beat, else why it was none; then only `invalid` has changed.
        """
        if len(payload) > MAX_BYTES:
            return self._refuse(Invalid.TOO_LARGE)
        try:
            beat = exact(payload)
        except MALFORMED:
            read = decode(payload)
            if not isinstance(read, Beat):
                return self._refuse(read)
            beat = read
        return self.take(beat, now, wall)

    def take(self, beat: Beat, now: float, wall: float) -> Invalid | None:
        """Take in a message that has been decoded, as `hear` does."""
        if beat.svc != self.name:
            svc = beat.svc if beat.svc is not None else beat.service
            if svc is not None and svc != self.name:
                return self._refuse(Invalid.OTHER_SERVICE)
        self.note(now)
        if beat.ts is not None:
            self.skew = wall - beat.ts
        if beat.i is not None:
            self._number(beat.i)
        return None

    def hear_anything(self, payload: bytes, now: float, wall: float) -> Invalid | None:
        """Take in what need be no JSON to be a beat; if it is an object, it is read as in `hear`."""
        if not isinstance(decode(payload), Beat):
            self.note(now)
            return None
        return self.hear(payload, now, wall)

    def note(self, now: float) -> None:
        """Note a beat that says nothing but that it was, noticed at `now` (monotonic)."""
        self.last = now
        self.ahead += 1

    def _refuse(self, reason: Invalid) -> Invalid:
        self.invalid[reason] = self.invalid.get(reason, 0) + 1
        return reason

    def _number(self, i: int) -> None:
        """Note that the newest beat, which is counted already, has the number `i`."""
        step = i + 1 - (self.expected or 0)
        self.ahead -= step
        if self.expected is not None:
            if step < 0:
                self.restarts += 1
            elif 1 < step <= MAX_GAP:
                self.lost += step - 1
        self.expected = i + 1


class Board:
    """The slots of all services of the current truth."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, str, str, str], Slot] = {}

    def __iter__(self) -> Iterator[Slot]:
        """Iterate over the slots in the truth's order."""
        return iter(self._slots.values())

    def __len__(self) -> int:
        return len(self._slots)

    def adopt(self, services: Iterable[Service]) -> None:
        """Make the board that of `services`.

        A service that keeps its name, bus, channel and source keeps what was heard of it; a changed interval or
        timeout does not unhear a beat. A service that is gone leaves no trace.
        """
        old = self._slots
        self._slots = {}
        for service in services:
            key = (service.name, service.bus, service.channel, service.source.value)
            slot = old.get(key) or Slot(service)
            slot.service = service
            self._slots[key] = slot
