"""Beats that are files: a service touches or writes one, and its modification time is looked at in regular turns.

A file beats when its modification time changes, and counts as touched when that was noticed: a file whose time is
in the future would otherwise look alive until then. Only at the first look the time itself is taken, if it is not
ahead. `look` stands by itself, for whoever else has a heartbeat file to judge.
"""

from __future__ import annotations

import asyncio
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from healer.beats.faults import DeafError
from healer.beats.watching import Watching
from healer.runtime.tasks import aside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.beats.board import Slot
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus

LONGEST_PERIOD = 1.0
"""Seconds between two looks, at most."""

LOOK_SECONDS = 2.0
"""How long looking at all files may take: on a network's file system it can hang for good."""

FUTURE_SECONDS = 2.0
"""So much a file's time may be ahead at the first look: file systems have clocks, and grains, of their own."""


class Presence(StrEnum):
    """Whether a heartbeat file is there."""

    THERE = "there"
    MISSING = "missing"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look at a file saw.

    Attributes:
        presence: MISSING: there is no such file. HIDDEN: it cannot be told, or it is no plain file.
        mtime: Its modification time in epoch nanoseconds; 0 unless it is there.
        problem: Why it is hidden; else empty.
    """

    presence: Presence
    mtime: int = 0
    problem: str = ""

    def age(self, wall: float) -> float:
        """Return seconds since the modification as of `wall` (epoch seconds); negative if it is in the future."""
        return wall - self.mtime / 1e9


def look(path: str | Path) -> Sighting:
    """Look at a file; never raises. It may block for as long as the file system does."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return Sighting(Presence.MISSING)
    except (OSError, ValueError) as error:
        return Sighting(Presence.HIDDEN, problem=(getattr(error, "strerror", None) or str(error)).lower())
    if not stat.S_ISREG(found.st_mode):
        return Sighting(Presence.HIDDEN, problem="it is no plain file")
    return Sighting(Presence.THERE, found.st_mtime_ns)


def look_at_all(paths: Iterable[str]) -> dict[str, Sighting]:
    """Look at several files."""
    return {path: look(path) for path in paths}


class FileWatch(Watching):
    """Watches heartbeat files; a `healer.beats.source.Source`."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        super().__init__(bus, clock)
        self._seen: dict[str, tuple[Slot, Sighting]] = {}
        self._looking: asyncio.Task[dict[str, Sighting]] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._turn()
            except (TimeoutError, DeafError) as error:
                self._seen = {}
                self.failed(error)
            await asyncio.sleep(min(LONGEST_PERIOD, self.cadence.period))

    async def _turn(self) -> None:
        sightings = await self._look()
        now, wall = self.clock.monotonic(), self.clock.wall()
        if (silence := self.stalled(now)) is not None:
            raise DeafError(f"files not looked at for {silence:.1f} s")
        self.open_eyes(now)
        before, self._seen = self._seen, {}
        for path, slot in self.slots.items():
            if (sighting := sightings.get(path)) is not None:
                known = before.get(path)
                self._compare(slot, known[1] if known and known[0] is slot else None, sighting, (now, wall))
                self._seen[path] = (slot, sighting)

    async def _look(self) -> dict[str, Sighting]:
        """Look in a thread; raise TimeoutError, and look no more until it is back, if it hangs."""
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=LOOK_SECONDS)
            if not self._looking.done():
                raise TimeoutError("the file system does not answer")
        paths = tuple(self.slots)
        self._looking = asyncio.ensure_future(aside(lambda: look_at_all(paths)))
        await asyncio.wait({self._looking}, timeout=LOOK_SECONDS)
        if not self._looking.done():
            raise TimeoutError("the file system does not answer")
        done, self._looking = self._looking, None
        return done.result()

    def _compare(
        self, slot: Slot, before: Sighting | None, sighting: Sighting, at: tuple[float, float]
    ) -> None:
        now, wall = at
        if sighting.presence is Presence.HIDDEN:
            slot.present = slot.since = None
            if before is None or before.presence is not Presence.HIDDEN:
                self.log.warning("file cannot be watched", svc=slot.name, error=sighting.problem)
            return
        if slot.since is None:
            slot.listen(now)
        slot.present = sighting.presence is Presence.THERE
        if not slot.present or (before is not None and before.mtime == sighting.mtime):
            return
        if before is None or before.presence is Presence.HIDDEN:
            age = sighting.age(wall)
            last = now - max(age, 0.0)
            if age > -FUTURE_SECONDS and (slot.last is None or last > slot.last):
                slot.note(last)
            return
        slot.note(now)
        slot.skew = sighting.age(wall)
