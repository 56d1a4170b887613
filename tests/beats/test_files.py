"""Beats that are files: what changes beats, whatever time it claims."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

import pytest
import structlog
from tests.patience import until

from healer.beats import files
from healer.beats.board import Slot
from healer.beats.cadence import Cadence
from healer.beats.faults import Reason
from healer.beats.files import FileWatch, Presence, look
from healer.runtime.clock import SystemClock
from healer.truth.model import Bus, Service, Source


@pytest.fixture
async def watching(tmp_path):
    """A watch on `tmp_path/beat` and its slot."""
    path = str(tmp_path / "beat")
    slot = Slot(Service("backup", "file", path, 0.2, 1.0, Source.FILE))
    watch = FileWatch(Bus.of(Source.FILE), SystemClock())
    watch.assign({path: slot}, Cadence(0.05, 0.5))
    task = asyncio.create_task(watch.run())
    yield watch, slot, Path(path)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_touch_is_a_beat(watching) -> None:
    watch, slot, path = watching
    await until(lambda: slot.since is not None)
    assert (watch.up, slot.present, slot.last) == (True, False, None)
    path.touch()
    await until(lambda: slot.beats == 1)
    assert slot.present
    os.utime(path)
    await until(lambda: slot.beats == 2)
    assert abs(slot.skew) < 1
    path.unlink()
    await until(lambda: slot.present is False)
    assert slot.since is not None  # its absence is silence, and that is watched


async def test_a_file_found_at_the_first_look_was_touched_when_it_says(tmp_path, watching) -> None:
    watch, _, _ = watching
    old = tmp_path / "old"
    old.touch()
    os.utime(old, (time.time() - 100, time.time() - 100))
    slot = Slot(Service("old", "file", str(old), 0.2, 1.0, Source.FILE))
    watch.assign({str(old): slot}, Cadence(0.05, 0.5))
    await until(lambda: slot.beats == 1)
    assert abs(time.monotonic() - slot.last - 100) < 2


async def test_a_time_in_the_future_neither_beats_at_first_nor_blinds_later(tmp_path, watching) -> None:
    watch, _, _ = watching
    ahead = tmp_path / "ahead"
    ahead.touch()
    os.utime(ahead, (time.time() + 3600, time.time() + 3600))
    slot = Slot(Service("ahead", "file", str(ahead), 0.2, 1.0, Source.FILE))
    watch.assign({str(ahead): slot}, Cadence(0.05, 0.5))
    await until(lambda: slot.since is not None)
    await asyncio.sleep(0.2)  # several looks
    assert slot.last is None
    os.utime(ahead, (time.time() + 7200, time.time() + 7200))
    await until(lambda: slot.beats == 1)
    assert slot.last <= time.monotonic()
    assert slot.skew < -7000
    last = slot.last
    await asyncio.sleep(0.2)
    assert slot.last == last  # silence is silence, an hour before its time comes too
    os.utime(ahead)
    await until(lambda: slot.beats == 2)


async def test_what_cannot_be_looked_at_is_not_watched(tmp_path, watching) -> None:
    watch, _, _ = watching
    slot = Slot(Service("folder", "file", str(tmp_path), 0.2, 1.0, Source.FILE))
    with structlog.testing.capture_logs() as lines:
        watch.assign({str(tmp_path): slot}, Cadence(0.05, 0.5))
        await until(lambda: any("error" in line for line in lines))
        await asyncio.sleep(0.2)
    assert (slot.since, slot.present, slot.last) == (None, None, None)
    assert [line["error"] for line in lines if "error" in line] == ["it is no plain file"]


async def test_a_file_system_that_hangs_is_a_bus_that_is_down(watching, monkeypatch) -> None:
    watch, slot, path = watching
    await until(lambda: slot.since is not None)
    hanging, real, calls = threading.Event(), files.look_at_all, []

    def hang(paths):
        calls.append(paths)
        hanging.wait(10)
        return real(paths)

    monkeypatch.setattr(files, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(files, "look_at_all", hang)
    await until(lambda: not watch.up)
    assert slot.since is None
    await until(lambda: watch.faults.counts[Reason.TIMEOUT] >= 3)
    assert len(calls) == 1  # no thread more for each look
    path.touch()
    hanging.set()
    await until(lambda: watch.up and slot.present)
    assert watch.reconnects == 1


def test_a_look_never_raises(tmp_path) -> None:
    assert look(tmp_path / "no" / "such").presence is Presence.MISSING
    assert look("/etc/passwd/x").presence is Presence.MISSING
    assert look("\0").presence is Presence.HIDDEN
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert look(loop).presence is Presence.HIDDEN
    assert look("/etc/passwd").age(time.time()) > 0
