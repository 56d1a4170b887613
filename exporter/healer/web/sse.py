"""Server-Sent Events: one stream to many browsers, none of which can slow down the others or the daemon."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # nginx would hold the events back
    "X-Accel-Buffering": "no",
}
COMMENT = b":\n\n"


class Stream:
    """What one page's browsers are told.

    A client that reconnects with `Last-Event-ID` gets what it missed while that is remembered, else the greeting
    again. One that does not keep up is cut off, and reconnects by itself.

    Attributes:
        clients: How many are connected.
    """

    def __init__(
        self,
        *,
        remembered: int = 64,
        backlog: int = 32,
        max_clients: int = 32,
        comment_seconds: float = 15.0,
        retry_seconds: float = 3.0,
    ) -> None:
        """Create a stream without clients.

        Args:
            remembered: Events kept for clients that reconnect.
            backlog: Events that a client may be behind.
            max_clients: Connections beyond are answered with 503.
            comment_seconds: After such a silence a comment is sent, so that a dead connection shows.
            retry_seconds: After how long a browser is to reconnect.
        """
        self.clients = 0
        # Tells this process's events from those of one before, whose numbers mean something else.
        self._epoch = os.urandom(4).hex()
        self._count = 0
        self._ring: deque[tuple[str, bytes]] = deque(maxlen=remembered)
        self._queues: dict[asyncio.Queue[bytes | None], asyncio.Transport | None] = {}
        self._backlog = backlog
        self._max_clients = max_clients
        self._comment_seconds = comment_seconds
        self._retry = f"retry: {round(retry_seconds * 1000)}\n\n".encode()
        self._closed = False

    @property
    def last_id(self) -> str:
        """The id of the newest event, or of the beginning."""
        return f"{self._epoch}-{self._count}"

    def publish(self, data: bytes | str, event: str | None = None) -> None:
        """Send an event to every client.

        Args:
            data: Its text; it may have several lines.
            event: Its type; by default `message`.
        """
        self._count += 1
        frame = encode(data, event, self.last_id)
        self._ring.append((self.last_id, frame))
        for queue, transport in list(self._queues.items()):
            try:
                queue.put_nowait(frame)
            except asyncio.QueueFull:
                del self._queues[queue]
                if transport is not None:
                    transport.abort()

    def forget(self) -> None:
        """Forget past events: whoever reconnects is greeted anew."""
        self._ring.clear()
        self._epoch = os.urandom(4).hex()

    def close(self) -> None:
        """End every connection, now and from now on."""
        self._closed = True
        for queue, transport in list(self._queues.items()):
            try:
                queue.put_nowait(None)
            except asyncio.QueueFull:
                if transport is not None:
                    transport.abort()

    async def serve(
        self, request: web.Request, greeting: AsyncIterable[bytes] | None = None
    ) -> web.StreamResponse:
        """Answer `request` with the stream, until the client goes.

        Args:
            request: A GET.
            greeting: Whole events, encoded with `encode`, for a client that cannot go on where it was. What is
                published while they are sent comes after them.
        """
        if self._closed or self.clients >= self._max_clients:
            return web.Response(
                status=503, text="too many are watching; try again later\n", headers={"Retry-After": "30"}
            )
        response = web.StreamResponse(headers=HEADERS)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(self._backlog)
        missed = self._missed(request.headers.get("Last-Event-ID"))
        self._queues[queue] = request.transport
        self.clients += 1
        try:
            await response.prepare(request)
            await response.write(self._retry)
            if missed is not None:
                await response.write(b"".join(missed))
            elif greeting is not None:
                async for frame in greeting:
                    await response.write(frame)
            await self._pass_on(queue, response)
        except ConnectionError:
            pass  # the client went; nobody is left to tell
        finally:
            self.clients -= 1
            self._queues.pop(queue, None)
        return response

    async def _pass_on(self, queue: asyncio.Queue[bytes | None], response: web.StreamResponse) -> None:
        while not self._closed or not queue.empty():
            try:
                async with asyncio.timeout(self._comment_seconds):
                    frame = await queue.get()
            except TimeoutError:
                await response.write(COMMENT)
                continue
            if frame is None:
                return
            await response.write(frame)

    def _missed(self, last: str | None) -> list[bytes] | None:
        """Return what came after the event `last`, or None if that cannot be told."""
        if last == self.last_id:
            return []
        for index, (known, _) in enumerate(self._ring):
            if known == last:
                return [frame for _, frame in list(self._ring)[index + 1 :]]
        return None


def encode(data: bytes | str, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002  the field's name
    """Return one event as it is sent.

    Args:
        data: Its text.
        event: Its type; by default `message`.
        id: What the client says on reconnecting to go on from here.

    Raises:
        ValueError: `event` or `id` has a line break, which would let it pass for something else.
    """
    lines = []
    for name, value in (("event", event), ("id", id)):
        if value is None:
            continue
        if set(value) & {"\r", "\n", "\0"}:
            raise ValueError(f"{name} {value!r} has a line break")
        lines.append(f"{name}: {value}".encode())
    text = data.encode() if isinstance(data, str) else data
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines += [b"data: " + line for line in text.split(b"\n")]
    return b"\n".join(lines) + b"\n\n"
