"""Whatever answers on a bus's port, and whenever it begins to answer nonsense: a failure with a reason, and no end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from tests.odd import NONSENSE, Odd
from tests.patience import until

from healer.beats.bus import BusListener
from healer.beats.cadence import Cadence
from healer.beats.faults import Reason
from healer.beats.wire import Wire
from healer.truth.model import Source

from .conftest import service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import Listening


@pytest.mark.parametrize("good", range(5))
async def test_nonsense_is_a_failure_of_its_bus_and_ends_no_listener(
    good: int, listening: Callable[..., Awaitable[Listening]]
) -> None:
    polled = replace(service("cache"), source=Source.KEY)

    async def listen(nonsense: bytes) -> None:
        async with Odd(good, nonsense).serving() as url:
            ears = await listening(url, service("mesh"), polled)
            ears.listener.assign(ears.slots, Cadence(0.1, 0.3))
            await until(lambda: any(ears.listener.faults.counts.values()))
            assert not ears.listener.up

    with structlog.testing.capture_logs() as lines:
        await asyncio.gather(*map(listen, NONSENSE.values()))
    assert not [line for line in lines if line["log_level"] == "error"]


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_from_sentinels_and_clusters_is_a_failure_of_the_bus(
    nonsense: bytes, listening: Callable[..., Awaitable[Listening]]
) -> None:
    async with Odd(2, nonsense).serving() as url:
        for kind, rest in (("sentinel", "/main/0"), ("cluster", ""), ("cluster", "?sharded=true")):
            ears = await listening(url.replace("redis://", f"redis+{kind}://") + rest, service("mesh"))
            await until(lambda ears=ears: any(ears.listener.faults.counts.values()))
            assert not ears.listener.up


async def test_a_fault_of_ours_is_told_with_its_place_and_tried_again(
    listening: Callable[..., Awaitable[Listening]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: str) -> Wire:
        raise AssertionError("a bug")

    monkeypatch.setattr(Wire, "connect", broken)
    with structlog.testing.capture_logs() as lines:
        ears = await listening("redis://127.0.0.1", service("mesh"))
        assert isinstance(ears.listener, BusListener)
        await until(lambda: ears.listener.faults.counts[Reason.OTHER] == 2)
    (told,) = [line for line in lines if line["log_level"] == "error"]
    assert told["event"] == "internal error; please report it"
    assert told["exc_info"]
