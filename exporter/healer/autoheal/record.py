"""Writes what happens: to the journal first, then to those who listen and to the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from healer.autoheal.events import Event, Kind
from healer.autoheal.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from healer.autoheal.alerts import Alert
    from healer.autoheal.gates import Key, Refusal, Request
    from healer.autoheal.journal import Journal
    from healer.autoheal.metrics import Counts
    from healer.autoheal.trail import Trail
    from healer.runtime.clock import Anchor


class Recorder:
    """The way of every event."""

    def __init__(self, journal: Journal, trail: Trail, counts: Counts, anchor: Anchor) -> None:
        self._journal = journal
        self._trail = trail
        self._counts = counts
        self._anchor = anchor
        self._owed: list[Event] = []

    @property
    def fault(self) -> str | None:
        """Why nothing may run: the journal's fault, or something that happened and is not on record yet."""
        if self._journal.fault is not None:
            return self._journal.fault
        return f"{len(self._owed)} events are not on record yet" if self._owed else None

    async def write(self, *events: Event) -> None:
        """Put `events` on record.

        Raises:
            JournalError: They are not; nothing must be done about them.
        """
        written = await self._journal.append(*events)
        self._trail.add(written)
        for event in written:
            self._counts.event(event)

    async def write_or_owe(self, *events: Event) -> None:
        """Put on record what has happened already; what cannot be written now stops everything until it is."""
        try:
            await self.write(*events)
        except JournalError:
            self.owe(events)

    def owe(self, events: Sequence[Event]) -> None:
        """Note what happened and could not be written."""
        self._owed += events

    async def settle(self) -> None:
        """Try to write again after a fault, and write what is owed.

        Raises:
            JournalError: It still cannot be written.
        """
        if not await self._journal.heal():
            raise JournalError(self._journal.fault or "")
        owed = list(self._owed)
        if owed:
            await self.write(*owed)
            del self._owed[: len(owed)]

    def event(self, kind: Kind, **facts: object) -> Event:
        """Return an event of now."""
        return msgspec.convert({"kind": kind, "ts": round(self._anchor.now(), 3), **facts}, Event)

    def about(self, kind: Kind, request: Request, **facts: object) -> Event:
        """Return an event about a request."""
        action, target = request.key.action, request.key.target
        return self.event(
            kind, id=request.id, alertname=request.alertname, action=action, target=target, **facts
        )

    def skip(self, alert: Alert, key: Key | None, refusal: Refusal, id_: str = "") -> Event:
        """Return the event of an alert that a gate refused; `id_` names its request if it had been accepted."""
        facts: dict[str, object] = {}
        if key is not None:
            facts = {"action": key.action, "target": key.target, "alert": alert.fingerprint}
        if not alert.firing and alert.ended is not None:
            facts["ends_at"] = alert.ended
        if refusal.seconds is not None:
            facts["wait_sec"] = round(refusal.seconds, 3)
        reason, why = str(refusal.gate), refusal.why
        return self.event(
            Kind.DECISION_SKIP, id=id_, alertname=alert.name, reason=reason, detail=why, **facts
        )

    def verdict(self, kind: Kind, key: Key, alertname: str, after: float | None = None) -> Event:
        """Return the event of an action that healed, `after` so many seconds, or did not."""
        seconds = None if after is None else round(after, 3)
        return self.event(kind, alertname=alertname, action=key.action, target=key.target, after_sec=seconds)
