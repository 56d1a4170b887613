"""The states of a source that is no Redis server: whether it can notice beats, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from healer.beats.cadence import Cadence
from healer.beats.faults import Faults
from healer.runtime.log import Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.beats.board import Slot
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus

COMPLAINT_SECONDS = 60.0
"""What goes on being wrong is logged this often at most."""


class Watching:
    """What `healer.beats.source.Source` asks for, but for `assign` and `run`; the base of such sources."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self.bus = bus
        self._up = False
        self.reconnects = 0
        self.loopback: float | None = None
        self.active = clock.monotonic()
        self.faults = Faults()
        self.clock = clock
        self.slots: dict[str, Slot] = {}
        self.cadence = Cadence(1.0, 2.0)
        self.throttle = Throttle(clock, COMPLAINT_SECONDS)
        self.log = structlog.get_logger(component=bus.name)
        self._begun = False

    @property
    def up(self) -> bool:
        """Beats can be noticed, and that was proven lately; asked of the clock, as `BusListener.up` is."""
        return self._up and self.stalled(self.clock.monotonic()) is None

    def assign(self, slots: Mapping[str, Slot], cadence: Cadence) -> None:
        """Watch exactly `slots`, by channel."""
        self.slots, self.cadence = dict(slots), cadence

    def let_go(self) -> None:
        """Leave the slots to another source."""
        self.close_eyes()
        self.slots = {}

    def open_eyes(self, now: float) -> None:
        """Note that beats can be noticed, as was proven at `now` (monotonic)."""
        self.loopback = self.active = now
        if not self._up:
            self.reconnects += int(self._begun)
            self._begun = self._up = True
            self.log.info("watching", services=len(self.slots))

    def close_eyes(self) -> None:
        """Note that beats cannot be noticed, so that nothing is watched."""
        self._up = False
        for slot in self.slots.values():
            slot.since = None

    def failed(self, error: BaseException) -> None:
        """Count and log what keeps beats from being noticed, and watch nothing."""
        self.active = self.clock.monotonic()
        reason = self.faults.note(error)
        was_up = self._up
        self.close_eyes()
        if self.throttle.admit("failed") is not None or was_up:
            self.log.warning("cannot watch", reason=reason.value, error=str(error) or type(error).__name__)

    def stalled(self, now: float) -> float | None:
        """Return how long nothing was proven if that is too long, else None."""
        silence = 0.0 if self.loopback is None else now - self.loopback
        return silence if self._up and silence > self.cadence.deaf_after else None
