"""systemd's watchdog is fed by progress alone, over sockets with and without a path, and never at the service's cost."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from healer.beat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd would listen; it wants to hear within 0.4 s."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0healer-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield listening


def test_it_is_told_of_the_start_and_then_fed_beside_the_file(manager: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    began = time.monotonic()
    with Heartbeat("worker", file.as_uri(), stall_after=60, watchdog=True):
        assert manager.recv(100) == b"READY=1"
        assert [manager.recv(100) for _ in range(3)] == 3 * [b"WATCHDOG=1"]
        assert time.monotonic() - began >= 0.35, "twice in its period, though a beat is due every 10 s"
        while not file.exists():
            assert time.monotonic() - began < 20
            time.sleep(0.01)


def test_a_loop_that_stalls_feeds_it_no_more(manager: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    with Heartbeat("worker", file.as_uri(), stall_after=0.5, watchdog=True) as heart:
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        manager.settimeout(2)
        heard = 1
        with contextlib.suppress(TimeoutError):
            while heard < 10:
                assert manager.recv(100) == b"WATCHDOG=1"
                heard += 1
        assert heard < 10
        heart.alive()
        assert manager.recv(100) == b"WATCHDOG=1"


def test_it_is_fed_though_the_beats_go_nowhere(manager: socket.socket, tmp_path: Path) -> None:
    with Heartbeat("worker", (tmp_path / "no/such/folder/beat").as_uri(), stall_after=60, watchdog=True):
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


@pytest.mark.parametrize("address", ["/no/such/socket", "@" + 200 * "x", "relative", "@\udce9"])
def test_a_socket_that_is_none_disturbs_nobody(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    file = tmp_path / "heartbeat"
    with Heartbeat("worker", file.as_uri(), 0.1, watchdog=True) as heart:
        began = time.monotonic()
        while heart.sent < 2:
            assert time.monotonic() - began < 20, heart.error
            time.sleep(0.01)


def test_nobody_is_told_unasked(manager: socket.socket, tmp_path: Path) -> None:
    with Heartbeat("worker", (tmp_path / "heartbeat").as_uri(), 0.1) as heart:
        began = time.monotonic()
        while heart.sent < 2:
            assert time.monotonic() - began < 20
            time.sleep(0.01)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
