"""Which truth runs: keeps the board and the sources in step with it.

Only the difference to the last one is carried out: services and buses that stay keep what was heard and their
connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from healer.beats.board import Board
from healer.beats.bus import BusListener
from healer.beats.cadence import cadence
from healer.beats.files import FileWatch
from healer.beats.pulse import Identity
from healer.beats.push import PushWatch
from healer.beats.sharded import ShardedListener
from healer.runtime.place import place_of
from healer.runtime.tasks import end
from healer.truth.model import Source as Kind
from healer.truth.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.beats.board import Slot
    from healer.beats.source import Source
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus, Truth

ALIVE_SECONDS = 30.0
"""A bus listener that has done nothing for so long hangs."""


class Wiring:
    """The running exporter's truth, board and sources.

    Attributes:
        truth: The truth in force, or None before the first.
        successful: The newest document seen is the truth in force.
        adopted_at: When a truth was last adopted (monotonic), or None.
        board: What was heard of its services, of those in the shard.
        shard: Which part of the services that is.
        listeners: The source of each of its buses, by name.
    """

    def __init__(
        self,
        replica: str,
        clock: Clock,
        closed: Callable[[], str | None] = lambda: None,
        shard: Shard | None = None,
    ) -> None:
        """Make a wiring without a truth.

        Args:
            replica: What tells this exporter's own beats from others'.
            clock: Gives the instants of everything.
            closed: Returns why nobody can post beats, or None.
            shard: Which part of the services is watched here; None: all.
        """
        self.truth: Truth | None = None
        self.successful = False
        self.adopted_at: float | None = None
        self.board = Board()
        self.listeners: dict[str, Source] = {}
        self.shard = shard or Shard()
        self._closed = closed
        self._identities: dict[str, Identity] = {}
        self._replica = replica
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def adopt(self, truth: Truth) -> None:
        """Put `truth` in force: carry out how it differs from the last one."""
        self.truth = truth
        self.board.adopt(self.shard.of(truth.services))
        identity = Identity(truth.monitor.name, truth.monitor.heartbeat_channel, self._replica)
        wanted = {bus.name: bus for bus in truth.buses}
        for name, listener in list(self.listeners.items()):
            bus = wanted.get(name)
            if (
                bus is None
                or (listener.bus.url, listener.bus.source) != (bus.url, bus.source)
                or self._identities[name] != identity
            ):
                self._drop(name)
        slots: dict[str, dict[str, Slot]] = {name: {} for name in wanted}
        for slot in self.board:
            slots[slot.service.bus][slot.service.channel] = slot
        for name, bus in wanted.items():
            listener = self.listeners.get(name) or self._listen(bus, identity)
            services = (slot.service for slot in slots[name].values())
            listener.assign(slots[name], cadence(services, truth.monitor.interval))

    def judged(self, newest: bool) -> None:
        """Note whether the newest document seen is in force."""
        self.successful = newest
        if newest:
            self.adopted_at = self._clock.monotonic()

    def waiting_for(self) -> str | None:
        """Return what the exporter still waits for before it hears everything, or None."""
        if self.truth is None:
            return "no truth yet"
        silent = sorted(name for name, listener in self.listeners.items() if not listener.up)
        return f"not hearing bus {', '.join(silent)}" if silent else None

    def alive(self) -> bool:
        """Return whether every listener has done something lately, if only fail to connect."""
        oldest = self._clock.monotonic() - ALIVE_SECONDS
        return all(listener.active > oldest for listener in self.listeners.values())

    async def run(self) -> None:
        """Hold the listeners until cancelled; raise what a listener raised that should not have."""
        try:
            await self._crashed
        finally:
            await end([*self._tasks.values(), *self._ending])

    def posts(self) -> PushWatch | None:
        """Return what takes posted beats, if any service beats so."""
        source = self.listeners.get(Kind.PUSH.value)
        return source if isinstance(source, PushWatch) else None

    def _listen(self, bus: Bus, identity: Identity) -> Source:
        listener = self._source(bus, identity)
        self.listeners[bus.name] = listener
        self._identities[bus.name] = identity
        task = asyncio.create_task(listener.run(), name=f"bus {bus.name}")
        task.add_done_callback(self._ended)
        self._tasks[bus.name] = task
        return listener

    def _source(self, bus: Bus, identity: Identity) -> Source:
        if bus.source is Kind.FILE:
            return FileWatch(bus, self._clock)
        if bus.source is Kind.PUSH:
            return PushWatch(bus, self._clock, self._closed)
        if place_of(bus.url).sharded:
            return ShardedListener(bus, identity, self._clock)
        return BusListener(bus, identity, self._clock)

    def _drop(self, name: str) -> None:
        self.listeners.pop(name).let_go()
        ending = asyncio.create_task(end([self._tasks.pop(name)]))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._crashed.done():
            self._crashed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} ended"))
