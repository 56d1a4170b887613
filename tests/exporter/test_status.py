"""What the status page says of a service, and how little it costs to say it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from healer.beats.board import Board
from healer.exporter import status
from healer.exporter.status import MEANINGS, State, Survey, judge
from healer.runtime.clock import Anchor
from healer.truth.model import Service

EPOCH = 1_700_000_000.0


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now


def service(name: str, bus: str = "bus", interval: float = 10.0, timeout: float = 30.0) -> Service:
    return Service(name, bus, f"{name}:heartbeat", interval, timeout)


def wiring(*services: Service, deaf: tuple[str, ...] = ()) -> Any:
    """Return the parts of a running exporter that are shown, every service listened to since 0."""
    board = Board()
    board.adopt(services)
    for slot in board:
        slot.since = 0.0
    names = sorted({service.bus for service in services})
    listeners = {name: SimpleNamespace(up=name not in deaf, loopback=990.0, reconnects=2) for name in names}
    truth = SimpleNamespace(sha256="ab" * 32, version="7")
    return SimpleNamespace(board=board, listeners=listeners, truth=truth, adopted_at=1.0, successful=True)


def survey(exporter: Any) -> Survey:
    clock = Clock()
    return Survey(exporter, Anchor(clock), clock)


@pytest.mark.parametrize(
    ("last", "since", "hearing", "state"),
    [
        (995.0, 0.0, True, State.BEATING),
        (985.0, 0.0, True, State.BEATING),  # 15 s: one and a half intervals
        (984.9, 0.0, True, State.OVERDUE),
        (970.0, 0.0, True, State.OVERDUE),  # 30 s: the timeout itself
        (969.9, 0.0, True, State.PAST),
        (969.9, 990.0, True, State.WAITING),  # listened to again for 10 s only
        (None, 990.0, True, State.WAITING),
        (None, 977.5, True, State.NEVER),  # the warm-up is 22.5 s
        (None, None, True, State.UNWATCHED),
        (999.0, None, True, State.UNWATCHED),
        (999.0, 0.0, False, State.UNWATCHED),
        (900.0, 0.0, False, State.UNWATCHED),
    ],
)
def test_a_service_is_judged_by_its_age_and_by_who_listens(last, since, hearing, state) -> None:
    board = Board()
    board.adopt([service("mesh")])
    (slot,) = board
    slot.last, slot.since = last, since
    assert judge(slot, 1000.0, hearing=hearing) is state


def test_every_state_has_a_meaning() -> None:
    assert list(MEANINGS) == list(State)


async def test_the_worst_come_first_and_then_names_in_order() -> None:
    exporter = wiring(*map(service, "abcd"), service("e", "deaf"), deaf=("deaf",))
    for slot, last in zip(exporter.board, [999.0, None, 980.0, 900.0, 999.0], strict=True):
        slot.last = last
    view = await survey(exporter).take()
    assert [(row.svc, row.state) for row in view.rows] == [
        ("d", State.PAST),
        ("b", State.NEVER),
        ("e", State.UNWATCHED),
        ("c", State.OVERDUE),
        ("a", State.BEATING),
    ]
    assert view.head.counts == {**dict.fromkeys(State, 1), State.WAITING: 0}
    assert view.head.total == 5


async def test_instants_are_epoch_seconds_on_the_exporter_s_clock() -> None:
    exporter = wiring(service("mesh"))
    next(iter(exporter.board)).last = 990.5
    view = await survey(exporter).take()
    assert (view.head.at, view.rows[0].last, view.rows[0].since) == (EPOCH + 1000, EPOCH + 990.5, EPOCH)
    (bus,) = view.head.buses
    assert (bus.name, bus.hearing, bus.loopback, bus.reconnects, bus.services) == (
        "bus",
        True,
        EPOCH + 990,
        2,
        1,
    )
    assert view.head.truth.sha256 == "ab" * 32


async def test_before_the_first_truth_there_is_nothing_to_show() -> None:
    exporter = SimpleNamespace(board=Board(), listeners={}, truth=None, adopted_at=None, successful=False)
    view = await survey(exporter).take()
    assert (view.rows, view.head.total, view.head.truth.sha256) == ([], 0, "")


async def test_of_too_many_services_the_worst_are_shown(monkeypatch) -> None:
    monkeypatch.setattr(status, "MOST_ROWS", 2)
    exporter = wiring(*map(service, "abcd"))
    for slot, last in zip(exporter.board, [999.0, 999.0, 999.0, 900.0], strict=True):
        slot.last = last
    view = await survey(exporter).take()
    assert [row.svc for row in view.rows] == ["d", "a"]
    assert view.head.total == 4
    assert view.head.counts[State.BEATING] == 3


async def test_a_survey_of_many_services_lets_the_beats_through() -> None:
    exporter = wiring(*(service(f"svc-{number}") for number in range(20_000)))
    taking = asyncio.create_task(survey(exporter).take())
    turns, longest = 0, 0.0
    while not taking.done():
        begun = time.perf_counter()
        await asyncio.sleep(0)
        longest, turns = max(longest, time.perf_counter() - begun), turns + 1
    assert turns >= 20_000 / status.SLICE
    assert longest < 0.1
