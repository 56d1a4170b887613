"""Keeps the sentinel going between webhooks: does what is due every second, and at once when woken."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from healer.sentinel.ledger import LedgerDownError

if TYPE_CHECKING:
    from healer.runtime.clock import Clock
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.watchdog import Watchdog

TICK_SECONDS = 1.0
CHECK_SECONDS = 0.2
"""How often the timer is looked at; well below `watchdog.STALL_SECONDS`."""

ALIVE_SECONDS = 15.0
"""No tick ended for so long: the sentinel hangs. A tick against a dead Redis takes two seconds."""


class Pump:
    """Calls `Delivery.tick`."""

    def __init__(self, delivery: Delivery, watchdog: Watchdog, clock: Clock) -> None:
        self._delivery = delivery
        self._watchdog = watchdog
        self._clock = clock
        self._due = asyncio.Event()
        self._ticked = clock.monotonic()

    def wake(self) -> None:
        """Have the next tick come at once."""
        self._due.set()

    def alive(self) -> bool:
        """Return whether ticks still end."""
        return self._clock.monotonic() - self._ticked < ALIVE_SECONDS

    async def run(self) -> None:
        """Tick until cancelled; what Redis does not take now stays due."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._delivery.tick()
            except LedgerDownError:
                await asyncio.sleep(TICK_SECONDS)  # the ledger has logged it; being woken must not hammer it
            self._ticked = self._clock.monotonic()

    async def check(self) -> None:
        """Look at the timer until cancelled; wake the pump when silence begins or ends."""
        silent = False
        while True:
            self._watchdog.check()
            if self._watchdog.silent() != silent:
                silent = not silent
                self.wake()
            await asyncio.sleep(CHECK_SECONDS)
