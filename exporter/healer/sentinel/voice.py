"""What the sentinel says by itself, put together: to people while the pipeline is silent, to a switch while it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healer.notify.channels import channels
from healer.sentinel.courier import Courier
from healer.sentinel.deadman import Switch
from healer.sentinel.outcry import Outcry
from healer.truth.model import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from healer.runtime.clock import Clock
    from healer.sentinel.claims import Claims
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.metrics import Counts
    from healer.sentinel.settings import Settings
    from healer.sentinel.watchdog import Watchdog


class Voice:
    """The couriers, who decides what they bring, and the switch.

    Attributes:
        couriers: One for each way to people.
        switch: The dead man's switch, or None without one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        delivery: Delivery,
        claims: Claims,
        watchdog: Watchdog,
        clock: Clock,
        counts: Counts,
    ) -> None:
        people = settings.people
        self.couriers = [Courier(channel, clock, counts.notification) for channel in channels(people)]
        for courier in self.couriers:
            counts.channel(courier.name)
        self._outcry = Outcry(
            self.couriers,
            claims,
            watchdog,
            clock,
            name=lambda: delivery.truth.monitor.name if delivery.truth else Monitor().name,
            repeat=settings.repeat,
            rate_limit=people.rate_limit,
            runbook=settings.runbook,
        )
        self.switch = (
            Switch(
                settings.switch,
                settings.switch_interval,
                watchdog,
                clock,
                counts.ping,
                body=settings.switch_body,
            )
            if settings.switch
            else None
        )

    def tasks(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what has to run, by name."""
        tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            f"courier {courier.name}": courier.run for courier in self.couriers
        }
        if self.couriers:
            tasks["outcry"] = self._outcry.run
        if self.switch:
            tasks["switch"] = self.switch.run
        return tasks
