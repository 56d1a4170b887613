"""The service manager's side channel: `READY=1`, `STOPPING=1` and the watchdog, as sd_notify(3) describes.

Does nothing when the process was not started by systemd with `Type=notify`.
"""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """Speaks to the socket named by NOTIFY_SOCKET; silent where there is none."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def send(self, state: str) -> None:
        """Send one assignment such as `READY=1`. A manager that does not listen is not our failure."""
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sock:
            sock.sendto(state.encode(), self._address)

    @staticmethod
    def watchdog_seconds() -> float | None:
        """Return the period in which systemd wants `WATCHDOG=1`, or None if it does not."""
        usec = os.environ.get("WATCHDOG_USEC", "")
        pid = os.environ.get("WATCHDOG_PID", "")
        if not usec.isdigit() or (pid and pid != str(os.getpid())):
            return None
        return int(usec) / 1e6
