"""What the sentinel's page says of its state: what it hears, whom it takes for missing, what it still owes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healer.sentinel.events import tenths
from healer.sentinel.watchdog import SELDOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from healer.runtime.clock import Clock
    from healer.sentinel.courier import Courier
    from healer.sentinel.deadman import Switch
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.watchdog import Watchdog

MOST_NAMES = 20


class Page:
    """The rows of the table on the landing page."""

    def __init__(
        self,
        delivery: Delivery,
        watchdog: Watchdog,
        clock: Clock,
        couriers: Sequence[Courier],
        switch: Switch | None,
    ) -> None:
        self._delivery = delivery
        self._watchdog = watchdog
        self._clock = clock
        self._couriers = couriers
        self._switch = switch

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield what is the case now: a word for what, and how it stands."""
        yield "Pipeline", self._pipeline()
        if self._watchdog.seldom():
            yield "Advice", SELDOM
        yield "Events", self._delivery.waiting_for() or "published to Redis as they come"
        ledger = self._delivery.ledger
        records = ledger.records.items() if ledger else ()
        missing = [field for field, record in records if record.out]
        owed = [field for field, record in records if record.owed is not None]
        yield "Missing", _names(missing)
        yield "Recoveries held back for want of proof", _names(owed)
        if self._couriers:
            waiting = ", ".join(f"{courier.name} {courier.pending}" for courier in self._couriers)
            yield "Own messages that have not arrived", waiting
        yield "Dead man's switch outside", self._dead_man()

    def _pipeline(self) -> str:
        late, limit = f"{tenths(self._watchdog.late()):g} s", f"{self._watchdog.timeout:g} s"
        if self._watchdog.silent():
            return f"silent for {late}, of {limit} allowed: Prometheus or Alertmanager is out"
        if self._watchdog.alive_since() is None:
            return f"no Watchdog yet, since {late}; {limit} are allowed"
        return f"the last Watchdog came {late} ago; {limit} are allowed"

    def _dead_man(self) -> str:
        if self._switch is None:
            return "none"
        if not self._switch.succeeded:
            return "has not answered yet"
        return f"answered {tenths(self._clock.wall() - self._switch.succeeded):g} s ago"


def _names(fields: Iterable[str]) -> str:
    names = sorted(field.partition(":")[2] for field in fields)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more if names else "none"
