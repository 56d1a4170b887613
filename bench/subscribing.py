"""How long subscribing to very many channels takes, the first time and again, and how long another client waits meanwhile."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from contextlib import contextmanager
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


async def _subscribe(bus: Bus, sinks: dict[bytes, object]) -> float:
    begun, told = time.monotonic(), 0
    wire = await Wire.connect(bus.url)
    try:
        sending = asyncio.create_task(wire.send("SUBSCRIBE", sinks))
        while told < len(sinks):
            now = time.monotonic()
            for _, channel, _ in await wire.read():
                sinks[channel].listen(now)  # type: ignore[attr-defined]
                told += 1
        await sending
        return time.monotonic() - begun
    finally:
        await wire.close()


def ours(bus: Bus, number: int) -> tuple[float, float, float]:
    """Return the seconds of the first and the second time, and another client's longest wait."""
    sinks: dict[bytes, object] = {channel.encode(): slot for channel, slot in slots_of(number).items()}
    waits: list[float] = []
    gc.freeze()  # as the exporter does once it has a truth
    with another_client(bus, waits):
        first = asyncio.run(_subscribe(bus, sinks))
        again = asyncio.run(_subscribe(bus, sinks))
    return first, again, waits[0]


def redis_py(bus: Bus, number: int) -> tuple[float, float, float]:
    """Return the same of redis-py; it subscribes again when it has lost the connection."""
    channels = list(slots_of(number))
    waits: list[float] = []

    def told() -> None:
        count = 0
        while count < number:
            message = pubsub.get_message(timeout=10)
            count += message is not None and message["type"] == "subscribe"

    with another_client(bus, waits), Redis.from_url(bus.url) as redis, redis.pubsub() as pubsub:
        begun = time.monotonic()
        pubsub.subscribe(*channels)
        told()
        first = time.monotonic() - begun
        begun = time.monotonic()
        assert pubsub.connection is not None
        pubsub.connection.disconnect()
        pubsub.connection.connect()
        told()
        again = time.monotonic() - begun
    return first, again, waits[0]
