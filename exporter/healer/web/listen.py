"""Where a daemon listens: parsing `host:port` and serving an application there, as its web configuration says."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aiohttp import web

from healer.runtime.tasks import end
from healer.web.guard import Guard

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MAX_PORT = 65535

HANDSHAKE_SECONDS = 10.0
"""How long a client may take to begin an encrypted connection."""

MOST_CONNECTIONS = 4096
"""That are answered at a time; fewer where the process may not open twice as many files."""

GOODBYE_SECONDS = 1.0
"""How long a client may take to end one."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ListenError(Exception):
    """The address cannot be listened on; the message says which, why and what to do."""


def parse_address(text: str) -> Address:
    """Return the address in `text`: `127.0.0.1:9877`, `[::1]:9877`, or `:9877` for every interface.

    Raises:
        ValueError: Not of that form; the message says what was expected.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError(f"{text!r} is no address to listen on; expected host:port, such as 127.0.0.1:9877")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put the IPv6 address in brackets, such as [::1]:{port}")
    return Address(host, int(port))


@asynccontextmanager
async def serving(app: web.Application, address: Address, config: Path | None = None) -> AsyncIterator[str]:
    """Serve `app` at `address` while the context is open; yields the URL it answers at.

    Args:
        app: What to serve.
        address: Where.
        config: The file of `--web.config.file`, or None for plain HTTP without login. While `app` is served,
            the file and those it names are read again when they change; connections that are open stay so.

    Raises:
        ListenError: The address is taken or not ours.
        WebConfigError: `config` cannot be used.
    """
    guard = Guard(config)
    guard.protect(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=75.0)
    await runner.setup()
    doors = _Doors(_limited(cast("web.Server", runner.server)))
    try:
        await doors.open(address, guard.config.context)
        watch = asyncio.create_task(guard.watch(doors.change), name="web configuration")
        try:
            scheme = "http" if guard.config.context is None else "https"
            yield f"{scheme}://{Address(address.host or '127.0.0.1', doors.port)}"
        finally:
            await end([watch])
    finally:
        doors.close()
        await runner.cleanup()


def _limited(server: web.Server) -> Callable[[], asyncio.Protocol]:
    """Return what answers a connection: `server`, unless so many are open that Redis would soon get none."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 2)

    def answer() -> asyncio.Protocol:
        return server() if len(server.connections) < most else _Full()

    return answer


class _Full(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast("asyncio.Transport", transport).abort()


class _Doors:
    """The listening sockets of one application; they stay while what answers on them is exchanged."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The port that the first of them has."""
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    async def open(self, address: Address, context: ssl.SSLContext | None) -> None:
        """Begin to listen; raise ListenError if that cannot be."""
        loop, (handshake, goodbye) = asyncio.get_running_loop(), _patience(context)
        try:
            server = await loop.create_server(
                self._factory,
                address.host or None,
                address.port,
                ssl=context,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=goodbye,
            )
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address}: {error.strerror or error}. "
                "Stop what uses it, or choose another address with --listen."
            ) from error
        self._servers = [server]

    async def change(self, context: ssl.SSLContext | None) -> None:
        """Use `context` for connections from now on; nobody who is connecting is turned away."""
        loop, (handshake, goodbye) = asyncio.get_running_loop(), _patience(context)
        before, self._servers = self._servers, []
        for door in [door for server in before for door in server.sockets]:
            server = await loop.create_server(
                self._factory,
                sock=door.dup(),
                ssl=context,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=goodbye,
            )
            self._servers.append(server)
        for server in before:
            server.close()

    def close(self) -> None:
        """Let nobody else in."""
        for server in self._servers:
            server.close()


def _patience(context: ssl.SSLContext | None) -> tuple[float, float] | tuple[None, None]:
    return (None, None) if context is None else (HANDSHAKE_SECONDS, GOODBYE_SECONDS)
