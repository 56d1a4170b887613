"""Hears channels of one Redis server, and says so when it may have missed something."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

TIMEOUT_SECONDS = 5.0
PING_SECONDS = 1.0
DEAD_SECONDS = 4.0
"""Nothing came, not even the answer to a ping: a connection may die without an error."""
PAUSE_SECONDS = 0.5


async def listen(
    url: str,
    channels: Collection[str],
    heard: Callable[[str, bytes, float], None],
    anew: Callable[[float], None],
    lost: Callable[[str], None],
) -> None:
    """Subscribe to `channels` at `url` until cancelled, over and over.

    Args:
        url: Of the Redis server; may hold a password.
        channels: Exact names.
        heard: Called with channel, message and time (epoch seconds).
        anew: Called with the time at which all of them are heard (again).
        lost: Called with the reason when they are no more.
    """
    while True:
        try:
            async with _client(url) as redis:
                await _hear(redis, channels, heard, anew)
        except (RedisError, OSError, TimeoutError) as error:
            lost(str(error) or type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def ask(url: str, keys: list[str]) -> list[bytes | None]:
    """Return the values of `keys`, None for those that are not there or are no strings.

    Raises:
        RedisError: Redis is out of reach or refuses.
        OSError: It is out of reach.
    """
    async with _client(url) as redis:
        return cast("list[bytes | None]", await redis.mget(keys))


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


async def _hear(
    redis: Redis,
    channels: Collection[str],
    heard: Callable[[str, bytes, float], None],
    anew: Callable[[float], None],
) -> None:
    async with redis.pubsub() as pubsub:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await pubsub.subscribe(*channels)
        confirmed = 0
        alive = pinged = time.monotonic()
        while True:
            message = None
            with contextlib.suppress(TimeoutError):
                message = await pubsub.get_message(timeout=PING_SECONDS)
            now = time.monotonic()
            if message is not None:
                alive = now
                if message["type"] == "subscribe":
                    confirmed += 1
                    if confirmed == len(channels):
                        anew(time.time())
                elif message["type"] == "message":
                    heard(message["channel"].decode(), message["data"], time.time())
            if now - alive > DEAD_SECONDS:
                raise TimeoutError(f"nothing heard for {now - alive:.1f} s")
            if now - pinged > PING_SECONDS:
                pinged = now
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await pubsub.ping()
