"""The one switch that stops everything: a file that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_on(path: Path) -> bool:
    """Return whether the kill switch at `path` is on; when that cannot be told, it is."""
    try:
        path.lstat()
    except FileNotFoundError:
        # Only a folder that is there can say that the file is not.
        return not path.parent.is_dir()
    except OSError:
        return True
    return True
