"""A subscriber's connection: redis-py logs in, hiredis parses, and whatever has arrived is read at once.

redis-py's own reading costs 15 microseconds a message. Here its `Connection` does what it is good at (URLs,
TLS, ACL users, unix sockets, the handshake); after that its stream is read directly, in batches.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio.connection import AbstractConnection

CONNECT_SECONDS = 5.0
"""How long connecting and logging in may take."""

CHUNK = 1000
"""Channels in one command: large enough to be fast, small enough that no other client of the bus waits."""

READ_BYTES = 1 << 18

PARTS = 3
"""Of whatever a subscriber receives: kind, channel, and payload or count."""


class Wire:
    """One connection to one Redis server, in subscriber mode."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        # Private to redis-py, but all that is needed of it; tests/beats/test_wire.py fails when it changes.
        stream = connection._reader
        assert isinstance(stream, asyncio.StreamReader)  # noqa: S101  # narrows the type; connect() has set it
        self._stream = stream
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=None
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

    async def read(self) -> list[list[Any]]:
        """Wait for the next reply and return it with all others that have arrived, in order.

        Raises:
            RedisError: The server closed the connection, answered with an error, or sent what is no message.
            OSError: The connection broke.
        """
        replies: list[list[Any]] = []
        while not replies:
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise RedisConnectionError("connection closed by server")
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not None:
                if isinstance(reply, RedisError):
                    raise reply
                if type(reply) is not list or len(reply) != PARTS or type(reply[1]) is not bytes:
                    raise InvalidResponse("the server sends what no subscriber expects; is it Redis?")
                replies.append(reply)
        return replies

    async def close(self) -> None:
        """Drop the connection, with whatever is still unread."""
        await self._connection.disconnect(nowait=True)
