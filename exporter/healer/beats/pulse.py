"""The exporter's own heartbeat on one bus: published over a connection of its own, to be heard back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from healer.beats.decode import Beat, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.beats.board import Slot
    from healer.beats.decode import Invalid
    from healer.runtime.clock import Clock

TIMEOUT_SECONDS = 2.0
"""How long one publication may take, connecting included."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who beats, and where.

    Attributes:
        name: The `svc` of the beat.
        channel: Where it is published, on every bus.
        replica: The `id` that tells this replica's beats from another's.
    """

    name: str
    channel: str
    replica: str


class Pulse:
    """Publishes the own beat on a bus; keeps why the last attempt failed.

    Attributes:
        error: Why the newest publication failed, or None if it did not.
    """

    def __init__(self, url: str, identity: Identity, clock: Clock) -> None:
        self.error: str | None = None
        self._identity = identity
        self._clock = clock
        self._count = 0
        self._redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def run(self, period: Callable[[], float], hurry: asyncio.Event) -> None:
        """Publish now, every `period()` seconds and whenever `hurry` is set, until cancelled."""
        try:
            while True:
                hurry.clear()
                await self._publish()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(period()):
                        await hurry.wait()
        finally:
            await self._redis.aclose()

    async def _publish(self) -> None:
        self._count += 1
        beat = {
            "svc": self._identity.name,
            "i": self._count,
            "ts": int(self._clock.wall()),
            "id": self._identity.replica,
        }
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._redis.publish(self._identity.channel, msgspec.json.encode(beat))
        except (RedisError, OSError) as error:
            self.error = f"{type(error).__name__}: {error}"
        else:
            self.error = None


class Loopback:
    """Where messages on the own channel go: proof of hearing, and a service's slot if one beats there too."""

    def __init__(self, replica: str, prove: Callable[[float], None], slot: Slot | None) -> None:
        self._replica = replica
        self._prove = prove
        self._slot = slot

    def listen(self, now: float) -> None:
        """Note the start of the subscription as `Slot.listen` does."""
        if self._slot is not None:
            self._slot.listen(now)

    def hear(self, payload: bytes, now: float, wall: float) -> Invalid | None:
        """Take in a message as `Slot.hear` does."""
        beat = decode(payload)
        if isinstance(beat, Beat) and beat.id == self._replica:
            self._prove(now)
        return None if self._slot is None else self._slot.hear(payload, now, wall)
