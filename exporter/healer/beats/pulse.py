"""The exporter's own heartbeat on one bus: published over a connection of its own, to be heard back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from healer.beats.decode import Beat, decode
from healer.runtime.replies import understood

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

    def through(self, number: int) -> Identity:
        """Return who beats through another server of the bus: beats by different ways are told apart."""
        return self if number == 0 else replace(self, replica=f"{self.replica}/{number}")


class Pulse:
    """Publishes the own beat on a bus; keeps why the last attempt failed.

    Attributes:
        error: What the newest publication failed of, or None if it did not.
    """

    def __init__(self, url: str, identity: Identity, clock: Clock, command: str = "PUBLISH") -> None:
        """Prepare the beats.

        Args:
            url: Of the server to publish on.
            identity: Who beats, and where.
            clock: For the stamps.
            command: PUBLISH, or SPUBLISH for sharded messages.
        """
        self.error: Exception | None = None
        self._command = command
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
            with understood():
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._redis.execute_command(  # type: ignore[no-untyped-call] # redis-py's gap
                        self._command, self._identity.channel, msgspec.json.encode(beat)
                    )
        except (RedisError, OSError) as error:
            self.error = error
        else:
            self.error = None


class Loopback:
    """Where messages on the own channel go: proof of hearing, and a service's slot if one beats there too."""

    def __init__(self, prove: Callable[[str, float], None], slot: Slot | None) -> None:
        """Make the sink.

        Args:
            prove: Told the `id` of each beat on the channel and when it was received (monotonic).
            slot: Of the service that beats there.
        """
        self._prove = prove
        self._slot = slot

    def listen(self, now: float) -> None:
        """Note the start of the subscription as `Slot.listen` does."""
        if self._slot is not None:
            self._slot.listen(now)

    def hear(self, payload: bytes, now: float, wall: float) -> Invalid | None:
        """Take in a message as `Slot.hear` does."""
        beat = decode(payload)
        if isinstance(beat, Beat) and beat.id is not None:
            self._prove(beat.id, now)
        return None if self._slot is None else self._slot.hear(payload, now, wall)
