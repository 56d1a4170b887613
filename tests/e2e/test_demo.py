"""The demo as its user runs it: a process that ends well, is interrupted, killed, or cannot start."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from healer.stack.servers import Servers

USUAL_PORTS = (6379, 9090, 9093, 9877, 9878)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder that the demo takes for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def start(temporary: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "healer", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), **environment},
    )


def read_until(popen: subprocess.Popen[str], words: str) -> str:
    assert popen.stdout is not None
    text = ""
    for line in popen.stdout:
        text += line
        if words in line:
            return text
    pytest.fail(f"the demo ended without {words!r}:\n{text}")


def running_in(folder: Path) -> list[str]:
    """The command lines of processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line or (process / "cwd").readlink().is_relative_to(folder):
                found.append(line)
    return found


def wait_until_nothing_runs_in(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while running_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_in(folder) == []


@pytest.fixture
def usual_ports_taken() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for port in USUAL_PORTS:
            taken = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # somebody else has it, which is as good
                taken.bind(("127.0.0.1", port))
                taken.listen()
        yield


@pytest.mark.usefixtures("servers", "usual_ports_taken")
def test_it_passes_while_the_usual_ports_are_taken_and_leaves_nothing(temporary: Path) -> None:
    with start(
        temporary, "--once", SERVICE_ID="somebody-elses", REDIS_URL="redis://nowhere.invalid"
    ) as popen:
        text, _ = popen.communicate(timeout=110)
    assert popen.returncode == 0, text
    assert text.startswith("Healer demo: sets up two Redis buses, Prometheus, Alertmanager")
    lines = text.splitlines()
    for kind in ("heartbeat_miss", "heartbeat_ok", "healer_miss", "healer_ok"):
        assert sum(f'{{"type":"{kind}"' in line for line in lines) == 1
    assert sum("s after its deadline" in line for line in lines) == 2
    assert lines[-1].startswith("demo: passed: 5 steps in ")
    assert list(temporary.iterdir()) == []
    assert running_in(temporary) == []


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_leaves_nothing(temporary: Path, number: signal.Signals) -> None:
    with start(temporary) as popen:
        read_until(popen, "1/5 All 4 services beat")
        assert len(running_in(temporary)) >= 4
        popen.send_signal(number)
        text, _ = popen.communicate(timeout=15)
    assert popen.returncode == 128 + number
    assert text.endswith("demo: ended before its verdict, everything is stopped\n")
    assert "Traceback" not in text
    assert running_in(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("servers")
def test_a_killed_demo_leaves_no_process_behind(temporary: Path) -> None:
    with start(temporary) as popen:
        read_until(popen, "1/5 All 4 services beat")
        assert len(running_in(temporary)) >= 4
        popen.kill()
    wait_until_nothing_runs_in(temporary)


def test_a_server_that_ends_at_once_fails_it_and_keeps_the_logs(servers: Servers, temporary: Path) -> None:
    binaries = temporary.parent / "bin"
    binaries.mkdir()
    (binaries / "prometheus").write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo "prometheus, version 99.0.0"; exit; fi\n'
        "echo 'the disk is on fire'; exit 3\n"
    )
    (binaries / "prometheus").chmod(0o755)
    with start(temporary, "--once", PATH=f"{binaries}:{os.environ['PATH']}") as popen:
        text, _ = popen.communicate(timeout=60)
    assert popen.returncode == 1
    assert "demo: FAILED: prometheus ended with exit status 3 before it was ready" in text
    assert "the disk is on fire" in text
    (folder,) = temporary.iterdir()
    assert f"the logs are in {folder}" in text
    assert (folder / "prometheus.log").read_text() == "the disk is on fire\n"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["bundle"]
    wait_until_nothing_runs_in(temporary)


def test_without_servers_it_says_what_is_missing_and_what_to_do(temporary: Path) -> None:
    nowhere = temporary.parent / "empty"
    nowhere.mkdir()
    with start(temporary, "--once", PATH=str(nowhere), HEALER_CACHE=str(nowhere / "cache")) as popen:
        text, _ = popen.communicate(timeout=60)
    assert popen.returncode == 1
    assert "these programs are missing: redis-server, redis-cli, prometheus, promtool" in text
    assert "this machine has no apt-get" in text
    assert "Two ways out:" in text
    assert "Traceback" not in text
