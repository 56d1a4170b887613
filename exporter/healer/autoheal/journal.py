"""The record on disk: lines of JSON, each safe on the disk before anything is done about it.

What cannot be read is not guessed at, and what cannot be written stops everything: a fault stays until the file
has been proven writable again. One process holds the file; a second one is refused.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from healer.autoheal.events import Event, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ROTATE_BYTES = 64 << 20
"""A file that grew beyond this is put aside as `.1`; what still matters is carried over."""


class JournalError(Exception):
    """The record cannot be read or written; the message says where and why."""


class Journal:
    """An open record.

    Attributes:
        path: Where it is.
        fault: Why it cannot be written, or None.
        last: When the newest event happened (epoch seconds), or 0.
    """

    def __init__(
        self,
        path: Path,
        keep: Callable[[Sequence[Event]], Sequence[Event]],
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        """Make a journal that has yet to be opened.

        Args:
            path: The file; its folder is made if need be.
            keep: Chooses what is carried over into a new file.
            rotate_bytes: The size beyond which there is a new file.
        """
        self.path = path
        self.fault: str | None = None
        self.last = 0.0
        self._keep = keep
        self._file = -1
        self._good = 0
        self._rotate_at = rotate_bytes
        self._seq = 0
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[list[Event]]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(component="journal")

    def open(self) -> list[Event]:
        """Lock the file and return what is in it; a last line that was cut off never counted and is removed.

        Raises:
            JournalError: It cannot be read or written, another process has it, or a line in it is broken.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = _open_locked(self.path)
            events, self._good = _read(self._file, self.path)
            os.ftruncate(self._file, self._good)
            os.fsync(self._file)
            _sync_folder(self.path)
        except BlockingIOError:
            raise JournalError(f"{self.path}: another autoheal has it; two would act twice") from None
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror or error}") from None
        if events:
            self._seq = events[-1].seq
            self.last = events[-1].ts
        return events

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def append(self, *events: Event) -> list[Event]:
        """Put `events` on the disk, all or none of them, and return them numbered.

        Those that come meanwhile share the next write.

        Raises:
            JournalError: They are not on record. Nothing must be done about them.
        """
        if self.fault is not None:
            raise JournalError(self.fault)
        done: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="journal")
        # The write goes on when the one who waits is cancelled: it may be on the disk already.
        return await asyncio.shield(done)

    async def heal(self) -> bool:
        """Try to write again after a fault; return whether the record is sound."""
        if self.fault is None:
            return True
        try:
            await asyncio.to_thread(self._rewind)
        except OSError as error:
            self.fault = f"{self.path}: {error.strerror or error}"
            return False
        self._log.info("the record can be written again")
        self.fault = None
        return True

    async def _flush(self) -> None:
        while self._waiting:
            batches, self._waiting = self._waiting, []
            numbered = [[self._numbered(event) for event in events] for events, _ in batches]
            lines = b"".join(encode(event) + b"\n" for events in numbered for event in events)
            try:
                if self.fault is not None:
                    raise JournalError(self.fault)
                await asyncio.to_thread(self._write, lines)
            except (OSError, JournalError) as error:
                self._fail(error, batches)
                continue
            for (_, done), events in zip(batches, numbered, strict=True):
                if events:
                    self.last = events[-1].ts
                if not done.done():
                    done.set_result(events)

    def _numbered(self, event: Event) -> Event:
        self._seq += 1
        return replace(event, seq=self._seq)

    def _fail(
        self, error: Exception, batches: Sequence[tuple[Sequence[Event], asyncio.Future[list[Event]]]]
    ) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if self.fault is None:
            self.fault = f"{self.path}: {reason}"
            self._log.error("the record cannot be written; nothing runs until it can", reason=self.fault)
        self._seq -= sum(len(events) for events, _ in batches)
        for _, done in batches:
            if not done.done():
                done.set_exception(JournalError(self.fault))
                done.exception()  # whoever waited may be gone

    def _write(self, lines: bytes) -> None:
        self._check_place()
        view = memoryview(lines)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)
        self._good += len(lines)
        if self._good > self._rotate_at:
            try:
                self._rotate()
            except (OSError, JournalError) as error:
                # The events are on record where they are; a larger file does no harm.
                self._log.warning("the record could not be put aside", reason=str(error))
                self._rotate_at = self._good + ROTATE_BYTES

    def _check_place(self) -> None:
        # A file that was moved or deleted under us still takes writes, which nobody would ever read.
        if not os.path.samestat(self.path.stat(), os.fstat(self._file)):
            raise OSError(errno.ESTALE, "it was replaced by another file; restart autoheal")

    def _rewind(self) -> None:
        """Remove what a failed write left behind, and prove that the disk takes a write."""
        self._check_place()
        os.ftruncate(self._file, self._good)
        os.posix_fallocate(self._file, self._good, 4096)
        os.ftruncate(self._file, self._good)
        os.fsync(self._file)

    def _rotate(self) -> None:
        """Put the file aside and go on in a new one; at every moment there is a whole record at `path`."""
        events, _ = _read(self._file, self.path)
        lines = b"".join(encode(event) + b"\n" for event in self._keep(events))
        fresh, aside = (
            self.path.with_name(self.path.name + ".new"),
            self.path.with_name(self.path.name + ".1"),
        )
        fresh.unlink(missing_ok=True)
        file = _open_locked(fresh)
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
            aside.unlink(missing_ok=True)
            aside.hardlink_to(self.path)
            fresh.replace(self.path)
            _sync_folder(self.path)
        except BaseException:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._good = file, len(lines)


def _open_locked(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _read(file: int, path: Path) -> tuple[list[Event], int]:
    """Return the events in `file`, and where its last whole line ends."""
    events: list[Event] = []
    end = 0
    with os.fdopen(os.dup(file), "rb") as reader:
        reader.seek(0)
        for number, line in enumerate(reader, 1):
            if not line.endswith(b"\n"):
                break
            try:
                events.append(decode(line))
            except ValueError as error:
                raise JournalError(
                    f"{path}:{number}: this line is no event ({error}), so nobody knows what ran. Move the file"
                    " away to begin a new record; cooldowns and the breaker then begin anew."
                ) from None
            end += len(line)
    return events, end


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
