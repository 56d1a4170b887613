"""Where a daemon listens: parsing `host:port` and serving an application there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_PORT = 65535


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
async def serving(app: web.Application, address: Address) -> AsyncIterator[str]:
    """Serve `app` at `address` while the context is open; yields the URL it answers at.

    Raises:
        ListenError: The address is taken or not ours.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=75.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port)
        try:
            await site.start()
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address}: {error.strerror or error}. "
                "Stop what uses it, or choose another address with --listen."
            ) from error
        port = runner.addresses[0][1]
        yield f"http://{Address(address.host or '127.0.0.1', port)}"
    finally:
        await runner.cleanup()
