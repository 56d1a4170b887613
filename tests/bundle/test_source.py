"""A file is noticed to have changed, and never read half-written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from healer.bundle.source import FileSource, RedisSource
from healer.truth.problems import TruthError
from healer.truth.store import Location

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def looks(path: Path, *between: Callable[[], object]) -> list[bytes]:
    """Return what a watch reports when one thing is done after each look."""
    heard: list[bytes] = []
    todo = iter(between)

    async def note(raw: bytes) -> None:
        heard.append(raw)

    async def sleep(_: float) -> None:
        try:
            next(todo)()
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        await FileSource(path).watch(note, sleep=sleep)
    return heard


def nothing() -> None:
    pass


async def test_each_change_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("one")
    heard = await looks(path, nothing, nothing, lambda: path.write_text("twice"), nothing, nothing)
    assert heard == [b"one", b"twice"]


async def test_a_file_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("o")
    assert await looks(path, lambda: path.write_text("on"), lambda: path.write_text("one"), nothing) == [
        b"one"
    ]


async def test_a_file_touched_or_gone_for_a_while_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("one")
    back = lambda: path.write_text("one")  # noqa: E731  # reads as the others in the row
    assert await looks(path, nothing, nothing, path.unlink, nothing, back, nothing, nothing) == [b"one"]


async def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=r"no-such\.json"):
        await FileSource(tmp_path / "no-such.json").fetch()


def test_a_password_is_not_part_of_the_name() -> None:
    assert RedisSource(Location("redis://:secret@bus:6379", "truth:doc")).name == "redis://bus:6379 truth:doc"
