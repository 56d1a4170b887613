"""What every source of beats has in common, so that the exporter can run any: `Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.beats.board import Slot
    from healer.beats.cadence import Cadence
    from healer.beats.faults import Faults
    from healer.truth.model import Bus


class Source(Protocol):
    """Fills the slots of one bus.

    What holds for each: a slot's `since` is set while its beats could be noticed, and only then; a beat is stamped
    with the time at which it was noticed here; after a break in the watching, what piled up in it is no beat.

    Attributes:
        bus: The bus, as the truth names it.
        active: When it last did something, if only fail (monotonic).
        faults: What ended or prevented the watching, counted by reason.
    """

    bus: Bus
    active: float
    faults: Faults

    @property
    def up(self) -> bool:
        """Beats can be noticed, and that was proven lately."""

    @property
    def reconnects(self) -> int:
        """Times that the watching began anew after the first."""

    @property
    def loopback(self) -> float | None:
        """When it was last proven that beats can be noticed (monotonic), or None."""

    def assign(self, slots: Mapping[str, Slot], cadence: Cadence) -> None:
        """Watch exactly `slots`, by channel; what stays is not interrupted."""

    async def run(self) -> None:
        """Watch until cancelled, whatever happens to the bus."""

    def let_go(self) -> None:
        """Leave the slots to another source: whatever this one still does touches them no more."""
