"""Which truth runs: adopts documents, and keeps the board and the bus listeners in step with them.

A document that does not load changes nothing but `successful`; of one that does, only the difference is
carried out: services and buses that stay keep what was heard and their connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from healer.beats.board import Board
from healer.beats.bus import BusListener
from healer.beats.cadence import cadence
from healer.beats.pulse import Identity
from healer.runtime.tasks import end
from healer.truth.load import parse
from healer.truth.problems import TruthError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def __init__(self, env: Mapping[str, str], replica: str, clock: Clock) -> None:
        self.truth: Truth | None = None
        self.successful = False
        self.adopted_at: float | None = None
        self.board = Board()
        self.listeners: dict[str, BusListener] = {}
        self._env = env
        self._replica = replica
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log = structlog.get_logger(component="truth")

    def adopt(self, raw: bytes, source: str) -> str | None:
        """Put the document `raw` in force; return None, or why the old one stays.

        Args:
            raw: The document, as read.
            source: Where it was read, for messages.
        """
        try:
            loaded = parse(raw, env=self._env, source=source)
        except TruthError as error:
            for problem in error.problems:
                self._log.error("truth problem", problem=problem.render(source))
            self.refuse(f"{len(error.problems)} problems")
            return str(error)
        for warning in loaded.warnings:
            self._log.warning("truth problem", problem=warning.render(source))
        before = self.truth
        self.truth, self.successful, self.adopted_at = loaded.truth, True, self._clock.monotonic()
        if before is None or before != loaded.truth:
            self._rewire(loaded.truth)
            self._log.info(
                "truth adopted",
                services=len(loaded.truth.services),
                buses=len(loaded.truth.buses),
                sha256=loaded.truth.sha256[:12],
            )
        return None

    def refuse(self, reason: str) -> None:
        """Note that the newest document could not be had or did not load; the old truth stays."""
        self.successful = False
        self._log.error("truth refused, the last one stays", reason=reason)

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

    def _rewire(self, truth: Truth) -> None:
        self.board.adopt(truth.services)
        identity = Identity(truth.monitor.name, truth.monitor.heartbeat_channel, self._replica)
        wanted = {bus.name: bus for bus in truth.buses}
        for name in list(self.listeners):
            listener = self.listeners[name]
            if listener.bus.url != getattr(wanted.get(name), "url", None) or listener.identity != identity:
                self._drop(name)
        for name, bus in wanted.items():
            slots = self.board.on_bus(name)
            listener = self.listeners.get(name) or self._listen(bus, identity)
            listener.assign(slots, cadence((slot.service for slot in slots.values()), truth.monitor.interval))

    def _listen(self, bus: Bus, identity: Identity) -> BusListener:
        listener = BusListener(bus, identity, self._clock)
        self.listeners[bus.name] = listener
        task = asyncio.create_task(listener.run(), name=f"bus {bus.name}")
        task.add_done_callback(self._ended)
        self._tasks[bus.name] = task
        return listener

    def _drop(self, name: str) -> None:
        self.listeners.pop(name).close_eyes()
        ending = asyncio.create_task(end([self._tasks.pop(name)]))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._crashed.done():
            self._crashed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} ended"))
