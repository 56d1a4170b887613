"""What the status page shows: each service's age against its timeout, each bus, and the truth that runs.

The exporter knows nothing of misses: the rules decide them, over all replicas. What stands here is what this
replica heard, at one moment.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.beats.board import Slot
    from healer.exporter.wiring import Wiring
    from healer.runtime.clock import Anchor, Clock

SLICE = 500
"""Services looked at before the event loop gets its turn: about a millisecond."""

MOST_ROWS = 5000
"""A page with more helps nobody; the worst are shown."""

PATIENCE = 1.5
"""A beat is overdue after so many intervals: less is jitter."""


class State(StrEnum):
    """How it stands with a service, worst first."""

    PAST = "past timeout"
    NEVER = "never heard"
    UNWATCHED = "not watched"
    OVERDUE = "overdue"
    WAITING = "waiting"
    BEATING = "beating"

    @property
    def key(self) -> str:
        """A name for style sheets."""
        return self.name.lower()


MEANINGS = {
    State.PAST: "the last beat is older than the service's timeout",
    State.NEVER: "not one beat, though watched for its warm-up",
    State.UNWATCHED: "its bus is not heard: nobody here can tell",
    State.OVERDUE: "the next beat is late, but within the timeout",
    State.WAITING: "watched for less than its warm-up, and silent so far",
    State.BEATING: "heard in time",
}


class Row(msgspec.Struct, frozen=True, gc=False):
    """One service.

    Attributes:
        svc: Its name.
        bus: Its bus.
        state: How it stands.
        last: When its last beat was received (epoch seconds), or None.
        since: Since when it is watched without a break (epoch seconds), or None while it is not.
        interval: Seconds between two beats.
        timeout: Seconds of silence that it is allowed.
    """

    svc: str
    bus: str
    state: State
    last: float | None
    since: float | None
    interval: float
    timeout: float


class BusRow(msgspec.Struct, frozen=True):
    """One bus.

    Attributes:
        name: Its name.
        hearing: Connected, and the exporter's own beat comes back.
        loopback: When it last came back (epoch seconds), or None.
        reconnects: Connections after the first.
        services: How many services beat on it.
    """

    name: str
    hearing: bool
    loopback: float | None
    reconnects: int
    services: int


class TruthRow(msgspec.Struct, frozen=True):
    """The truth that runs.

    Attributes:
        sha256: Its hash; empty before the first.
        version: Its own version.
        adopted: When it was adopted (epoch seconds), or None.
        newest: Whether it is the newest that was seen; False after one was refused.
    """

    sha256: str
    version: str
    adopted: float | None
    newest: bool


class Head(msgspec.Struct, frozen=True):
    """Everything but the services.

    Attributes:
        at: The moment (epoch seconds, on the exporter's clock).
        total: How many services there are; more than rows when there are too many to show.
        counts: How many are in each state.
        buses: The buses, by name.
        truth: The truth.
    """

    at: float
    total: int
    counts: dict[State, int]
    buses: list[BusRow]
    truth: TruthRow


class View(msgspec.Struct, frozen=True):
    """The whole picture at one moment.

    Attributes:
        head: Everything but the services.
        rows: The services, worst first, then by name; at most `MOST_ROWS`.
    """

    head: Head
    rows: list[Row]


def judge(slot: Slot, now: float, *, hearing: bool) -> State:
    """Return how it stands with a service.

    Args:
        slot: What was heard of it.
        now: Monotonic.
        hearing: Whether its bus is heard.
    """
    service = slot.service
    if slot.since is None or not hearing:
        return State.UNWATCHED
    if slot.last is not None and now - slot.last <= service.timeout:
        return State.BEATING if now - slot.last <= PATIENCE * service.interval else State.OVERDUE
    if now - slot.since < service.warmup:
        return State.WAITING
    return State.NEVER if slot.last is None else State.PAST


class Survey:
    """Looks at a running exporter."""

    def __init__(self, wiring: Wiring, anchor: Anchor, clock: Clock) -> None:
        self._wiring = wiring
        self._anchor = anchor
        self._clock = clock

    async def take(self) -> View:
        """Return the picture of now; the event loop runs between two slices of services."""
        self._anchor.check()
        now = self._clock.monotonic()
        up = {name for name, listener in self._wiring.listeners.items() if listener.up}
        slots = list(self._wiring.board)
        found: dict[State, list[Slot]] = {state: [] for state in State}
        on_bus: dict[str, int] = {}
        for start in range(0, len(slots), SLICE):
            for slot in slots[start : start + SLICE]:
                bus = slot.service.bus
                on_bus[bus] = on_bus.get(bus, 0) + 1
                found[judge(slot, now, hearing=bus in up)].append(slot)
            await asyncio.sleep(0)
        head = Head(
            at=self._epoch(now) or 0.0,
            total=len(slots),
            counts={state: len(those) for state, those in found.items()},
            buses=list(self._buses(on_bus)),
            truth=self._truth(),
        )
        return View(head, await self._rows(found))

    async def _rows(self, found: dict[State, list[Slot]]) -> list[Row]:
        worst = islice(((slot, state) for state, those in found.items() for slot in those), MOST_ROWS)
        rows: list[Row] = []
        for slot, state in worst:
            rows.append(self._row(slot, state))
            if len(rows) % SLICE == 0:
                await asyncio.sleep(0)
        return rows

    def _row(self, slot: Slot, state: State) -> Row:
        service = slot.service
        return Row(
            slot.name,
            service.bus,
            state,
            self._epoch(slot.last),
            self._epoch(slot.since),
            service.interval,
            service.timeout,
        )

    def _buses(self, services: dict[str, int]) -> Iterable[BusRow]:
        for name, listener in sorted(self._wiring.listeners.items()):
            yield BusRow(
                name, listener.up, self._epoch(listener.loopback), listener.reconnects, services.get(name, 0)
            )

    def _truth(self) -> TruthRow:
        truth = self._wiring.truth
        return TruthRow(
            sha256=truth.sha256 if truth else "",
            version=truth.version if truth else "",
            adopted=self._epoch(self._wiring.adopted_at),
            newest=self._wiring.successful,
        )

    def _epoch(self, instant: float | None) -> float | None:
        return None if instant is None else round(self._anchor.epoch(instant), 3)
