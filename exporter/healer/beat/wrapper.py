"""Runs a command as a shell would: hands on signals, leaves no zombie, ends with its exit status."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HANDED_ON = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
FROM_THE_KERNEL = 0x80
"""`si_code` of a signal that the terminal sent: to the whole foreground group, so the command has it already."""

NOT_FOUND = 127
NOT_EXECUTABLE = 126
KILLED = 128


class CommandError(Exception):
    """The command could not be started; `status` is what a shell would end with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run(command: Sequence[str], started: Callable[[], object]) -> int:
    """Run `command` to its end and return its exit status, 128 and the signal's number if one killed it.

    Args:
        command: Program and arguments.
        started: Called once it runs; threads that it starts leave the signals to us.

    Raises:
        CommandError: There is no such program, or it may not be run.
    """
    waited_for = {*HANDED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    try:
        pid = _spawn(command, before)
        started()
        while True:
            came = signal.sigwaitinfo(waited_for)
            if came.si_signo == signal.SIGCHLD:
                status = _reap(pid)
                if status is not None:
                    return status
            elif came.si_code != FROM_THE_KERNEL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, came.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(command: Sequence[str], mask: set[signal.Signals | int]) -> int:
    try:
        # Python ignores SIGPIPE and SIGXFSZ for itself; the command gets the defaults.
        return os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            setsigmask=mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except FileNotFoundError:
        raise CommandError(f"{command[0]}: command not found", NOT_FOUND) from None
    except OSError as error:
        raise CommandError(f"{command[0]}: {(error.strerror or '').lower()}", NOT_EXECUTABLE) from None


def _reap(pid: int) -> int | None:
    """Take the status of every child that ended (as init, there are others'); return that of `pid`, if it did."""
    result = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if ended == 0:
            return result
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            result = code if code >= 0 else KILLED - code
