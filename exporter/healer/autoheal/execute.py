"""Runs one action to its end: a command in a group of its own, or a request to a fixed URL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from healer.autoheal import scope
from healer.autoheal.policy import Kind
from healer.autoheal.survivors import ID_VARIABLE, survivors

if TYPE_CHECKING:
    from healer.autoheal.policy import Action

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
}
"""All that a command inherits, whatever autoheal itself was started with."""

OUTPUT_BYTES = 256 << 10
"""How much of a command's output is kept: the beginning."""

TAIL_BYTES = 16 << 10
"""And how much of its end, if there was more."""

SHOWN_CHARS = 1000
KEEP_FILES = 200
TRIM_SECONDS = 0.05
POLL_SECONDS = 0.02
REAP_SECONDS = 2.0
"""How long a killed command may take to be gone; one that hangs in the kernel is left and reported."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action. Durations are seconds.

    Attributes:
        error: Why it failed, or empty.
        seconds: How long it took.
        exit_code: Of the command; negative: ended by that signal; None: it never ran, or is still there.
        output: The last of its output, for people.
        output_file: Where the rest is.
        survivors: Processes of it that still run.
    """

    error: str
    seconds: float
    exit_code: int | None = None
    output: str = ""
    output_file: str = ""
    survivors: tuple[str, ...] = ()


class Executor:
    """Runs actions; their output goes to one folder, and each command has a scope of its own where there are any."""

    def __init__(self, folder: Path, scopes: scope.Scopes | None = None) -> None:
        self._folder = folder
        self._scopes = scopes

    async def run(self, id_: str, action: Action, argv: tuple[str, ...], alert: bytes) -> Outcome:
        """Run `action` and return what came of it; never raises for what it does.

        Cancelled, it leaves a command running: half a restart is worse than none, and its end is not known.

        Args:
            id_: Names the attempt.
            action: What to do.
            argv: The exact command.
            alert: The alert as JSON, for the command's standard input or the request's body.
        """
        if action.kind is Kind.WEBHOOK:
            return await _post(id_, action, alert)
        return await self._command(id_, action, argv, alert)

    def trim(self) -> None:
        """Keep the folder small: the newest files, none of them large, whoever may still write to one."""
        with contextlib.suppress(OSError):
            files = sorted(self._folder.glob("*.log"), key=lambda path: path.name)
            for path in files[:-KEEP_FILES]:
                path.unlink()
            for path in files[-KEEP_FILES:]:
                if path.stat().st_size > OUTPUT_BYTES + TAIL_BYTES + SHOWN_CHARS:
                    os.truncate(path, OUTPUT_BYTES)

    async def _command(self, id_: str, action: Action, argv: tuple[str, ...], alert: bytes) -> Outcome:
        began = time.monotonic()
        path = self._folder / f"{id_}.log"
        env = {**ENVIRONMENT, **action.env, "HEALER_ACTION": action.name, ID_VARIABLE: id_}
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A file, no pipe: nobody blocks on it, and a command outlives autoheal's death without a SIGPIPE.
            output = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            return Outcome(f"{path}: {error.strerror}", time.monotonic() - began)
        try:
            with tempfile.TemporaryFile() as stdin:
                stdin.write(alert)
                stdin.seek(0)
                # Not asyncio's own: that one kills a command that still runs when autoheal is stopped.
                process = await asyncio.to_thread(
                    subprocess.Popen,
                    argv if self._scopes is None else self._scopes.wrap(id_, argv),
                    stdin=stdin,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=env,
                    start_new_session=True,
                )
            failed = await _supervise(process, action, output, id_)
            text = _finish(output)
        except (OSError, ValueError) as failure:
            # No such file, no permission, too long a list of arguments.
            reason = getattr(failure, "strerror", None) or str(failure)
            return Outcome(f"{argv[0]}: {reason}", time.monotonic() - began)
        finally:
            os.close(output)
        left = await asyncio.to_thread(survivors, id_)
        seconds = time.monotonic() - began
        return Outcome(failed, seconds, process.returncode, text, str(path), left)


async def _supervise(process: subprocess.Popen[bytes], action: Action, output: int, id_: str) -> str:
    """Wait for a command, and end it when it takes too long; return what went wrong, or nothing."""
    trimming = asyncio.create_task(_trim(output))
    try:
        if await _gone(process, action.timeout):
            code = process.returncode
            return (
                ""
                if code == 0
                else f"exit status {code}"
                if code and code > 0
                else f"ended by signal {-(code or 0)}"
            )
        _signal(process.pid, id_, signal.SIGTERM)
        if await _all_gone(process, id_, action.grace):
            return f"took longer than {action.timeout:g} s and was ended with TERM"
        _signal(process.pid, id_, signal.SIGKILL)
        if await _all_gone(process, id_, REAP_SECONDS, signal.SIGKILL):
            return (
                f"took longer than {action.timeout:g} s, ignored TERM for {action.grace:g} s and was killed"
            )
        return f"took longer than {action.timeout:g} s and does not die even of KILL"
    finally:
        trimming.cancel()


async def _gone(process: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def _all_gone(
    process: subprocess.Popen[bytes], id_: str, seconds: float, again: signal.Signals | None = None
) -> bool:
    """Wait for the command and all of its group and scope; send `again` to whom they start meanwhile."""
    deadline = time.monotonic() + seconds
    while process.poll() is None or _group_lives(process.pid) or scope.members(id_):
        if time.monotonic() >= deadline:
            return False
        if again is not None:
            _signal(process.pid, id_, again)
        await asyncio.sleep(POLL_SECONDS)
    return True


def _group_lives(group: int) -> bool:
    """Return whether anyone in `group` still runs; the dead whom nobody has waited for do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state not in "ZX":
                return True
    return False


def _signal(group: int, id_: str, signum: signal.Signals) -> None:
    # The group is the command's own session; it is gone if everyone in it is. Without a scope it has no members.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)
    scope.signal_members(id_, signum)


async def _trim(output: int) -> None:
    """Keep a file that is being written small until cancelled."""
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        if os.fstat(output).st_size > 4 * OUTPUT_BYTES:
            os.ftruncate(output, OUTPUT_BYTES)


def _finish(output: int) -> str:
    """Cut a file to its beginning and its end; return the end for people."""
    size = os.fstat(output).st_size
    tail = os.pread(output, TAIL_BYTES, max(0, size - TAIL_BYTES))
    if size > OUTPUT_BYTES + TAIL_BYTES:
        os.ftruncate(output, OUTPUT_BYTES)
        os.write(output, b"\n[... the middle of the output was dropped ...]\n" + tail)
    return tail.decode("utf-8", "replace")[-SHOWN_CHARS:].strip()


async def _post(id_: str, action: Action, alert: bytes) -> Outcome:
    began = time.monotonic()
    headers = {"Content-Type": "application/json", "Idempotency-Key": id_}
    timeout = aiohttp.ClientTimeout(total=action.timeout)
    try:
        # No proxy from the environment, no redirect: the operator's URL and no other.
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(action.url, data=alert, headers=headers, allow_redirects=False) as answer,
        ):
            text = (await answer.content.read(SHOWN_CHARS)).decode("utf-8", "replace")
            error = "" if answer.ok and answer.status < 300 else f"HTTP status {answer.status}"  # noqa: PLR2004  # redirects are no success
            return Outcome(error, time.monotonic() - began, output=text.strip())
    except TimeoutError:
        return Outcome(f"no answer within {action.timeout:g} s", time.monotonic() - began)
    except (aiohttp.ClientError, OSError) as error:
        return Outcome(f"the request failed: {error}", time.monotonic() - began)
