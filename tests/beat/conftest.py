"""Beats as a subscriber hears them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.patience import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Ear:
    """Keeps what is published on some channels.

    Attributes:
        heard: Channel and message of each.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    @property
    def numbers(self) -> list[int]:
        return [beat["i"] for _, beat in self.heard]

    async def hear(self, count: int, seconds: float = PATIENCE) -> list[tuple[str, dict[str, Any]]]:
        """Return all that was heard as soon as it is `count` beats or more."""
        await until(lambda: len(self.heard) >= count, seconds)
        return self.heard


@asynccontextmanager
async def listening(url: str, *channels: str) -> AsyncIterator[Ear]:
    """Listen at `url`, also after Redis came back."""
    ear, ready = Ear(), asyncio.Event()

    async def listen() -> None:
        while True:
            try:
                async with Redis.from_url(url) as redis, redis.pubsub() as pubsub:
                    await pubsub.subscribe(*channels)
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            ear.heard.append((message["channel"].decode(), json.loads(message["data"])))
                        else:
                            ready.set()
            except (RedisError, OSError):
                await asyncio.sleep(0.01)

    task = asyncio.create_task(listen())
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
    yield ear
    task.cancel()
    await asyncio.wait([task])
