"""A TCP proxy that can lie as networks do: stop carrying bytes without closing anything, refuse, or carry only some."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

import hiredis

MESSAGE = b"$7\r\nmessage\r\n"


class Proxy:
    """Forwards connections to a port.

    Attributes:
        port: Where it listens on loopback.
        swallow: Bytes of every connection vanish, both ways; nothing is closed. New ones are taken, and hear nothing.
        no_messages: Everything is passed on but what somebody published. A connection that was kept from it once
            never carries it again.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.swallow = False
        self.no_messages = False
        self._target = target
        self._silenced: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def silence(self) -> None:
        """Stop passing on what the server sends on every connection there is; new ones work."""
        self._silenced |= self._clients

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.add(writer)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # as if nobody listened here either
            self._clients.discard(writer)
            self._tasks.discard(task)
            writer.close()
            return
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio would log that it was told to end
                await asyncio.gather(
                    self._pump(reader, upstream_writer, writer=None),
                    self._pump(upstream_reader, writer, writer=writer),
                )
        finally:
            self._clients.discard(writer)
            self._tasks.discard(task)
            for end in (writer, upstream_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, writer: asyncio.StreamWriter | None
    ) -> None:
        lost = False
        # From its first byte on a connection can be told message from reply; in the middle, nobody knows where one begins.
        replies = hiredis.Reader() if writer is not None and self.no_messages else None
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                # What a connection lost once leaves a gap in its stream: it never carries anything again.
                lost = lost or self.swallow
                if replies is not None:
                    data = _without_messages(replies, data)
                elif self.no_messages and MESSAGE in data:
                    lost = True
                if not lost and (writer is None or writer not in self._silenced):
                    sink.write(data)
                    await sink.drain()
        sink.close()


def _without_messages(replies: hiredis.Reader, data: bytes) -> bytes:
    """Return the whole replies in what has come so far, but for published messages; written anew."""
    replies.feed(data)
    kept = []
    while (reply := replies.gets()) is not False:
        if not isinstance(reply, list) or reply[:1] != [b"message"]:
            kept.append(_encoded(reply))
    return b"".join(kept)


def _encoded(reply: object) -> bytes:
    match reply:
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(_encoded, reply))
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case None:
            return b"$-1\r\n"
    return b"-%s\r\n" % str(reply).encode()
