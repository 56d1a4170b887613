"""The document in Redis: reading it, noticing that it changed, writing it."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

import redis.asyncio
import structlog
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from healer.runtime.place import primary
from healer.runtime.redact import safe_url
from healer.runtime.replies import strange, understood
from healer.truth.buses import EXPECTED_URL, url_fault
from healer.truth.problems import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

DEFAULT_URL = "redis://system-redis:6379"
DEFAULT_KEY = "truth:doc"
TIMEOUT = 5.0
POLL_INTERVAL = 5.0
LONGEST_PAUSE = 15.0


class StoreError(Exception):
    """The document could not be read or written; the text says why and what to do, without secrets."""


class Location(NamedTuple):
    """Where in Redis a document is; shown without the password.

    Attributes:
        url: A Redis URL; it may hold a password.
        key: The key of a plain string.
    """

    url: str
    key: str

    def __repr__(self) -> str:
        return f"{safe_url(self.url)} {self.key}"


def location(env: Mapping[str, str]) -> Location:
    """Return where the document is read from: TRUTH_REDIS_URL, else REDIS_URL, and TRUTH_REDIS_KEY.

    Raises:
        StoreError: The URL could never connect.
    """
    name = next((name for name in ("TRUTH_REDIS_URL", "REDIS_URL") if env.get(name)), None)
    url = env[name] if name else DEFAULT_URL
    fault = url_fault(url)
    if fault is not None:
        raise StoreError(f"env {name}: found {shown(url)}, expected {EXPECTED_URL}. {fault}")
    return Location(url, env.get("TRUTH_REDIS_KEY") or DEFAULT_KEY)


class Store:
    """A document's place, asked over one connection for as long as that answers.

    Each connection of redis-py is a cycle of references, and keeps what it read last until Python looks for such cycles:
    one for each look at a large document would hold megabytes of them.
    """

    def __init__(self, place: Location, *, timeout: float = TIMEOUT) -> None:
        """Prepare to ask.

        Args:
            place: Where the document is.
            timeout: Seconds for connecting and reading together.
        """
        self._place = place
        self._timeout = timeout
        self._client: redis.asyncio.Redis | None = None
        self._at = ""

    async def fetch(self) -> bytes:
        """Return the document, byte for byte.

        Raises:
            StoreError: Redis does not answer, refuses, or has no document there.
        """
        url, key = self._place
        try:
            with _told(self._place, self._timeout):
                async with asyncio.timeout(self._timeout):
                    client = await self._reach()
                    return _present(await client.get(key), url, key)
        except StoreError as error:
            await self.aclose()
            # Whoever has not said where the truth is may not know that it can be said.
            advice = " Set TRUTH_REDIS_URL if the truth is elsewhere." if url == DEFAULT_URL else ""
            raise StoreError(f"{error}{advice}") from None

    async def aclose(self) -> None:
        """Let the connection go; the next look makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _reach(self) -> redis.asyncio.Redis:
        at = await primary(*self._place)
        if self._client is None or at != self._at:
            await self.aclose()
            self._client, self._at = _client(at, self._timeout), at
        return self._client


async def fetch(url: str, key: str) -> bytes:
    """Return the document at a place that is asked once; raises as `Store.fetch`."""
    async with aclosing(Store(Location(url, key))) as store:
        return await store.fetch()


async def replace(url: str, key: str, raw: bytes) -> bytes | None:
    """Write the document in one step if it differs; return what was there before, None for nothing.

    Raises:
        StoreError: Redis does not answer, refuses, or holds something there that is no string.
    """
    with _told(Location(url, key), TIMEOUT):
        async with asyncio.timeout(TIMEOUT), _client(await primary(url, key), TIMEOUT) as client:
            before = cast("bytes | None", await client.get(key))
            if before != raw:
                await client.set(key, raw)
            return before


async def watch(
    url: str,
    key: str,
    on_change: Callable[[bytes], Awaitable[None]],
    *,
    known: bytes | None = None,
    interval: float = POLL_INTERVAL,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Call `on_change` with the document now and whenever it changed, until cancelled.

    Args:
        url: Of the Redis server.
        key: Where the document is.
        on_change: Takes the document; what it raises ends the watch.
        known: The document that the caller has already; it is not reported again.
        interval: Seconds between two looks.
        sleep: Waits that many seconds.
    """
    place = Location(url, key)
    async with aclosing(Store(place)) as store:

        async def look() -> None:
            nonlocal known
            raw = await store.fetch()
            if raw != known:
                known = raw
                await on_change(raw)

        await keep_looking(look, place, interval=interval, sleep=sleep)


async def keep_looking(
    look: Callable[[], Awaitable[None]],
    place: Location,
    *,
    interval: float = POLL_INTERVAL,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Call `look` every so often, until cancelled.

    While the document cannot be read, the pauses between two tries grow to `LONGEST_PAUSE` with jitter, and
    the log says it once for each reason.

    Args:
        look: Reads the document; `StoreError` says that it could not be read, anything else ends the watch.
        place: Where it looks.
        interval: Seconds between two looks.
        sleep: Waits that many seconds.
    """
    log = structlog.get_logger(component="truth")
    failures, reason = 0, ""
    while True:
        try:
            await look()
        except StoreError as error:
            if str(error) != reason:
                reason = str(error)
                log.warning("truth cannot be read, trying on", reason=reason)
            failures += 1
            pause = min(LONGEST_PAUSE, interval * 2.0 ** min(failures - 1, 10))
            await sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter is no secret
            continue
        if failures:
            log.info("truth can be read again", store=safe_url(place.url), key=place.key, failures=failures)
            failures, reason = 0, ""
        await sleep(interval)


def _present(raw: object, url: str, key: str) -> bytes:
    if raw is None:
        raise StoreError(f"truth not found: no key {key} on {safe_url(url)}. Run `healer truth seed FILE`.")
    if type(raw) is not bytes:
        raise strange(raw)
    return raw


def _client(url: str, timeout: float) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=False,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # Once, for a kept connection that the server has closed since: that is no outage.
        retry=Retry(NoBackoff(), 1),
    )


@contextmanager
def _told(place: Location, timeout: float) -> Iterator[None]:
    """Say what goes wrong within in terms of the place."""
    key, where = place.key, safe_url(place.url)
    try:
        with understood():
            yield
    except exceptions.AuthenticationError:
        raise StoreError(f"{where} refuses the login. Check user and password in its URL.") from None
    except exceptions.NoPermissionError:
        raise StoreError(f"{where} does not permit GET or SET of {key}. Check the user's ACL.") from None
    except (TimeoutError, exceptions.TimeoutError):
        raise StoreError(
            f"{where} does not answer within {timeout:g} s. Is it running, and reachable?"
        ) from None
    except (exceptions.ConnectionError, OSError) as error:
        raise StoreError(f"{where} cannot be reached ({_why(error)}). Is it running?") from None
    except exceptions.ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            raise StoreError(f"{where}: {key} is no string. Delete it, or set TRUTH_REDIS_KEY.") from None
        raise StoreError(f"{where} answers with an error: {error}.") from None
    except exceptions.InvalidResponse:
        raise StoreError(f"{where} does not answer as Redis does. What listens there?") from None
    except exceptions.RedisError as error:
        raise StoreError(f"{where}: {type(error).__name__}.") from None


def _why(error: BaseException) -> str:
    """Return the operating system's word for it: redis-py wraps it in a sentence that names the host again."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno:
            # asyncio puts its own words for errno into strerror; a resolver's errno is no errno.
            return (os.strerror(inner.errno) if inner.errno > 0 else str(inner.strerror)).lower()
        inner = inner.__cause__ or inner.__context__
    return str(error)
