"""Finds what is left of an action: by its id in a process's environment, and by its scope if it has one."""

from __future__ import annotations

from pathlib import Path

from healer.autoheal import scope

ID_VARIABLE = "HEALER_ACTION_ID"
"""Names the action in the environment of its command, and of everything that the command starts."""

MOST = 20
"""Survivors that are named."""


def survivors(id_: str) -> tuple[str, ...]:
    """Return the processes of action `id_` that still run, as `pid name`, whatever group or session they are in.

    Without a scope, one that cleared its environment, or that belongs to another user, is not seen.
    """
    inside = set(scope.members(id_))
    mark = f"{ID_VARIABLE}={id_}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # A dead process that nobody has waited for has an empty environment.
            if int(folder.name) in inside or mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(f"{folder.name} {(folder / 'comm').read_text().strip()}")
        except OSError:
            continue
    return tuple(sorted(found)[:MOST])
