"""Tells the browsers that watch the status page what changed, once a second; does nothing while nobody watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from healer.runtime.tasks import end
from healer.web.sse import Stream, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from aiohttp import web

    from healer.exporter.status import Head, Row, View

PERIOD_SECONDS = 1.0
CHUNK = 500
"""Rows in one event of the greeting."""

_json = msgspec.json.Encoder().encode


class Delta(msgspec.Struct, frozen=True):
    """What an event carries.

    Attributes:
        head: Everything but the services.
        rows: Services that are new or changed.
        gone: Names of services that are no longer shown.
    """

    head: Head
    rows: list[Row]
    gone: list[str]


class Feed:
    """The events of one status page: `snapshot`, then `delta` with its rows, `complete`, and `delta` from then on."""

    def __init__(self, take: Callable[[], Awaitable[View]], period: float = PERIOD_SECONDS) -> None:
        """Create a feed that nobody watches.

        Args:
            take: Returns the picture of now.
            period: Seconds between two events.
        """
        self.stream = Stream()
        self._take = take
        self._period = period
        self._shown: asyncio.Future[View] | None = None
        self._task: asyncio.Task[None] | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` with the events until the browser goes."""
        if self._task is None or self._shown is None:
            self._shown = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(), name="status feed")
        return await self.stream.serve(request, self._greeting(self._shown))

    async def close(self) -> None:
        """End all events."""
        self.stream.close()
        if self._task is not None:
            await end([self._task])

    async def _greeting(self, shown: asyncio.Future[View]) -> AsyncIterator[bytes]:
        await shown
        view = (self._shown or shown).result()
        for frame in _frames(view, self.stream.last_id):
            yield frame

    async def _run(self) -> None:
        """Watch for as long as somebody does."""
        try:
            before = await self._take()
            self._show(before)
            await asyncio.sleep(self._period)
            while self.stream.clients:
                after = await self._take()
                self._show(after)
                self.stream.publish(_json(difference(before, after)), "delta")
                before = after
                await asyncio.sleep(self._period)
        finally:
            if self._shown is not None:
                self._shown.cancel()
            self._task = self._shown = None
            self.stream.forget()

    def _show(self, view: View) -> None:
        if self._shown is not None and not self._shown.done():
            self._shown.set_result(view)
            return
        self._shown = asyncio.get_running_loop().create_future()
        self._shown.set_result(view)


def difference(before: View, after: View) -> Delta:
    """Return what a page that shows `before` has to change to show `after`."""
    old = {row.svc: row for row in before.rows}
    changed = [row for row in after.rows if old.pop(row.svc, None) != row]
    return Delta(after.head, changed, list(old))


def document(view: View) -> Iterator[bytes]:
    """Yield a view as one JSON document, in pieces."""
    yield _json(view.head)[:-1] + b',"rows":['
    for start in range(0, len(view.rows), CHUNK):
        yield (b"," if start else b"") + _json(view.rows[start : start + CHUNK])[1:-1]
    yield b"]}\n"


def _frames(view: View, last_id: str) -> Iterator[bytes]:
    yield encode(_json(Delta(view.head, [], [])), "snapshot")
    for start in range(0, len(view.rows), CHUNK):
        yield encode(_json(Delta(view.head, view.rows[start : start + CHUNK], [])), "delta")
    # Only whoever got it all may go on from here.
    yield encode(_json(Delta(view.head, [], [])), "complete", last_id)
