"""Ties a program's life to its parent's: run as a script, it asks the kernel for that and becomes the program.

`python tether.py PARENT_PID PROGRAM ARGUMENT...`. The kernel kills the program when the parent is gone,
even by SIGKILL, when no cleanup code runs. Done here and not between fork and exec of the parent, where
no Python code is safe once there are threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(parent: int, argv: list[str]) -> None:
    """Replace this process by `argv`, to be killed when `parent` (a process id) ends.

    Raises:
        OSError: The kernel refused, or the program cannot be run.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        return  # the parent ended before the kernel knew of the tie
    os.execv(argv[0], argv)  # noqa: S606  an argument list, no shell


if __name__ == "__main__":
    try:
        tether(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[2]}: {error}")
