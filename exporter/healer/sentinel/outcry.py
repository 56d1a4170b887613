"""Tells people directly while the pipeline is silent, because Alertmanager cannot: seldom, and when it is over.

Several sentinels on one Redis agree there on who speaks, and that it was said outlives each of them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from healer.notify.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from healer.runtime.clock import Clock
    from healer.sentinel.claims import Claims
    from healer.sentinel.courier import Courier
    from healer.sentinel.watchdog import Watchdog

STEP_SECONDS = 0.5

CLAIM_SECONDS = 30.0
"""How long a sentinel that took the lock and died keeps others from speaking."""

RENEW_SECONDS = 10.0
"""How often the lock is kept while no way has taken the message yet."""


class Outcry:
    """Decides when to speak."""

    def __init__(
        self,
        couriers: Sequence[Courier],
        claims: Claims,
        watchdog: Watchdog,
        clock: Clock,
        *,
        name: Callable[[], str],
        repeat: float,
        rate_limit: float,
        runbook: str,
    ) -> None:
        """Make one that has said nothing yet.

        Args:
            couriers: The ways to people.
            claims: What the sentinels agree on.
            watchdog: Knows whether the pipeline is silent.
            clock: Its time.
            name: Returns the monitor's name.
            repeat: Seconds after which a silence that lasts is told of again.
            rate_limit: Seconds between any two messages.
            runbook: The URL of what to do.
        """
        self._couriers = couriers
        self._claims = claims
        self._watchdog = watchdog
        self._clock = clock
        self._name = name
        self._repeat = max(repeat, rate_limit)
        self._rate_limit = rate_limit
        self._runbook = runbook
        self._host = socket.gethostname()
        self._next = self._renew = 0.0  # monotonic
        self._told: float | None = None  # since when it was silent, once this process said so
        self._marked = self._arrived = self._settled = False

    async def run(self) -> None:
        """Speak when it is due, until cancelled."""
        while self._couriers:
            await self.step()
            await asyncio.sleep(STEP_SECONDS)

    async def step(self) -> None:
        """Do what is due."""
        if self._watchdog.silent():
            self._settled = False
            await self._cry()
        elif self._watchdog.alive_since() is not None and not self._settled:
            self._settled = await self._calm()

    async def _cry(self) -> None:
        now = self._clock.monotonic()
        if self._told is not None:
            await self._keep(self._told, now)
        if now < self._next or not await self._claims.lock(CLAIM_SECONDS):
            return
        late = self._watchdog.late()
        if self._told is None:
            self._told = self._clock.wall() - late
        self._marked = await self._claims.mark(self._told)
        self._say(over=False, since=self._told, late=late)
        self._next, self._renew = now + self._repeat, now + RENEW_SECONDS
        self._arrived = False

    async def _keep(self, told: float, now: float) -> None:
        """Keep what the sentinels agree on: Redis may have lost it.

        Until somebody was told the lock is short, so that it does not outlive a sentinel that told nobody.
        """
        arrived = any(not courier.pending for courier in self._couriers)
        if now < self._renew and self._arrived == arrived:
            return
        await self._claims.hold(max(self._next - now, STEP_SECONDS) if arrived else CLAIM_SECONDS)
        self._marked = await self._claims.mark(told)
        self._arrived, self._renew = arrived, now + RENEW_SECONDS

    async def _calm(self) -> bool:
        """Say that it is over, if it is this sentinel's to say; return whether that is settled."""
        taken = await self._claims.unmark()
        told, self._told = self._told, None
        if isinstance(taken, bool):
            if told is None:
                return (
                    not taken
                )  # nothing was said, or somebody else said it; ask again where nobody could tell
            if self._marked and not taken:
                return True  # another one took the mark, and says so
            since = told
        else:
            since = taken
        self._say(over=True, since=since, late=self._clock.wall() - since)
        self._next = self._clock.monotonic() + self._rate_limit
        await self._claims.hold(self._rate_limit)
        return True

    def _say(self, *, over: bool, since: float, late: float) -> None:
        message = Message(
            over=over,
            name=self._name(),
            since=since,
            late=late,
            timeout=self._watchdog.timeout,
            at=self._clock.wall(),
            host=self._host,
            runbook=self._runbook,
        )
        for courier in self._couriers:
            courier.take(message)
