"""The bundle on disk: written whole or not at all, and nothing left over from a truth before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from healer.bundle.render import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def write(files: Mapping[str, str], output: Path) -> list[str]:
    """Bring `output` in line with `files` and return the paths, relative to it, that changed; sorted.

    Each file is replaced atomically; one that is already right keeps its inode and times. Generated files
    that are no longer in `files` are removed; files without the generator's header are never touched.

    Raises:
        OSError: The folder cannot be written.
    """
    changed = stale(files, output)
    for name in changed:
        if name in files:
            _replace(output / name, files[name])
        else:
            (output / name).unlink()
    return changed


def stale(files: Mapping[str, str], output: Path) -> list[str]:
    """Return the paths in `output`, relative to it, that `write` would change; sorted, empty if none.

    Raises:
        OSError: The folder cannot be read.
    """
    wrong = {name for name, text in files.items() if _read(output / name) != text.encode()}
    return sorted(wrong | {name for name in _generated(files, output) if name not in files})


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _generated(files: Mapping[str, str], output: Path) -> Iterator[str]:
    """Yield what an earlier run left in the folders that `files` go to."""
    mark = HEADER.encode()
    for folder in sorted({name.partition("/")[0] for name in files if "/" in name}):
        for path in sorted((output / folder).rglob("*.yml")):
            with path.open("rb") as file:
                if file.read(len(mark)) == mark:
                    yield path.relative_to(output).as_posix()


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's 0600 would keep Prometheus, which runs as another user, from reading it.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
