"""Beats that are keys: services that SET a key with an expiry, looked at in regular turns.

A key beats when its value or the moment of its expiry is another than at the last look, and counts as received at
that look. When it was set before the first look, or during a break, nobody knows: such a key says nothing until it
changes. Polling needs nothing from the server; keyspace notifications would, and are lost without a sign.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from healer.beats.faults import DeafError
from healer.runtime.replies import strange, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis.asyncio.connection import AbstractConnection

    from healer.beats.board import Slot
    from healer.beats.cadence import Cadence
    from healer.runtime.clock import Clock
    from healer.runtime.place import Node

LONGEST_PERIOD = 1.0
"""Seconds between two looks, at most; a beat counts as received at most so much later than it was."""

IDLE_SECONDS = 0.25
"""How often it is looked for whether there are keys at all."""

ANSWER_SECONDS = 2.0
"""How long a server may take over a chunk."""

CHUNK = 250
"""Keys asked for in one go: no other client of the server waits long."""

SLACK_SECONDS = 0.1
"""On servers older than 7.0 the moment of expiry is computed, and as good as this."""

_ABSENT = -2
Sight = tuple[bytes | None, float]
"""What a look saw of a key: its value, and when it expires (the server's epoch seconds; below 0: never)."""


class KeyPoll:
    """Looks at the keys of one bus, over connections of its own."""

    def __init__(
        self,
        nodes: tuple[Node, ...],
        todo: Callable[[], tuple[Mapping[str, Slot], Cadence]],
        clock: Clock,
    ) -> None:
        """Prepare to look.

        Args:
            nodes: The servers, each with the slots that it serves.
            todo: Returns the slots of now, by key, and the rhythm of the bus.
            clock: Gives the instants of the looks.
        """
        self._nodes = nodes
        self._todo = todo
        self._clock = clock
        self._seen: dict[str, tuple[Slot, Sight]] = {}
        self._looked: float | None = None
        self._precise = True
        self._connections: dict[str, AbstractConnection] = {}
        self._log = structlog.get_logger(component="keys")

    async def run(self) -> None:
        """Look until cancelled; raise what keeps it from looking."""
        try:
            while True:
                keys, cadence = self._todo()
                period = IDLE_SECONDS
                if keys:
                    # A look of its own for each beat, or `i` would seem to have gaps.
                    shortest = min(slot.service.interval for slot in keys.values())
                    period = max(0.05, min(LONGEST_PERIOD, cadence.period, shortest / 2))
                    await self._look(keys, cadence)
                else:
                    self._seen, self._looked = {}, None
                await asyncio.sleep(period)
        finally:
            for connection in self._connections.values():
                await connection.disconnect(nowait=True)

    async def _look(self, keys: Mapping[str, Slot], cadence: Cadence) -> None:
        begun = self._clock.monotonic()
        if self._looked is not None and begun - self._looked > cadence.deaf_after:
            raise DeafError(f"keys not looked at for {begun - self._looked:.1f} s")
        self._seen = {key: sight for key, sight in self._seen.items() if keys.get(key) is sight[0]}
        for node in self._nodes:
            todo = [key for key in keys if len(self._nodes) == 1 or node.serves(key)]
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                with understood():
                    sights = await self._ask(node, chunk)
                self._compare({key: keys[key] for key in chunk}, sights)
        self._looked = self._clock.monotonic()

    def _compare(self, slots: Mapping[str, Slot], sights: list[Sight]) -> None:
        now, wall = self._clock.monotonic(), self._clock.wall()
        for (key, slot), sight in zip(slots.items(), sights, strict=True):
            before = self._seen.get(key)
            self._seen[key] = (slot, sight)
            if before is None:
                slot.listen(now)
            elif sight[0] is not None and self._differs(before[1], sight):
                slot.hear_anything(sight[0], now, wall)

    def _differs(self, before: Sight, now: Sight) -> bool:
        slack = 0.0 if self._precise else SLACK_SECONDS
        # Taking the expiry off, or shortening it, is nobody's way to beat.
        return now[0] != before[0] or (now[1] > 0 and now[1] > before[1] + slack)

    async def _ask(self, node: Node, keys: list[str]) -> list[Sight]:
        connection = self._connections.get(node.url) or await self._connect(node.url)
        if self._precise:
            try:
                return await self._ask_with(connection, keys, "PEXPIRETIME")
            except ResponseError as error:
                if "unknown command" not in str(error).lower():
                    raise
                self._precise, self._seen = False, {}
        return await self._ask_with(connection, keys, "PTTL")

    async def _ask_with(self, connection: AbstractConnection, keys: list[str], command: str) -> list[Sight]:
        commands: list[tuple[str, ...]] = [("GET", key) for key in keys]
        commands += [(command, key) for key in keys]
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.send_packed_command(connection.pack_commands([("TIME",), *commands]))
            answers: list[Any] = []
            for _ in range(1 + len(commands)):
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:
                    answers.append(error)
        for answer in answers:
            if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
                raise answer
        base = int(answers[0][0]) + int(answers[0][1]) / 1e6 if command == "PTTL" else 0.0
        values, ends = answers[1 : 1 + len(keys)], answers[1 + len(keys) :]
        return [
            (_content(value), base + end / 1e3 if end >= 0 else float(end))
            for value, end in zip(values, ends, strict=True)
        ]

    async def _connect(self, url: str) -> AbstractConnection:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's gap
        self._connections[url] = connection
        await connection.connect()  # type: ignore[no-untyped-call] # redis-py's gap
        return connection


def _content(answer: object) -> bytes | None:
    """Return the value in the answer to GET. A list or a hash is no string, but its being there and its expiry say as much."""
    if isinstance(answer, ResponseError):
        return b""
    if answer is None or type(answer) is bytes:
        return answer
    raise strange(answer)
