"""Loopback ports that stay ours for a whole run, also while the server on them is down."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

LOOPBACK = "127.0.0.1"
"""Where every server of a native run listens."""


class Ports:
    """Hands out free ports and keeps each reserved until closed.

    A reservation is a bound socket that never listens. Linux lets a server that sets SO_REUSEADDR (as
    Redis, Go's and asyncio's servers do) listen beside it, while it neither gives the port to another
    `bind` to port 0 nor uses it for an outgoing connection. So two runs never collide, and a killed
    server finds its port free when it returns.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Return a port that nobody uses.

        Raises:
            OSError: The machine has no free port or no loopback address.
        """
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((LOOPBACK, 0))
        except OSError:
            held.close()
            raise
        self._held.append(held)
        port: int = held.getsockname()[1]
        return port

    def close(self) -> None:
        """Give all ports back."""
        while self._held:
            self._held.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
