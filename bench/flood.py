"""Beats of very many services at a steady rate, so cheaply that it is not what is measured.

A round of everybody's PUBLISH is encoded once; counter and stamp have a fixed width and are replaced in it. Redis
answers each PUBLISH with how many heard it, so what was delivered is known to the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from urllib.parse import urlsplit

COUNTER = 1_000_000_000
"""Of the first round; all have as many digits."""

STAMP = b"2000000000.000000"
"""What stands in for the publisher's clock until a tick is sent."""

BEHIND_SECONDS = 1.0
"""What was not sent for so long is not made up for."""


def publish(channel: bytes, payload: bytes, command: bytes = b"PUBLISH") -> bytes:
    """Return the command as it goes over the wire."""
    return b"*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
        len(command),
        command,
        len(channel),
        channel,
        len(payload),
        payload,
    )


class Flood:
    """Publishes a beat of each living service once a round.

    Attributes:
        sent: Beats sent.
        answered: Of these, those that Redis has answered for; on a new connection, all that were sent before count.
        delivered: Deliveries to a subscriber that the answers told of.
        refused: Answers that were errors.
        paused: Nothing is sent while this is true.
    """

    def __init__(
        self, url: str, names: list[str], rate: float, *, ticks: int = 10, command: bytes = b"PUBLISH"
    ) -> None:
        """Prepare.

        Args:
            url: Of the Redis server, in the clear and without a password.
            names: The services; `NAME:heartbeat` is their channel.
            rate: Beats per second of all together.
            ticks: Into how many writes a round is divided.
            command: SPUBLISH for shard channels, of which the server has to have the slots.
        """
        place = urlsplit(url)
        self._command = command
        self._address = place.hostname, place.port
        self._parts = [names[number::ticks] for number in range(ticks)]
        self._part_of = {name: number for number, part in enumerate(self._parts) for name in part}
        self._blobs: list[tuple[int, bytes] | None] = [None] * ticks
        self._written = [0.0] * ticks
        self._pause = len(names) / rate / ticks
        self._most = 4 * len(names)
        self.silent: set[str] = set()
        self.sent = self.answered = self.delivered = self.refused = self.connections = 0
        self.paused = False
        self.round = COUNTER

    def last_written(self, name: str) -> float:
        """Return when (epoch seconds) beats of the part to which `name` belongs were last sent; 0 before the first."""
        return self._written[self._part_of[name]]

    def silence(self, names: set[str], *, silent: bool) -> None:
        """Let services die, or return."""
        self.silent = self.silent | names if silent else self.silent - names
        for name in names:
            self._blobs[self._part_of[name]] = None

    async def settled(self) -> None:
        """Return when all that was sent is answered for."""
        while self.sent != self.answered:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.005)

    async def run(self) -> None:
        """Publish until cancelled; a connection that breaks is made anew."""
        while True:
            self.answered = self.sent
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(*self._address)
                self.connections += 1
                try:
                    async with asyncio.TaskGroup() as group:
                        listening = group.create_task(self._count(reader))
                        sending = group.create_task(self._send(writer))
                        await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
                        listening.cancel()
                        sending.cancel()
                except* OSError:
                    pass
                finally:
                    writer.close()
            await asyncio.sleep(0.2)

    async def _count(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(1 << 18):
            whole, _, rest = (rest + data).rpartition(b"\n")
            if whole:
                whole += b"\n"
                lines = whole.count(b"\n")
                none = whole.count(b":0\r\n")
                self.refused += (errors := whole.count(b"\n-") + whole.startswith(b"-"))
                self.delivered += lines - none - errors
                self.answered += lines

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        due, number = time.monotonic(), 0
        while True:
            due = max(due + self._pause, time.monotonic() - BEHIND_SECONDS)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.paused or self.sent - self.answered > self._most:
                continue
            count, blob = self._blob(number)
            blob = blob.replace(b"%d" % COUNTER, b"%d" % self.round)
            self._written[number] = time.time()
            writer.write(blob.replace(STAMP, b"%.6f" % self._written[number]))
            self.sent += count
            number = (number + 1) % len(self._parts)
            self.round += number == 0
            await writer.drain()

    def _blob(self, number: int) -> tuple[int, bytes]:
        found = self._blobs[number]
        if found is None:
            living = [name.encode() for name in self._parts[number] if name not in self.silent]
            beat = b'{"svc":"%%s","i":%d,"ts":%s}' % (COUNTER, STAMP)
            found = (
                len(living),
                b"".join(publish(b"%s:heartbeat" % name, beat % name, self._command) for name in living),
            )
            self._blobs[number] = found
        return found
