"""Beats from the event loop, for services that use asyncio: a loop that hangs stops beating."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from healer.beat.rhythm import DEFAULT_INTERVAL, Rhythm
from healer.runtime.place import place_of, primary

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("healer.beat")


class AsyncHeartbeat:
    """Publishes beats as `healer.beat.Heartbeat` does, from a task, over an `async with` block or `start` to `stop`.

    Because the task runs on the service's own event loop, a callback that blocks the loop holds up the beats too.
    """

    def __init__(
        self,
        svc: str,
        url: str = "redis://127.0.0.1:6379",
        interval: float = DEFAULT_INTERVAL,
        *,
        channel: str | None = None,
        stall_after: float | None = None,
    ) -> None:
        """Prepare the beats; none is sent yet. The arguments are those of `Heartbeat`; the URL is a Redis'."""
        self._rhythm = Rhythm(svc, channel, interval, stall_after)
        self._url = url
        self._found = False
        self._command = "PUBLISH"
        self._task: asyncio.Task[None] | None = None

    @property
    def sent(self) -> int:
        """How many beats were published."""
        return self._rhythm.sent

    @property
    def error(self) -> str | None:
        """Why the newest beat could not be published, or None."""
        return self._rhythm.error

    def alive(self) -> None:
        """Say that the work goes on; costs nothing."""
        self._rhythm.alive()

    def start(self) -> Self:
        """Begin to beat, on the running event loop; a second call changes nothing."""
        if self._task is None:
            self._rhythm.alive()
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"heartbeat {self._rhythm.svc}"
            )
        return self

    def stop(self) -> None:
        """End the beats; the task ends by itself."""
        if self._task is not None:
            self._task.cancel()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1.0)

    async def _run(self) -> None:
        client: Redis | None = None
        try:
            while True:
                beat = self._rhythm.next()
                if beat is not None:
                    try:
                        client = client or await self._connect()
                        async with asyncio.timeout(self._rhythm.attempt):
                            await client.execute_command(self._command, self._rhythm.channel, beat)  # type: ignore[no-untyped-call] # redis-py's gap
                    except Exception as error:  # noqa: BLE001  # as in Heartbeat
                        if self._found and client is not None:  # another server may be the right one by now
                            await client.aclose()
                            client = None
                        if self._rhythm.failed(error):
                            log.warning(
                                "no beat of %s can be published: %s", self._rhythm.svc, self._rhythm.error
                            )
                    else:
                        if self._rhythm.published():
                            log.info("%s beats on %s", self._rhythm.svc, self._rhythm.channel)
                await asyncio.sleep(self._rhythm.wait())
        finally:
            if client is not None:
                await client.aclose()

    async def _connect(self) -> Redis:
        place = place_of(self._url)
        self._found = place.kind in {"sentinel", "cluster"}
        self._command = "SPUBLISH" if place.sharded else "PUBLISH"
        return Redis.from_url(
            await primary(self._url, self._rhythm.channel),
            socket_timeout=self._rhythm.attempt,
            socket_connect_timeout=self._rhythm.attempt,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
