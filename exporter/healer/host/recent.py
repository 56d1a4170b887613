"""Counts the errors of the last minutes in a log at one look, without a cursor that anybody keeps."""

from __future__ import annotations

import glob
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from healer.host.journal import entries, newest
from healer.host.tail import HEAD, Cursor, ProbeError, Tail, opened

if TYPE_CHECKING:
    from healer.truth.machines import Log

MOST_BYTES = 16 << 20
"""What is read of a log file at most; if not all recent lines are within it, nobody knows how many errors there are."""

MOST_ROTATED = 100
"""Files beside the log that are looked at for its rotation."""

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,]\d+)?(Z| ?[+-]\d\d:?\d\d)?")
_WHERE = 128
"""Bytes at the beginning of a line in which its time has to be."""

_PACKED = (".gz", ".xz", ".bz2", ".zst", ".lz4")


def errors_since(log: Log, since: float) -> int:
    """Return how many errors were logged since `since` (epoch seconds).

    A line counts by the time that it bears; one without belongs to the one before it.

    Raises:
        ProbeError: Nobody can tell.
    """
    if log.path is None:
        found = entries(["--system", "-u", str(log.unit), "-p", "err", f"--since=@{int(since)}"])
        if not found:
            newest()  # else a journal that is not there would be one without errors
        return len(found)
    try:
        cursor = _begin(Path(log.path), since)
    except OSError as error:
        raise ProbeError((error.strerror or "an error").lower()) from None
    if cursor is None:
        return 0
    tail = Tail(log.path, log.pattern, cursor, MOST_BYTES)
    try:
        tail.look()
    finally:
        tail.close()
    if tail.cursor.skipped:
        raise ProbeError(f"more than {MOST_BYTES >> 20} MiB are recent, too much to look at")
    return tail.cursor.errors


def _begin(path: Path, since: float) -> Cursor | None:
    """Return where the lines since `since` begin, in the file or its rotation; None: there are none."""
    file = opened(path)
    try:
        if os.fstat(file).st_mtime < since:
            return None
        offset = _offset(file, since)
        rotated = _rotated(path, file, since) if offset == 0 else []
        if rotated:
            os.close(file)
            file = opened(rotated[0])
            offset = _offset(file, since)
            if offset == 0 and len(rotated) > 1:
                raise ProbeError(f"it was rotated {len(rotated)} times lately, too much to look at")
        head = os.pread(file, min(HEAD, offset), 0).hex()
        return Cursor(os.fstat(file).st_ino, offset, head)
    finally:
        os.close(file)


def _rotated(path: Path, file: int, since: float) -> list[Path]:
    """Return the files that were the log before this one and were written to since, the newest first."""
    found = []
    for each in sorted(path.parent.glob(f"{glob.escape(path.name)}*"))[:MOST_ROTATED]:
        status = each.stat()
        if not os.path.samestat(status, os.fstat(file)) and status.st_mtime >= since:
            found.append((status.st_mtime, each))
    rotated = [each for _, each in sorted(found, reverse=True)]
    if rotated and rotated[0].name.endswith(_PACKED):
        raise ProbeError(f"recent lines are in {rotated[0].name}, which is compressed")
    return rotated


def _offset(file: int, since: float) -> int:
    """Return where the first line since `since` begins, after the last that is older."""
    size = os.fstat(file).st_size
    at = max(0, size - MOST_BYTES)
    data = os.pread(file, size - at, at)
    line = 0 if at == 0 else data.find(b"\n") + 1
    begin: int | None = None
    older = newer = False
    while line < len(data):
        end = data.find(b"\n", line) + 1 or len(data)
        stamp = _stamp(data[line : min(end, line + _WHERE)])
        if stamp is not None and stamp < since:
            older, begin = True, None
        elif stamp is not None:
            newer = True
            begin = at + line if begin is None else begin
        line = end
    if size and not older and not newer:
        raise ProbeError("its lines bear no time: nobody knows which are recent")
    if not older and at:
        raise ProbeError(f"more than {MOST_BYTES >> 20} MiB are recent, too much to look at")
    if not older:
        return 0
    return size if begin is None else begin


def _stamp(line: bytes) -> float | None:
    """Return the time that a line bears, in epoch seconds; without a zone it is this machine's."""
    found = _STAMP.search(line)
    if found is None:
        return None
    zone = (found[3] or b"").strip().decode()
    try:
        return datetime.fromisoformat(f"{found[1].decode()}T{found[2].decode()}{zone}").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
