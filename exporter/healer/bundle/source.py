"""Where a watched truth comes from: a key in Redis, or a file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from healer.truth import store
from healer.truth.load import read_file
from healer.truth.problems import TruthError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from healer.truth.store import Location

FILE_SECONDS = 0.5
"""Time between two looks at a file."""


class Source(Protocol):
    """A document that may change."""

    @property
    def name(self) -> str:
        """What it is called in messages; holds no secret."""

    async def fetch(self) -> bytes:
        """Return the document.

        Raises:
            StoreError: Redis does not hand it out.
            TruthError: The file cannot be read.
        """

    async def watch(
        self,
        on_change: Callable[[bytes], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Call `on_change` with the document now and whenever it changed, until cancelled."""


class RedisSource:
    """The truth of the running system."""

    def __init__(self, place: Location) -> None:
        self._place = place

    @property
    def name(self) -> str:
        """URL and key, without the password."""
        return repr(self._place)

    async def fetch(self) -> bytes:
        """Return the document; raises as `Source.fetch`."""
        return await store.fetch(*self._place)

    async def watch(
        self,
        on_change: Callable[[bytes], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Watch the key."""
        await store.watch(*self._place, on_change, sleep=sleep)


class FileSource:
    """A file, known to have changed by its stamps and then by what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    async def fetch(self) -> bytes:
        """Return the document; raises as `Source.fetch`."""
        return read_file(self._path)

    async def watch(
        self,
        on_change: Callable[[bytes], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Watch the file; it is read once two looks have found it the same, so never half-written."""
        log = structlog.get_logger(component="truth")
        before: tuple[int, ...] | None = ()
        read: tuple[int, ...] | None = ()
        known: bytes | None = None
        while True:
            stamps = self._stamps()
            if stamps == before and stamps != read:
                read = stamps
                try:
                    raw = read_file(self._path)
                except TruthError as error:
                    log.warning("truth cannot be read, trying on", reason=str(error))
                else:
                    if raw != known:
                        known = raw
                        await on_change(raw)
            before = stamps
            await sleep(FILE_SECONDS)

    def _stamps(self) -> tuple[int, ...] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
