"""Counts errors in a log file from where it was last read, over rotation and truncation."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 4096
"""Bytes of a line that are looked at; the rest of it is read over."""

MOST_BYTES = 4 << 20
"""What is read of one log in one look; of a longer backlog the oldest part is skipped, and counted as skipped."""

HEAD = 64
"""Bytes at the beginning of a file by which one that was truncated and written anew is known."""


class ProbeError(Exception):
    """Something could not be looked at; the message says why."""


@dataclass
class Cursor:
    """Where a log file was left, and what was counted.

    Attributes:
        inode: Of the file that was read; 0: there was none.
        offset: Bytes of it that are done with.
        head: Its first bytes, hexadecimal.
        within: The line at `offset` was judged already; only its end is missing.
        errors: Lines with an error, ever.
        skipped: Bytes that were not looked at, ever.
    """

    inode: int = 0
    offset: int = 0
    head: str = ""
    within: bool = False
    errors: int = 0
    skipped: int = 0


class Tail:
    """One log file; its methods are for one thread at a time.

    Attributes:
        cursor: Where it was left.
        fresh: It could not be looked at yet, so nobody knows where it ends: `cursor` says nothing.
    """

    def __init__(self, path: str, pattern: str, cursor: Cursor | None, most: int = MOST_BYTES) -> None:
        """Go on at `cursor`; None begins at the end of the file, or at its beginning if it is yet to come."""
        self.cursor = cursor or Cursor()
        self._path = Path(path)
        self._errors = re.compile(pattern.encode())
        self.fresh = cursor is None
        self._file: int | None = None
        self._most = most

    def look(self) -> None:
        """Count what is new.

        Raises:
            ProbeError: The file cannot be read; the next look goes on where this one ended.
        """
        try:
            self._look()
        except OSError as error:
            raise ProbeError((error.strerror or "an error").lower()) from None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _look(self) -> None:
        if self._file is None and self.cursor.inode:
            self._file = self._left_behind()
        try:
            now = opened(self._path)
        except FileNotFoundError:
            self.fresh = False
            if self._file is not None:
                self._read(self._file)
            raise
        fresh, self.fresh = self.fresh, False
        if self._file is None or not os.path.sameopenfile(self._file, now):
            if self._file is not None:
                self._read(self._file, last=True)
                self.close()
            self._file = now
            status = os.fstat(now)
            self.cursor.inode, self.cursor.head, self.cursor.within = status.st_ino, "", False
            self.cursor.offset = status.st_size if fresh else 0
            if fresh:
                self._remember(now)
                self.cursor.within = status.st_size > 0 and os.pread(now, 1, status.st_size - 1) != b"\n"
        else:
            os.close(now)
        self._read(self._file)

    def _left_behind(self) -> int | None:
        """Return the file that was read before a restart, under its name or that of its rotation."""
        for path in (self._path, *sorted(self._path.parent.glob(f"{self._path.name}*"))[:100]):
            try:
                if path.stat().st_ino == self.cursor.inode:
                    file = opened(path)
                    if os.pread(file, len(self.cursor.head) // 2, 0).hex() == self.cursor.head:
                        return file
                    os.close(file)
            except (OSError, ProbeError):
                continue
        return None

    def _remember(self, file: int) -> None:
        self.cursor.head = os.pread(file, min(HEAD, self.cursor.offset), 0).hex()

    def _read(self, file: int, *, last: bool = False) -> None:
        cursor, size = self.cursor, os.fstat(file).st_size
        if size < cursor.offset or os.pread(file, len(cursor.head) // 2, 0).hex() != cursor.head:
            cursor.offset, cursor.head, cursor.within = 0, "", False
        if size - cursor.offset > self._most:
            cursor.skipped += size - self._most - cursor.offset
            cursor.offset, cursor.within = size - self._most, True
        data = os.pread(file, size - cursor.offset, cursor.offset)
        for line in self._lines(data, last=last):
            cursor.errors += self._errors.search(line) is not None
        self._remember(file)

    def _lines(self, data: bytes, *, last: bool) -> Iterator[bytes]:
        """Give each line that was not judged, cut; leave at the end what may still grow."""
        cursor, at = self.cursor, 0
        while (end := data.find(b"\n", at)) >= 0:
            if not cursor.within:
                yield data[at : min(end, at + LONGEST_LINE)]
            cursor.within = False
            at = end + 1
        rest = data[at:]
        if cursor.within or len(rest) >= LONGEST_LINE or (last and rest):
            if not cursor.within:
                yield rest[:LONGEST_LINE]
            cursor.within, at = True, len(data)
        cursor.offset += at


def opened(path: Path) -> int:
    """Return the descriptor of a file that is read, without waiting for whoever writes to a pipe.

    Raises:
        OSError: It cannot be read.
        ProbeError: It is no file.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ProbeError("not a file")
    return file
