"""A set of files replaced as one: staged beside the old, renamed in a row, and put back if somebody refuses it.

What was replaced is kept until the new set is confirmed, and a journal says so. Whoever is killed half-way finds
the journal at the next start and puts the old set back first.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING, Self

from healer.bundle.files import refuse_foreign, stale, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

FOLDER = ".watch"
"""Where the lock, the journal, what is staged and what was replaced are, in the folder of the bundle."""


class LockedError(Exception):
    """Another process keeps the folder; the message says which."""


class Swap:
    """Keeps the files of one folder, alone; use it as a context.

    Attributes:
        staged: The folder that `stage` fills; it has the layout of the bundle.
    """

    def __init__(self, output: Path) -> None:
        """Lock `output`, creating it if need be, and undo what an earlier process did not get confirmed.

        Raises:
            LockedError: Another process keeps it.
            OSError: The folder cannot be written.
        """
        folder = output / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.staged = folder / "new"
        self._output = output
        self._old = folder / "old"
        self._journal = folder / "journal.json"
        self._lock = (folder / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            pid = self._lock.read().strip()
            self._lock.close()
            raise LockedError(
                f"{output} is kept by another `healer bundle --watch`, pid {pid or 'unknown'}."
                " Stop that one, or choose another --output."
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        self.undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def stage(self, files: Mapping[str, str]) -> None:
        """Write `files` to `staged`, and nothing else there.

        Raises:
            OSError: The folder cannot be written.
        """
        shutil.rmtree(self.staged, ignore_errors=True)
        write(files, self.staged)

    def stale(self, files: Mapping[str, str]) -> list[str]:
        """Return the paths that `commit` would change, empty if none.

        Raises:
            OSError: The folder cannot be read.
        """
        return stale(files, self._output)

    def differing(self, files: Mapping[str, str]) -> list[str]:
        """Return those of `stale` whose meaning would change: the first line of a file only says its origin.

        Raises:
            OSError: The folder cannot be read.
        """
        return [name for name in self.stale(files) if self._body(name) != _body(files.get(name))]

    def commit(self, files: Mapping[str, str]) -> list[str]:
        """Put the staged `files` in the place of the old, all or none, and return the paths that changed.

        Until `confirm`, `undo` brings back what was there at the last `confirm`.

        Raises:
            BundleError: A file that is not generated stands where one has to be written.
            OSError: One could not be replaced; the old files are there.
        """
        refuse_foreign(files, self._output)
        changed = self.stale(files)
        if not changed:
            return []
        kept = self._read_journal()
        for name in changed:
            if name not in kept:
                kept[name] = self._keep(name)
        self._write_journal(kept)
        try:
            for name in changed:
                path = self._output / name
                if name in files:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    (self.staged / name).replace(path)
                else:
                    path.unlink()
        except OSError:
            self.undo()
            raise
        return changed

    def confirm(self) -> None:
        """Forget the old files."""
        self._journal.unlink(missing_ok=True)
        for folder in (self._old, self.staged):
            shutil.rmtree(folder, ignore_errors=True)

    def undo(self) -> list[str]:
        """Bring back what was there at the last `confirm`; return the paths that changed, empty if none did.

        Raises:
            OSError: The folder cannot be written; calling it again goes on.
        """
        kept = self._read_journal()
        for name, existed in kept.items():
            if not existed:
                (self._output / name).unlink(missing_ok=True)
            elif (self._old / name).exists():
                (self._old / name).replace(self._output / name)
        self.confirm()
        return sorted(kept)

    def _body(self, name: str) -> str | None:
        try:
            return _body((self._output / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _keep(self, name: str) -> bool:
        """Copy a file for `undo`; return whether there was one."""
        copy = self._old / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(self._output / name, copy)
        except FileNotFoundError:
            return False
        return True

    def _read_journal(self) -> dict[str, bool]:
        try:
            kept: dict[str, bool] = json.loads(self._journal.read_bytes())
        except FileNotFoundError:
            return {}
        return kept

    def _write_journal(self, kept: Mapping[str, bool]) -> None:
        temporary = self._journal.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._journal)


def _body(text: str | None) -> str | None:
    return None if text is None else text.partition("\n")[2]
