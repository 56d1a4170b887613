"""Hears the events that the sentinel publishes, and when each came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

RECONNECT_SECONDS = 0.1


class NoEventError(Exception):
    """An event that was due did not come; the message says what came instead."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event.

    Attributes:
        at: Epoch seconds of its arrival.
        raw: What was published, byte for byte.
        message: The same, decoded.
    """

    at: float
    raw: bytes
    message: dict[str, Any]

    @property
    def type(self) -> str:
        """Its type, such as `heartbeat_miss`."""
        return str(self.message["type"])

    @property
    def svc(self) -> str:
        """The service it is about."""
        return str(self.message["svc"])

    def __str__(self) -> str:
        """Return it as it was published."""
        return self.raw.decode()


class Events:
    """A subscriber of the alerts channel, as an operator's own tool would be one; it outlives the bus's restarts."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._heard: list[Heard] = []
        self._news = asyncio.Condition()
        self._subscribed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def all(self) -> Sequence[Heard]:
        """All events so far, in order."""
        return self._heard

    def mark(self) -> int:
        """Return a bookmark: how many events there were so far."""
        return len(self._heard)

    def since(self, mark: int, kind: str = "", svc: str = "") -> list[Heard]:
        """Return the events after the bookmark `mark`, only those whose type begins with `kind` and are of `svc`."""
        return [
            event
            for event in self._heard[mark:]
            if event.type.startswith(kind) and (not svc or event.svc == svc)
        ]

    async def wait(self, kind: str, svc: str, *, within: float, since: int = 0) -> Heard:
        """Return the first event of `kind` about `svc` after the bookmark `since`.

        Raises:
            NoEventError: None came `within` so many seconds.
        """
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: bool(self.since(since, kind, svc)))
        except TimeoutError:
            came = ", ".join(map(str, self._heard[since:])) or "nothing"
            raise NoEventError(f"no {kind} for {svc} within {within:.1f} s; what came: {came}") from None
        return self.since(since, kind, svc)[0]

    async def follow(self, mark: int = 0) -> AsyncIterator[Heard]:
        """Yield every event after the bookmark `mark`, as it comes, forever."""
        while True:
            async with self._news:
                while len(self._heard) <= mark:
                    await self._news.wait()
            yield self._heard[mark]
            mark += 1

    async def start(self) -> None:
        """Subscribe, and return once the bus has confirmed it."""
        self._task = asyncio.create_task(self._listen())
        await self._subscribed.wait()

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with redis.asyncio.Redis.from_url(self._url) as client, client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    async for message in pubsub.listen():
                        if message["type"] == "subscribe":
                            self._subscribed.set()
                        elif message["type"] == "message":
                            await self._note(message["data"])
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _note(self, raw: bytes) -> None:
        async with self._news:
            self._heard.append(Heard(time.time(), raw, json.loads(raw)))
            self._news.notify_all()
