"""Questions that tell whether a server does its work yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from healer.stack.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HTTP_OK = 200


def http_ok(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a probe that is content when `url` answers 200."""

    async def probe() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == HTTP_OK
        except aiohttp.ClientError:
            return False

    return probe


def redis_pong(port: int) -> Callable[[], Awaitable[bool]]:
    """Return a probe that is content when the Redis server on loopback `port` answers PING."""

    async def probe() -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")  # not while it loads its data
        finally:
            writer.close()
            await writer.wait_closed()

    return probe
