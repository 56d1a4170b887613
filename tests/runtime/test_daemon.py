"""A daemon's life, in a process of its own, with real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from tests.patience import PATIENCE, stopwatch

PROGRAM = """
import asyncio, os, sys
from healer.runtime import daemon, log

log.configure("INFO")

async def work():
    print("working", flush=True)
    try:
        await asyncio.sleep(60 if "fail" not in sys.argv else 0)
    finally:
        if "slow" in sys.argv:
            await asyncio.sleep(60)
    raise RuntimeError("broken")

async def hangup():
    print("hangup", *[name for name in os.environ if name == "NOTIFY_SOCKET"], flush=True)

sys.exit(asyncio.run(daemon.run({"work": work}, hangup=hangup, alive=lambda: True)))
"""


def start(*args: str, **env: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(signum: signal.Signals) -> None:
    process = start()
    process.send_signal(signum)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_a_task_that_will_not_end_is_left_behind_within_two_seconds() -> None:
    process = start("slow")
    with stopwatch(process.pid) as watch:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.stderr.close()
        process.wait(timeout=30)  # half of what the task would take
    assert watch.seconds < 2.0


def test_a_task_that_fails_takes_the_daemon_down_and_is_named() -> None:
    process = start("fail")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "task ended by itself" in errors
    assert "RuntimeError('broken')" in errors


def test_a_hangup_is_passed_on() -> None:
    process = start()
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "hangup\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def test_systemd_hears_ready_watchdog_and_stopping_from_it_and_from_none_of_its_children(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        process = start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000")
        heard = [manager.recv(64) for _ in range(3)]
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "hangup\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        while b"STOPPING=1" not in heard:
            heard.append(manager.recv(64))
    assert heard[:2] == [b"READY=1", b"WATCHDOG=1"]
    assert heard.count(b"WATCHDOG=1") >= 2
