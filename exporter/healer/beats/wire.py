"""A subscriber's connection: redis-py logs in, hiredis parses, and whatever has arrived is read at once.

redis-py's own reading costs 15 microseconds a message. Here its `Connection` does what it is good at (URLs,
TLS, ACL users, unix sockets, the handshake); after that its stream is read directly, in batches.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Self, cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from healer.runtime.replies import MISUNDERSTANDINGS, strange, understood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis.asyncio.connection import AbstractConnection

CONNECT_SECONDS = 5.0
"""How long connecting and logging in may take."""

CHUNK = 1000
"""Channels in one command: large enough to be fast, small enough that no other client of the bus waits."""

READ_BYTES = 1 << 18

PIECE_BYTES = 1 << 13
"""What the parser is given at a time: every kilobyte it moves all that is left."""

UNFINISHED = [object()]
"""What the parser has while no reply is whole: a list, which is told from replies, lists too, by its length alone."""


class Wire:
    """One connection to one Redis server, in subscriber mode.

    Attributes:
        arrived: How many bytes the last read returned.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self.arrived = 0
        self._connection = connection
        # Private to redis-py, but all that is needed of it; tests/beats/test_wire.py fails when it changes.
        self._stream = cast("asyncio.StreamReader", connection._reader)
        self._transport = cast(
            "asyncio.Transport", cast("asyncio.StreamWriter", connection._writer).transport
        )
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=UNFINISHED
        )

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Return a connection to the server at `url`, logged in.

        Raises:
            RedisError: The server refuses or is no Redis.
            OSError: It cannot be reached in time.
        """
        # The pool is only the library's way from a URL to the right kind of connection.
        pool = ConnectionPool.from_url(url, protocol=2, socket_timeout=None, retry=Retry(NoBackoff(), 0))
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's gap
        try:
            with understood():
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.connect()  # type: ignore[no-untyped-call] # redis-py's gap
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection)

    async def send(self, command: str, channels: Iterable[bytes]) -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE for `channels`, in chunks; other work gets its turn in between."""
        todo = list(channels)
        for start in range(0, len(todo), CHUNK):
            await self._send(command, todo[start : start + CHUNK])
            await asyncio.sleep(0)

    async def send_apart(self, command: str, groups: Iterable[Iterable[bytes]]) -> None:
        """Send one command for each group: sharded ones take channels of one slot only."""
        for number, group in enumerate(groups, 1):
            await self._send(command, list(group))
            if number % CHUNK == 0:
                await asyncio.sleep(0)

    async def _send(self, command: str, channels: list[bytes]) -> None:
        packed = hiredis.pack_command((command, *channels))  # type: ignore[arg-type] # its stub takes any tuple for a tuple of one
        await self._connection.send_packed_command(packed)

    async def read(self) -> Iterator[Any]:
        """Wait for bytes to arrive, and return an iterator over the replies that are whole by then, in order.

        A few at a time and let go, they cost the collector of Python nothing. Each is a list of kind, channel, and
        payload or count; for what cannot be unpacked as that, raise what `strange` says.

        Raises:
            RedisError: The server closed the connection, or what it sends is not Redis' protocol; the latter also
                while iterating.
            OSError: The connection broke.
        """
        data = await self._stream.read(READ_BYTES)
        if not data:
            raise RedisConnectionError("connection closed by server")
        self.arrived = len(data)
        return itertools.chain.from_iterable(self._parsed(data))

    def _parsed(self, data: bytes) -> Iterator[list[Any]]:
        for start in range(0, len(data), PIECE_BYTES):
            self._parser.feed(data, start, min(PIECE_BYTES, len(data) - start))
            try:
                replies = list(iter(self._parser.gets, UNFINISHED))
            except MISUNDERSTANDINGS as error:
                raise strange(None) from error
            yield replies

    async def rest(self, seconds: float) -> None:
        """Let what arrives gather outside of this process, which is then woken once for all of it."""
        self._transport.pause_reading()
        await asyncio.sleep(seconds)
        self._transport.resume_reading()

    async def close(self) -> None:
        """Drop the connection, with whatever is still unread."""
        await self._connection.disconnect(nowait=True)
