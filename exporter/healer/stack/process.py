"""One child process: started, awaited, paused, killed, restarted, and gone when we are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from healer.stack import tether

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

LAST_WORDS = 15
"""How many lines of its log an error about a process shows."""

STOP_SECONDS = 5.0
"""How long a process may take to end after SIGTERM before it is killed."""

START_SECONDS = 20.0
"""How long a process may take to become ready."""

INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONWARNINGS", "LD_LIBRARY_PATH")
"""What a process gets of our environment: enough to run, and no setting that would change what it does."""

POLL_SECONDS = 0.05
PROBE_SECONDS = 2.0


class ProcessError(Exception):
    """A process did not do what it was started for; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        name: What it is called in messages; also names its log file.
        argv: Program (an absolute path) and arguments.
        ready: Says whether it does its work now; may raise OSError for "not yet".
        environment: Its environment, beside what `INHERITED` names.
        directory: Working directory, or None for ours.
    """

    name: str
    argv: Sequence[str | Path]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


class Process:
    """Runs a `Command`; can be started again after it ended.

    It has its own session, so Ctrl-C in the terminal reaches only us, and the kernel kills it when we die.
    Use it on one event loop. Its output is appended to `log`.
    """

    def __init__(self, command: Command, logs: Path) -> None:
        self.command = command
        self.log = logs / f"{command.name}.log"
        self._child: asyncio.subprocess.Process | None = None
        self._handle: int | None = None
        self._begin = 0

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            ProcessError: It is not running.
        """
        if self._child is None or self._child.returncode is not None:
            raise ProcessError(f"{self.name} is not running")
        return self._child.pid

    async def start(self) -> None:
        """Start it; does not wait until it is ready.

        Raises:
            ProcessError: It runs already.
        """
        if self.running:
            raise ProcessError(f"{self.name} runs already, with pid {self.pid}")
        argv = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        with self.log.open("ab") as log:
            self._begin = log.tell()
            self._child = await asyncio.create_subprocess_exec(
                *argv,
                *map(str, self.command.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_inherited(), **self.command.environment},
                cwd=self.command.directory,
                start_new_session=True,
            )
        # asyncio's own send_signal may reap the child behind the back of asyncio's own watcher, which then
        # knows no exit status; a number alone may by then be another process. A handle has neither fault.
        self._close_handle()
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(self._child.pid)

    async def wait_ready(self, timeout: float = START_SECONDS) -> None:  # noqa: ASYNC109  the error must say why
        """Return as soon as the process is ready.

        Raises:
            ProcessError: It ended, or was not ready within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise ProcessError(f"{self.name} {self._ending()} before it was ready{self._last_words()}")
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    if await self.command.ready():
                        return
            await asyncio.sleep(POLL_SECONDS)
        raise ProcessError(f"{self.name} was not ready within {timeout:g} s{self._last_words()}")

    async def stop(self, timeout: float = STOP_SECONDS) -> float:  # noqa: ASYNC109  a bound on politeness
        """End it with SIGTERM, after `timeout` seconds with SIGKILL; return the seconds it took."""
        begun = time.monotonic()
        if self._child is None:
            return 0.0
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self.wait(), timeout)
        except TimeoutError:
            await self.kill()
        return time.monotonic() - begun

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash or the kernel's memory killer would."""
        if self._child is not None:
            self.send_signal(signal.SIGKILL)
            await self.wait()

    async def wait(self) -> int:
        """Wait until it ends by itself; return its exit status, negative for the signal that ended it.

        Raises:
            ProcessError: It was not started.
        """
        if self._child is None:
            raise ProcessError(f"{self.name} was not started")
        status = await self._child.wait()
        self._close_handle()
        return status

    async def restart(self, timeout: float = START_SECONDS) -> None:  # noqa: ASYNC109  as in wait_ready
        """Stop it if it runs, start it and wait until it is ready.

        Raises:
            ProcessError: As `wait_ready`.
        """
        await self.stop()
        await self.start()
        await self.wait_ready(timeout)

    async def pause(self) -> None:
        """Freeze it with SIGSTOP: it keeps its connections and answers nothing."""
        self.send_signal(signal.SIGSTOP)

    async def resume(self) -> None:
        """Let a paused process go on."""
        self.send_signal(signal.SIGCONT)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGHUP; nothing happens when it has ended."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def tail(self, lines: int = LAST_WORDS) -> str:
        """Return the last `lines` lines that it wrote since it was last started."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._begin)
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _close_handle(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _last_words(self) -> str:
        words = self.tail().strip()
        return f"; the end of {self.log}:\n{words}" if words else f"; it wrote nothing to {self.log}"

    def _ending(self) -> str:
        status = self._child.returncode if self._child is not None else None
        if status is None:
            return "was not started"
        return (
            f"was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with exit status {status}"
        )


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
