"""`healer beat` from a shell, and around a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.beat.conftest import listening
from tests.exporter.conftest import seed, truth
from tests.patience import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOBODY = "redis://127.0.0.1:1"


class Shell:
    """`healer beat ...`, started as a process.

    Attributes:
        process: The process.
        folder: Where it writes what it says.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    async def status(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@pytest_asyncio.fixture
async def beat(tmp_path) -> AsyncIterator[Any]:
    """Return a factory: `await beat("mesh", "--url", url)`."""
    started: list[Shell] = []

    async def start(*arguments: str, store: str = NOBODY, **settings: Any) -> Shell:
        with (tmp_path / "said").open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "healer", "beat", *arguments),
                stdout=said,
                stderr=said,
                env={**os.environ, "TRUTH_REDIS_URL": store},
                **settings,
            )
        started.append(Shell(process, tmp_path))
        return started[-1]

    yield start
    for shell in started:
        with contextlib.suppress(ProcessLookupError):
            shell.process.kill()
        await shell.process.wait()


async def test_one_beat_is_published_where_the_truth_says(redis_server, beat) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    async with listening(server.url, "mesh:heartbeat") as ear:
        shell = await beat("mesh", store=server.url)
        assert await shell.status() == 0
        assert shell.said == f"mesh beat on mesh:heartbeat at {server.url}, heard by 1\n"
        await ear.hear(1)
        assert len(ear.heard) == 1


async def test_a_beat_that_nobody_hears_says_so(redis_server, beat) -> None:
    server = await redis_server()
    shell = await beat("mesh", "--url", server.url, "--channel", "odd:one")
    assert await shell.status() == 0
    assert shell.said.startswith(f"mesh beat on odd:one at {server.url}, but nobody listens")


@pytest.mark.parametrize("every", [(), ("--every", "1")])
async def test_what_cannot_be_found_says_what_to_do(redis_server, beat, every) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    shell = await beat("mehs", *every, store=server.url)
    assert await shell.status() == 1
    assert shell.said == (
        "Error: the truth (truth:doc) has no service mehs. Did you mean mesh?\n"
        "Or say where it beats: --url redis://HOST:6379\n"
    )


@pytest.mark.parametrize("url", [NOBODY, "user:hunter2@host", "redis://:hunter2@127.0.0.1:1"])
async def test_a_redis_that_is_not_there_is_one_line_without_a_secret(beat, url) -> None:
    shell = await beat("mesh", "--url", url)
    assert await shell.status() == 1
    assert shell.said.startswith("Error: ")
    assert len(shell.said.splitlines()) == 1
    assert "hunter2" not in shell.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_beats_until_it_is_told_to_stop(redis_server, beat, number) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    async with listening(server.url, "mesh:heartbeat") as ear:
        shell = await beat("mesh", "--every", store=server.url)  # 0.3 s, says the truth
        await ear.hear(4)
        assert ear.numbers[:4] == [1, 2, 3, 4]
        shell.process.send_signal(number)
        assert await shell.status() == 0


async def test_it_beats_while_a_command_runs_and_ends_with_its_status(redis_server, beat) -> None:
    server = await redis_server()
    async with listening(server.url, "mesh:heartbeat") as ear:
        shell = await beat("mesh", "--url", server.url, "--every", "0.2", "--", "sh", "-c", "sleep 1; exit 7")
        assert await shell.status() == 7
        assert 3 <= len(ear.heard) <= 8
        count = len(ear.heard)
        await asyncio.sleep(0.5)
        assert len(ear.heard) == count


async def test_options_after_the_dashes_are_the_command_s(beat) -> None:
    shell = await beat("mesh", "--url", NOBODY, "--", "echo", "--every", "-h", "a b")
    assert await shell.status() == 0
    assert "--every -h a b\n" in shell.said


async def test_a_command_runs_though_neither_truth_nor_redis_is_there(beat) -> None:
    shell = await beat("mesh", "--", "echo", "ran")
    assert await shell.status() == 0
    assert "ran\n" in shell.said


async def test_a_truth_that_comes_late_is_used(redis_server, beat, monkeypatch) -> None:
    server = await redis_server()
    shell = await beat("mesh", "--", "sleep", "60", store=server.url)
    await until(lambda: "does not beat" in shell.said)
    assert "truth not found" in shell.said
    assert shell.process.returncode is None
    shell.process.terminate()
    assert await shell.status() == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["no-such-command"], 127, "no-such-command: command not found"),
        (["/etc"], 126, "/etc: permission denied"),
        (["sh", "-c", "kill -KILL $$"], 128 + 9, ""),
        (["sh", "-c", "kill -PIPE $$"], 128 + 13, ""),
        (["true"], 0, ""),
    ],
)
async def test_exit_statuses_are_a_shell_s(beat, command, status, said) -> None:
    shell = await beat("mesh", "--url", NOBODY, "--", *command)
    assert await shell.status() == status
    assert said in shell.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_are_handed_on(beat, number) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    shell = await beat("mesh", "--url", NOBODY, "--", "sh", "-c", script)
    await until(lambda: "ready" in shell.said)
    shell.process.send_signal(number)
    assert await shell.status() == 3
    assert f"got {name}" in shell.said


async def test_the_terminal_s_interrupt_reaches_a_command_once(beat) -> None:
    import pty

    ours, theirs = pty.openpty()
    script = "import signal, time\nn = [0]\nsignal.signal(2, lambda *_: n.__setitem__(0, n[0] + 1))\n"
    script += (
        "print('ready', flush=True)\nfor _ in range(20): time.sleep(0.05)\nprint('got', n[0], flush=True)"
    )

    def take_terminal() -> None:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    shell = await beat(
        *("mesh", "--url", NOBODY, "--", sys.executable, "-c", script),
        stdin=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    await until(lambda: "ready" in shell.said)
    os.write(ours, b"\x03")
    assert await shell.status() == 0
    assert "got 1\n" in shell.said
    os.close(ours)
    os.close(theirs)


async def test_no_zombie_is_left_though_the_command_leaves_children(beat) -> None:
    script = "(sleep 0.2) & (exit 0) & sleep 1; ps -o stat= --ppid $PPID | grep -c Z; true"
    shell = await beat("mesh", "--url", NOBODY, "--", "sh", "-c", script)
    assert await shell.status() == 0
    assert shell.said.splitlines()[-1] == "0"
