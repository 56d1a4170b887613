"""How long subscribing to very many channels takes, the first time and again, and how long another client waits meanwhile."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.readers import slots_of
from redis import Redis

from healer.beats.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.ingest import Bus

# Another client, in a process of its own so that nobody's interpreter makes it wait.
PINGS = """
import socket, sys, time
wire = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("ready", flush=True)
longest = 0.0
sys.stdin.fileno()
import select
while not select.select([sys.stdin], [], [], 0.0005)[0]:
    begun = time.monotonic()
    wire.sendall(b"PING\\r\\n")
    wire.recv(64)
    longest = max(longest, time.monotonic() - begun)
print(longest, flush=True)
"""


@contextmanager
def another_client(bus: Bus, waits: list[float]) -> Iterator[None]:
    """Let another client ping the server meanwhile; add its longest wait, in seconds, to `waits`."""
    argv = [sys.executable, "-c", PINGS, str(bus.port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()
        waits.append(float(process.stdout.readline()))


@dataclass(frozen=True)
class Subscribed:
    """Seconds: of the first and the second time, and of another client's longest wait.

    Attributes:
        first: From connecting to the last confirmation.
        again: The same after the connection was lost.
        wait: Longest wait of another client while either went on.
        wait_end: And while Redis cleaned up after the lost connection.
    """

    first: float
    again: float
    wait: float
    wait_end: float


SETTLED_SECONDS = 0.5
"""After which Redis has noticed that a connection is gone."""


async def _ours(bus: Bus, number: int) -> Subscribed:
    sinks = {channel.encode(): slot for channel, slot in slots_of(number).items()}
    gc.freeze()  # as the exporter does once it has a truth

    async def subscribe() -> tuple[float, Wire]:
        begun, told = time.monotonic(), 0
        wire = await Wire.connect(bus.url)
        sending = asyncio.create_task(wire.send("SUBSCRIBE", sinks))
        while told < len(sinks):
            now = time.monotonic()
            for _, channel, _ in await wire.read():
                sinks[channel].listen(now)
                told += 1
        await sending
        return time.monotonic() - begun, wire

    waits: list[float] = []
    with another_client(bus, waits):
        first, wire = await subscribe()
    with another_client(bus, waits):
        await wire.close()
        await asyncio.sleep(SETTLED_SECONDS)
    with another_client(bus, waits):
        again, wire = await subscribe()
    await wire.close()
    return Subscribed(first, again, max(waits[0], waits[2]), waits[1])


def ours(bus: Bus, number: int) -> Subscribed:
    """Return what the exporter's way of subscribing takes."""
    return asyncio.run(_ours(bus, number))


def redis_py(bus: Bus, number: int) -> Subscribed:
    """Return what redis-py's takes; it subscribes again when it has lost the connection."""
    channels = list(slots_of(number))
    waits: list[float] = []

    def told() -> None:
        count = 0
        while count < number:
            message = pubsub.get_message(timeout=10)
            count += message is not None and message["type"] == "subscribe"

    with Redis.from_url(bus.url) as redis, redis.pubsub() as pubsub:
        with another_client(bus, waits):
            begun = time.monotonic()
            pubsub.subscribe(*channels)
            told()
            first = time.monotonic() - begun
        with another_client(bus, waits):
            assert pubsub.connection is not None
            pubsub.connection.disconnect()
            time.sleep(SETTLED_SECONDS)
        with another_client(bus, waits):
            begun = time.monotonic()
            pubsub.connection.connect()
            told()
            again = time.monotonic() - begun
    return Subscribed(first, again, max(waits[0], waits[2]), waits[1])
