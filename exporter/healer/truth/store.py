"""The document in Redis: reading it, noticing that it changed, writing it."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

import redis.asyncio
import structlog
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from healer.runtime.place import primary
from healer.runtime.redact import safe_url
from healer.truth.buses import EXPECTED_URL, url_fault
from healer.truth.problems import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

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


async def fetch(url: str, key: str, *, timeout: float = TIMEOUT) -> bytes:  # noqa: ASYNC109  # also for redis-py's sockets
    """Return the document, byte for byte.

    Args:
        url: Of the Redis server.
        key: Where the document is.
        timeout: Seconds for connecting and reading together.

    Raises:
        StoreError: Redis does not answer, refuses, or has no document there.
    """
    try:
        async with _client(url, key, timeout) as client:
            return _present(cast("bytes | None", await client.get(key)), url, key)
    except StoreError as error:
        # Whoever has not said where the truth is may not know that it can be said.
        advice = " Set TRUTH_REDIS_URL if the truth is elsewhere." if url == DEFAULT_URL else ""
        raise StoreError(f"{error}{advice}") from None


async def replace(url: str, key: str, raw: bytes, *, timeout: float = TIMEOUT) -> bytes | None:  # noqa: ASYNC109  # as above
    """Write the document in one step if it differs; return what was there before, None for nothing.

    Raises:
        StoreError: Redis does not answer, refuses, or holds something there that is no string.
    """
    async with _client(url, key, timeout) as client:
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

    async def look() -> None:
        nonlocal known
        raw = await fetch(url, key)
        if raw != known:
            known = raw
            await on_change(raw)

    await keep_looking(look, Location(url, key), interval=interval, sleep=sleep)


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


def _present(raw: bytes | None, url: str, key: str) -> bytes:
    if raw is None:
        raise StoreError(f"truth not found: no key {key} on {safe_url(url)}. Run `healer truth seed FILE`.")
    return raw


@asynccontextmanager
async def _client(url: str, key: str, timeout: float) -> AsyncIterator[redis.asyncio.Redis]:  # noqa: ASYNC109  # see fetch
    """Lend a client for one short conversation; say what went wrong in terms of its place."""
    where = safe_url(url)
    try:
        async with asyncio.timeout(timeout):
            client = redis.asyncio.Redis.from_url(
                await primary(url, key),
                decode_responses=False,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
            async with client:
                yield client
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
