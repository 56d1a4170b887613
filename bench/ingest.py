"""How fast beats are heard, and what each costs when they come slowly, beside a reader in C and redis-py."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.flood import publish
from bench.measure import cpu_precisely

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MESSAGES = {"c": 300_000, "ours": 300_000, "redis-py": 20_000}
"""Of one run: enough for some tenths of a second."""

PACED_SECONDS = 2.0


@dataclass(frozen=True)
class Bus:
    """A Redis server for benches."""

    port: int

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"


def compiled(folder: Path) -> Path | None:
    """Return the reader in C, or None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "reader"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "reader.c"], check=True)
    return program


def command(kind: str, bus: Bus, channels: int, messages: int, program: Path | None) -> list[str]:
    if kind == "c":
        return [str(program), str(bus.port), str(channels), str(messages)]
    return [sys.executable, "-m", "bench.readers", kind, bus.url, str(channels), str(messages)]


@contextmanager
def reader(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a subscriber; yield it once it is subscribed."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit(f"{' '.join(argv)} did not get ready")
            yield process
        finally:
            process.kill()


def beats(channels: int, messages: int) -> Iterator[bytes]:
    """Yield commands that publish so many beats, in pieces."""
    each = [b"svc%d" % number for number in range(channels)]
    sent = counter = 0
    while sent < messages:
        counter += 1
        part = each[: messages - sent]
        beat = b'{"svc":"%%s","i":%d,"ts":%d}' % (counter, time.time())
        yield b"".join(publish(b"%s:heartbeat" % name, beat % name) for name in part)
        sent += len(part)


def connection(bus: Bus) -> socket.socket:
    """Return a connection on which nothing is answered."""
    made = socket.create_connection(("127.0.0.1", bus.port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n")
    return made


def rate(kind: str, bus: Bus, channels: int, program: Path | None) -> float:
    """Return how many messages a second a subscriber takes when they come as fast as Redis can."""
    messages = MESSAGES[kind]
    pieces = list(beats(channels, messages))
    with reader(command(kind, bus, channels, messages, program)) as process, connection(bus) as out:
        begun = time.monotonic()
        for piece in pieces:
            out.sendall(piece)
        assert process.stdout is not None
        return messages / (float(process.stdout.readline()) - begun)


def _until_idle(pid: int) -> None:
    """Wait until a subscriber has taken what waits for it."""
    used = -1.0
    for _ in range(100):
        before, used = used, cpu_precisely(pid)
        if used - before < 0.0005:
            return
        time.sleep(0.1)


def paced(bus: Bus, channels: int, per_second: int) -> dict[str, float]:
    """Return the CPU microseconds of each beat, heard by both at once, when beats come one by one."""
    with ExitStack() as open_:
        readers = {
            kind: open_.enter_context(reader(command(kind, bus, channels, 0, None)))
            for kind in ("ours", "redis-py")
        }
        out = open_.enter_context(connection(bus))
        each = [
            publish(b"svc%d:heartbeat" % n, b'{"svc":"svc%d","i":1,"ts":%d}' % (n, time.time()))
            for n in range(channels)
        ]
        time.sleep(0.5)
        before = {kind: cpu_precisely(one.pid) for kind, one in readers.items()}
        begun, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < PACED_SECONDS:
            while sent < passed * per_second:
                out.sendall(each[sent % channels])
                sent += 1
            time.sleep(0.5 / per_second)
        _until_idle(readers["redis-py"].pid)
        return {kind: 1e6 * (cpu_precisely(one.pid) - before[kind]) / sent for kind, one in readers.items()}
