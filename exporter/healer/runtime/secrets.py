"""Reads a secret from a file of its own: one line, which not everybody may read."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 4096
"""Bytes of a file with a secret."""


class SecretError(Exception):
    """The file cannot be used; the message names it and says what to do, and holds nothing of what is in it."""


def exposed(path: Path) -> str | None:
    """Return why the file must not be used, as far as its mode tells; None also for one that is not here."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode):
        return f"{path} is not a file."
    if mode & stat.S_IRWXO:
        return f"{path}: everybody may read it. Run: chmod o-rwx {path}"
    return None


def read(path: Path) -> str:
    """Return the secret, without the white space around it.

    Raises:
        SecretError: Everybody may read the file, it cannot be read, or it is not one line of text.
    """
    if reason := exposed(path):
        raise SecretError(reason)
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {(error.strerror or 'an error').lower()}.") from None
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if len(raw) > LONGEST or not text or not text.isprintable():
        raise SecretError(f"{path}: expected one line of text, {LONGEST} bytes at most.")
    return text
