"""Which truth runs: keeps the board and the bus listeners in step with it.

Only the difference to the last one is carried out: services and buses that stay keep what was heard and their
connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from healer.beats.board import Board
from healer.beats.bus import BusListener
from healer.beats.cadence import cadence
from healer.beats.pulse import Identity
from healer.runtime.tasks import end

if TYPE_CHECKING:
    from healer.beats.board import Slot
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus, Truth

ALIVE_SECONDS = 30.0
"""A bus listener that has done nothing for so long hangs."""


class Wiring:
    """The running exporter's truth, board and listeners.

    Attributes:
        truth: The truth in force, or None before the first.
        successful: The newest document seen is the truth in force.
        adopted_at: When a truth was last adopted (monotonic), or None.
        board: What was heard of its services.
        listeners: The listener of each of its buses, by name.
    """

    def __init__(self, replica: str, clock: Clock) -> None:
        self.truth: Truth | None = None
        self.successful = False
        self.adopted_at: float | None = None
        self.board = Board()
        self.listeners: dict[str, BusListener] = {}
        self._replica = replica
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def adopt(self, truth: Truth) -> None:
        """Put `truth` in force: carry out how it differs from the last one."""
        self.truth = truth
        self.board.adopt(truth.services)
        identity = Identity(truth.monitor.name, truth.monitor.heartbeat_channel, self._replica)
        wanted = {bus.name: bus for bus in truth.buses}
        for name in list(self.listeners):
            listener = self.listeners[name]
            if listener.bus.url != getattr(wanted.get(name), "url", None) or listener.identity != identity:
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

    def _listen(self, bus: Bus, identity: Identity) -> BusListener:
        listener = BusListener(bus, identity, self._clock)
        self.listeners[bus.name] = listener
        task = asyncio.create_task(listener.run(), name=f"bus {bus.name}")
        task.add_done_callback(self._ended)
        self._tasks[bus.name] = task
        return listener

    def _drop(self, name: str) -> None:
        self.listeners.pop(name).let_go()
        ending = asyncio.create_task(end([self._tasks.pop(name)]))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._crashed.done():
            self._crashed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} ended"))
