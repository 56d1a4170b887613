"""The process around a daemon, with real signals and threads that hang."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
import structlog
from tests.patience import PATIENCE, stopwatch

from healer.runtime.process import MOST_THREADS, Faults, Threads

PROGRAM = """
import asyncio, logging, os, signal, sys, time
from healer.runtime import daemon, log, process

log.configure("INFO")

def hang():
    print("hangs", flush=True)
    time.sleep(30)

async def hangs():
    await asyncio.get_running_loop().run_in_executor(None, hang)

async def writes():
    def write():
        time.sleep(0.1)
        print("written", flush=True)
    asyncio.get_running_loop().run_in_executor(None, write)

async def life():
    if "hangup" in sys.argv:
        os.kill(os.getpid(), signal.SIGHUP)
        print(os.popen("grep SigIgn /proc/self/status").read().split()[1][-1], flush=True)
        return 0
    if "writes" in sys.argv:
        await writes()
        return 0
    if "foreign" in sys.argv:
        logging.getLogger("aiohttp.server").error("Error handling %s", "a request")
        logging.getLogger("aiohttp.access").info("not this")
        return 0
    return await daemon.run({"hangs": hangs}, hangup=hangs, alive=lambda: True)

sys.exit(process.run(life()))
"""


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NOTIFY_SOCKET": ""},
    )


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending() -> None:
    process = start()
    assert process.stdout.readline() == "hangs\n"
    with stopwatch(process.pid) as watch:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert watch.seconds < 2.0
    assert process.returncode == 0
    assert "event=stopped" in errors


def test_a_write_that_is_under_way_when_the_daemon_ends_is_finished() -> None:
    assert start("writes").communicate(timeout=PATIENCE)[0] == "written\n"


def test_a_hangup_before_there_is_anything_to_reload_is_no_death_and_no_child_ignores_it() -> None:
    process = start("hangup")
    assert process.communicate(timeout=PATIENCE)[0] == "0\n"
    assert process.returncode == 0


def test_a_hangup_while_a_daemon_is_imported_is_no_death() -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "healer", "exporter", "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "REDIS_URL": "redis://127.0.0.1:1"},
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "aiohttp" in line:
            process.send_signal(signal.SIGHUP)
        if "event=serving" in line:
            break
    process.kill()
    process.communicate()
    assert "event=serving" in lines[-1]


def test_what_libraries_log_has_the_form_of_our_own_lines() -> None:
    _, errors = start("foreign").communicate(timeout=PATIENCE)
    (line,) = errors.splitlines()
    assert 'level=error component=aiohttp.server event="Error handling a request"' in line


async def test_more_work_than_threads_is_all_done() -> None:
    loop = asyncio.get_running_loop()
    threads = Threads()
    work = [
        loop.run_in_executor(threads, lambda n=n: time.sleep(0.001) or n) for n in range(4 * MOST_THREADS)
    ]
    assert await asyncio.gather(*work) == list(range(4 * MOST_THREADS))
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(threads, lambda: 1 // 0)


class Clock:
    """A clock set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    wall = monotonic


async def test_a_fault_that_repeats_is_logged_once_a_minute() -> None:
    clock, loop = Clock(), asyncio.get_running_loop()
    faults = Faults(clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(1000):
            error = OSError(24, "Too many open files")
            faults.take(loop, {"message": "socket.accept() out of system resource", "exception": error})
        clock.now = 61.0
        faults.take(loop, {"message": "socket.accept() out of system resource", "exception": error})
        faults.take(loop, {"message": "Task exception was never retrieved", "exception": ValueError("x")})
    assert [log["more_like_it"] for log in logs] == [0, 999, 0]
    assert [log["exc_info"] is None for log in logs] == [True, True, False]
