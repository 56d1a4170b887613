"""Beats that are posted over HTTP, for cron and CI: what one does to the slot of its service.

Who may post, how often and how much is the business of `healer.exporter.push`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from healer.beats.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healer.beats.board import Slot
    from healer.beats.cadence import Cadence
    from healer.beats.decode import Invalid
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus

LONGEST_PERIOD = 1.0
"""Seconds between two proofs that the event loop, and with it the HTTP server, gets its turn."""


class ClosedError(Exception):
    """Nobody can post: there are no tokens that could be asked for."""


class PushWatch(Watching):
    """Takes posted beats; a `healer.beats.source.Source`."""

    def __init__(self, bus: Bus, clock: Clock, closed: Callable[[], str | None]) -> None:
        """Prepare to take beats.

        Args:
            bus: The bus.
            clock: Gives the instants.
            closed: Returns why nobody can post, or None.
        """
        super().__init__(bus, clock)
        self._closed = closed
        self._by_name: dict[str, Slot] = {}

    def assign(self, slots: Mapping[str, Slot], cadence: Cadence) -> None:
        """Take the beats of exactly the services of `slots`."""
        super().assign(slots, cadence)
        self._by_name = {slot.name: slot for slot in slots.values()}
        self._listen()

    def let_go(self) -> None:
        """Leave the slots to another source."""
        super().let_go()
        self._by_name = {}

    async def run(self) -> None:
        """Prove now and then that beats can come in, until cancelled."""
        while True:
            now, reason = self.clock.monotonic(), self._closed()
            if reason is not None:
                self.failed(ClosedError(reason))
            else:
                if self.stalled(now) is not None:
                    # Nobody was answered meanwhile: whoever gave up did not stay silent.
                    self.close_eyes()
                self.open_eyes(now)
                self._listen()
            await asyncio.sleep(min(LONGEST_PERIOD, self.cadence.period))

    def take(self, svc: str, payload: bytes) -> Invalid | None:
        """Take in what was posted for a service: nothing, or what a message on a bus would say.

        Raises:
            KeyError: No such service beats this way.

        Returns:
            None for a beat, else why it was none.
        """
        slot = self._by_name[svc]
        now = self.clock.monotonic()
        if not payload.strip():
            slot.note(now)
            return None
        return slot.hear(payload, now, self.clock.wall())

    def knows(self, svc: str) -> bool:
        """Return whether `svc` beats this way."""
        return svc in self._by_name

    def _listen(self) -> None:
        if self.up:
            for slot in self.slots.values():
                if slot.since is None:
                    slot.listen(self.clock.monotonic())
