"""A server that begins to answer nonsense: what may listen on a port where Redis should."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NONSENSE = {
    "a map with a list for a key": b"%1\r\n*0\r\n:1\r\n",
    "an empty push message": b">0\r\n",
    "a set of lists": b"~1\r\n*0\r\n",
    "a map": b"%0\r\n",
    "an attribute": b"|1\r\n*0\r\n:1\r\n:2\r\n",
    "nothing": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "lists in lists": b"*1\r\n*1\r\n*0\r\n",
    "a message on a list": b"*3\r\n$7\r\nmessage\r\n*0\r\n$1\r\na\r\n",
    "a number": b":1\r\n",
    "no number": b",nan\r\n",
    "a huge number": b"(99999999999999999999999\r\n",
    "true": b"#t\r\n",
    "no text": b"$3\r\n\xff\xfe\xfd\r\n",
    "an error in no text": b"-\xff\xfe\r\n",
    "an error without words": b"-\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


class Odd:
    """Speaks like Redis, up to one of the commands of a connection; from there on it answers nonsense."""

    def __init__(self, good: int, nonsense: bytes) -> None:
        self._good = good
        self._nonsense = nonsense

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            for number in range(1000):
                count = int((await reader.readuntil())[1:])
                command = [await self._word(reader) for _ in range(count)]
                writer.write(self._nonsense if number >= self._good else _answer(command))
                await writer.drain()
        writer.close()

    async def _word(self, reader: asyncio.StreamReader) -> bytes:
        return (await reader.readexactly(int((await reader.readuntil())[1:]) + 2))[:-2]


def _answer(command: list[bytes]) -> bytes:
    if command[0] != b"SUBSCRIBE":
        return b"+OK\r\n"
    return b"".join(
        b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(name), name) for name in command[1:]
    )
