"""What the board remembers of a service."""

from __future__ import annotations

from dataclasses import replace

from healer.beats.board import Board, Slot
from healer.beats.decode import Invalid
from healer.truth.model import Service

MESH = Service(name="mesh", bus="system-redis", channel="mesh:heartbeat", interval=10, timeout=30)
WALL = 1_762_433_458.0


def hear(slot: Slot, *payloads: bytes, now: float = 100.0) -> None:
    for payload in payloads:
        slot.hear(payload, now, WALL)


def test_a_beat_is_heard_at_its_receipt_whatever_its_ts_says() -> None:
    slot = Slot(MESH)
    hear(slot, b'{"svc":"mesh","i":1,"ts":253402300799}', now=100.0)
    assert (slot.last, slot.beats) == (100.0, 1)
    assert slot.skew == WALL - 253402300799


def test_a_beat_without_ts_leaves_the_skew_as_it_was() -> None:
    slot = Slot(MESH)
    hear(slot, b'{"ts":1762433456}', b"{}")
    assert slot.skew == 2.0


def test_a_gap_in_the_counter_is_lost_beats() -> None:
    slot = Slot(MESH)
    hear(slot, b'{"i":1}', b'{"i":2}', b'{"i":5}', b'{"i":5}')
    assert (slot.beats, slot.lost, slot.restarts) == (4, 2, 0)


def test_a_counter_that_goes_back_is_a_restart_and_loses_nothing() -> None:
    slot = Slot(MESH)
    hear(slot, b'{"i":900}', b'{"i":1}', b'{"i":2}')
    assert (slot.beats, slot.lost, slot.restarts) == (3, 0, 1)


def test_a_leap_of_the_counter_is_a_new_numbering() -> None:
    slot = Slot(MESH)
    hear(slot, b'{"i":1}', b'{"i":9000000000000000000}', b'{"i":9000000000000000002}')
    assert (slot.lost, slot.restarts) == (1, 0)


def test_a_beat_that_names_another_service_is_none() -> None:
    slot = Slot(MESH)
    assert slot.hear(b'{"svc":"massive","i":1}', 100.0, WALL) is Invalid.OTHER_SERVICE
    assert slot.hear(b'{"service":"massive"}', 100.0, WALL) is Invalid.OTHER_SERVICE
    assert slot.hear(b"[]", 100.0, WALL) is Invalid.NOT_AN_OBJECT
    assert (slot.last, slot.beats, slot.expected) == (None, 0, None)
    assert slot.invalid == {Invalid.OTHER_SERVICE: 2, Invalid.NOT_AN_OBJECT: 1}


def test_a_retuned_service_keeps_what_was_heard() -> None:
    board = Board()
    board.adopt([MESH])
    (slot,) = board
    hear(slot, b"{}")
    board.adopt([replace(MESH, timeout=60.0)])
    assert list(board) == [slot]
    assert (slot.service.timeout, slot.beats) == (60.0, 1)


def test_a_moved_service_starts_anew_and_a_removed_one_is_gone() -> None:
    board = Board()
    board.adopt([MESH])
    (before,) = board
    board.adopt([replace(MESH, bus="market-redis")])
    (after,) = board
    assert after is not before
    assert after.service.bus == "market-redis"
    board.adopt([])
    assert len(board) == 0
