"""Agrees with other sentinels on one Redis who speaks: a lock that ends by itself, and a mark of what was said.

Without Redis each sentinel speaks for itself: said twice is better than not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from healer.runtime.place import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from healer.sentinel.ledger import Ledger

TIMEOUT_SECONDS = 2.0

DOWN = object()
"""Redis' answer when it gives none."""


class Claims:
    """The lock and the mark, beside the ledger."""

    def __init__(self, ledger: Callable[[], Ledger | None]) -> None:
        """Make them.

        Args:
            ledger: Returns the ledger in force, or None before the first truth.
        """
        self._ledger = ledger
        self._redis: Redis | None = None
        self._url = ""

    async def close(self) -> None:
        """Close the connection."""
        if self._redis is not None:
            await self._redis.aclose()

    async def lock(self, seconds: float) -> bool:
        """Take the lock for `seconds`; return whether it was free, or nobody can tell."""
        return await self._ask("SET", "lock", 1, "NX", "PX", round(seconds * 1000)) is not None

    async def hold(self, seconds: float) -> None:
        """Keep the lock, whoever has it, for `seconds` from now."""
        await self._ask("SET", "lock", 1, "PX", round(seconds * 1000))

    async def mark(self, since: float) -> bool:
        """Note that people were told of a silence that began at `since` (epoch seconds); return whether it is noted."""
        return await self._ask("SET", "told", repr(since)) is not DOWN

    async def unmark(self) -> float | bool:
        """Take the mark away; return since when it was silent, or whether nobody can tell who takes it."""
        value = await self._ask("GETDEL", "told")
        try:
            return float(value) if isinstance(value, bytes) else value is DOWN
        except ValueError:
            return False

    async def _ask(self, command: str, key: str, *arguments: str | int) -> object:
        ledger = self._ledger()
        if ledger is None:
            return DOWN
        if self._redis is None or self._url != ledger.place.url:
            await self.close()
            self._url = ledger.place.url
            self._redis = client(
                self._url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        try:
            answer: object = await self._redis.execute_command(  # type: ignore[no-untyped-call]
                command, f"{ledger.place.key}:{key}", *arguments
            )
        except (RedisError, OSError):
            return DOWN
        return answer
