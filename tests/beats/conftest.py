"""A listener on a real redis-server, with a rhythm fast enough for tests."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from healer.beats.board import Slot
from healer.beats.bus import BusListener
from healer.beats.cadence import cadence
from healer.beats.pulse import Identity
from healer.beats.sharded import ShardedListener
from healer.runtime.clock import SystemClock
from healer.runtime.place import place_of
from healer.truth.model import Bus, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


def service(name: str, channel: str | None = None) -> Service:
    return Service(name=name, bus="test", channel=channel or f"{name}:heartbeat", interval=0.2, timeout=1.0)


@dataclass
class Listening:
    """A running listener and the slots it fills."""

    listener: BusListener | ShardedListener
    slots: dict[str, Slot] = field(default_factory=dict)

    def assign(self, *services: Service) -> None:
        old = {slot.service: slot for slot in self.slots.values()}
        self.slots = {s.channel: old.get(s) or Slot(s) for s in services}
        self.listener.assign(self.slots, cadence(services, interval=0.2))

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots.values() if slot.service.name == name)


@pytest.fixture
async def listening() -> AsyncIterator[Callable[..., Awaitable[Listening]]]:
    """Return a factory: `await listening(url, service(...), ...)` starts a listener there."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(url: str, *services: Service) -> Listening:
            identity = Identity("healer", "healer:heartbeat", "test-replica")
            kind = ShardedListener if place_of(url).sharded else BusListener
            listening = Listening(kind(Bus("test", url), identity, SystemClock()))
            listening.assign(*services)
            task = asyncio.create_task(listening.listener.run())

            async def end() -> None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            stack.push_async_callback(end)
            return listening

        yield start
