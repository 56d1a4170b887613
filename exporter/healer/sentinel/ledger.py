"""Keeps the records in Redis and publishes: one script compares, stores and publishes in a single step.

A change is worked out here from the record as last seen, and carried out there only if that is still what Redis
holds; else it is worked out anew. So two sentinels, a retry and a lost answer all come to one event. Redis may
also come back empty: then the records as last seen are put back before anything else happens.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from healer.runtime.place import client
from healer.runtime.redact import safe_url
from healer.sentinel.events import encode
from healer.sentinel.incidents import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from healer.sentinel.events import Event

TIMEOUT_SECONDS = 2.0
"""How long one change may take, connecting and trying again included."""

ATTEMPTS = 20
"""How often a change is worked out anew before the ledger gives up on it."""

REVISION = b"@"
"""The field that counts the changes. Absent, or below what was seen: Redis lost records."""

LOST, STALE, DONE = -1, 0, 1

# What a user may not do fails before the record says that it is done: scripts do not roll back.
APPLY = """
local revision = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '') or -1
if revision < tonumber(ARGV[2]) then return {-1, '', revision} end
local current = redis.call('HGET', KEYS[1], ARGV[3]) or ''
if current ~= ARGV[4] then return {0, current, revision} end
if ARGV[5] == ARGV[4] then return {1, current, revision} end
redis.call('HSET', KEYS[1], ARGV[1], revision + 1)
if ARGV[6] ~= '' then
  redis.call('SET', KEYS[2], ARGV[6])
  redis.call('PUBLISH', ARGV[7], ARGV[6])
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[5])
return {1, ARGV[5], revision + 1}
"""

READ = """
local revision = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '') or -1
if revision < tonumber(ARGV[2]) or revision == tonumber(ARGV[3]) then return {revision, {}} end
return {revision, redis.call('HGETALL', KEYS[1])}
"""

RESTORE = """
local revision = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '') or -1
if revision < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] + 1)
  for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
"""


class LedgerDownError(Exception):
    """Redis is out of reach or refuses; nothing is known to have changed. The text holds no secret."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the ledger is.

    Attributes:
        url: The alerts bus; may hold a password.
        channel: Where events are published.
        key: The hash that holds the records.
    """

    url: str
    channel: str
    key: str


class Ledger:
    """The records of one place.

    Attributes:
        place: Where it is.
        up: Whether Redis answered last time; None before the first.
        records: What Redis held when last seen, by field: `svc:<name>`, `monitor:<name>`.
    """

    def __init__(self, place: Place, before: Ledger | None = None) -> None:
        """Make the ledger of `place`; a place without records gets those of the ledger `before` it."""
        self.place = place
        self.up: bool | None = None
        self.records: dict[str, Record] = dict(before.records) if before else {}
        self._raw: dict[bytes, bytes] = dict(before._raw) if before else {}
        self._revision = 0  # the highest seen
        self._whole = 0  # the one up to which all records are known
        self._redis = client(
            place.url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._log = structlog.get_logger(component="sentinel", redis=safe_url(place.url))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def refresh(self) -> None:
        """Read all records anew; put them back if Redis lost them.

        Raises:
            LedgerDownError: Redis is out of reach.
        """
        async with self._answering():
            await self._read()

    def record(self, field: str) -> Record:
        """Return the record of `field` as last seen."""
        return self.records.get(field, Record())

    async def apply(
        self,
        field: str,
        change: Callable[[Record], Record],
        event: Callable[[Record], Event | None],
    ) -> Event | None:
        """Change a record, and publish an event if the change makes or ends an outage.

        Args:
            field: `svc:<name>` or `monitor:<name>`; the name is that of the key `health:<name>`.
            change: Returns the new record; may be called several times, with what Redis holds by then.
            event: Returns what to publish for the new record, or None for a change that is nobody's business.

        Returns:
            The event, if this call published one.

        Raises:
            LedgerDownError: Redis is out of reach; the change may be tried again.
        """
        async with self._answering():
            if not self._revision:
                await self._read()
            return await self._apply(field, change, event)

    async def _apply(
        self, field: str, change: Callable[[Record], Record], event: Callable[[Record], Event | None]
    ) -> Event | None:
        name, unanswered = field.encode(), None
        for _ in range(ATTEMPTS):
            expected = self._raw.get(name, b"")
            before = _decode(expected)
            after = change(before)
            message = event(after) if after.out != before.out else None
            new = expected if after == before else msgspec.json.encode(after)
            try:
                verdict, current, revision = await self._compare(name, expected, new, message)
            except RedisConnectionError:
                # Whether the script ran is unknown. Asking again tells: a record that is `new` by then is our work.
                if unanswered is not None:
                    raise
                unanswered = (new, message)
                continue
            if verdict == LOST:
                await self._read()
                continue
            self._see(name, current)
            self._revision = max(self._revision, revision)
            if (
                verdict == DONE and revision == self._whole + 1
            ):  # a wider gap is what others changed meanwhile
                self._whole = revision
            if verdict == DONE:
                return message
            if unanswered is not None and current == unanswered[0]:
                return unanswered[1]
        raise RedisError(f"{field} changed {ATTEMPTS} times under our hands")

    async def _compare(
        self, name: bytes, expected: bytes, new: bytes, message: Event | None
    ) -> tuple[int, bytes, int]:
        health = b"health:" + name.partition(b":")[2]
        payload = b"" if message is None else encode(message)
        asked = (REVISION, self._revision, name, expected, new, payload, self.place.channel)
        answer = self._redis.eval(APPLY, 2, self.place.key, health, *asked)
        return await cast("Awaitable[tuple[int, bytes, int]]", answer)

    async def _read(self) -> None:
        for _ in range(ATTEMPTS):
            seen = self._revision  # grows while the answer is awaited
            answer = self._redis.eval(READ, 1, self.place.key, REVISION, seen, self._whole)
            revision, found = await cast("Awaitable[tuple[int, list[bytes]]]", answer)
            if revision >= max(seen, 1):
                break
            await self._restore()
        else:
            raise RedisError(f"{self.place.key} was lost {ATTEMPTS} times under our hands")
        if not self._whole:  # this place has records of its own: those of the one before it are none
            self._raw.clear()
            self.records.clear()
        self._revision = max(self._revision, revision)
        self._whole = revision
        for name, raw in zip(found[::2], found[1::2], strict=True):
            self._see(name, raw)

    async def _restore(self) -> None:
        if self._raw:
            self._log.warning("redis lost records, they are put back", records=len(self._raw))
        pairs = [item for pair in self._raw.items() for item in pair]
        await cast(
            "Awaitable[None]",
            self._redis.eval(RESTORE, 1, self.place.key, REVISION, self._revision, *pairs),
        )

    def _see(self, name: bytes, raw: bytes) -> None:
        if name != REVISION and self._raw.get(name, b"") != raw:
            self._raw[name] = raw
            self.records[name.decode(errors="replace")] = _decode(raw)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Bound the time of a conversation, and note how it ended: once for each outage."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {TIMEOUT_SECONDS:g} s"
            if self.up is not False:
                self._log.error("redis lost, events wait", reason=reason)
            self.up = False
            raise LedgerDownError(f"Redis at {safe_url(self.place.url)}: {reason}") from None
        if self.up is False:
            self._log.info("redis back")
        self.up = True


def _decode(raw: bytes) -> Record:
    if not raw:
        return Record()
    try:
        return msgspec.json.decode(raw, type=Record)
    except msgspec.DecodeError:
        return Record()  # written by nobody we know; the next change replaces it
