"""Gives a command a cgroup of its own, a transient systemd scope, which nothing that it starts can leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SYSTEMD_RUN = Path("/usr/bin/systemd-run")
PROBE_SECONDS = 5.0
_ODD = "${HOME}$$%n"
"""What systemd-run might expand; an argument has to come out of it as it went in."""


class Cgroup(StrEnum):
    """AUTOHEAL_CGROUP: whether commands run in scopes."""

    AUTO = "auto"
    SYSTEMD = "systemd"
    NONE = "none"


class ScopeError(Exception):
    """Scopes were asked for and there are none; the message says why."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """A systemd that makes scopes: `prefix` is the command line that asks it for one."""

    prefix: tuple[str, ...]

    def wrap(self, id_: str, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that runs `argv`, unchanged and with this process as parent, in a scope of its own."""
        return (*self.prefix, f"--unit={unit(id_)}", "--", *argv)


def unit(id_: str) -> str:
    """Return the name of the scope of action `id_`."""
    return f"healer-action-{id_}.scope"


def find(choice: Cgroup, program: Path = SYSTEMD_RUN) -> Scopes | None:
    """Return what makes scopes, or None: commands then run in process groups only.

    It is found out by making one, for a systemd-run may be installed where no systemd runs, or not be granted
    any to whom autoheal runs as. With `--expand-environment=no` first: newer ones expand `${…}` without.

    Args:
        choice: `auto` takes what there is.
        program: systemd-run.

    Raises:
        ScopeError: `choice` is `systemd`, and there is none.
    """
    if choice is Cgroup.NONE:
        return None
    reason = ""
    for more in (("--expand-environment=no",), ()):
        prefix = (str(program), "--scope", "--quiet", "--collect", "--no-ask-password", *more)
        reason = _fault(prefix)
        if not reason:
            return Scopes(prefix)
    if choice is Cgroup.SYSTEMD:
        raise ScopeError(
            f"AUTOHEAL_CGROUP is systemd, but {program} makes no scope: {reason}. Run autoheal as root, have polkit"
            " grant its user org.freedesktop.systemd1.manage-units, or set AUTOHEAL_CGROUP=none."
        )
    return None


def _fault(prefix: tuple[str, ...]) -> str:
    """Return why a trial scope did not work, or nothing."""
    argv = (*prefix, "--", "/bin/echo", _ODD)
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or "no answer in time"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").split("\n")
        return next(
            (line.strip() for line in reversed(said) if line.strip()), f"exit status {done.returncode}"
        )
    return "" if done.stdout == f"{_ODD}\n".encode() else "it changes arguments"


def members(id_: str) -> list[int]:
    """Return the processes that run in the scope of action `id_`; the dead whom nobody has waited for do not count."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _inside(folder, unit(id_))]


def signal_members(id_: str, signum: signal.Signals) -> None:
    """Send `signum` to everyone in the scope of action `id_`, whatever session or group they are in."""
    for pid in members(id_):
        # By a handle, and looked at again: the number may be somebody else's by now.
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if _inside(Path("/proc", str(pid)), unit(id_)):
                    signal.pidfd_send_signal(handle, signum)
            finally:
                os.close(handle)


def _inside(folder: Path, name: str) -> bool:
    with contextlib.suppress(OSError, IndexError):
        if any(name in line.split("/") for line in (folder / "cgroup").read_text().splitlines()):
            return (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False
