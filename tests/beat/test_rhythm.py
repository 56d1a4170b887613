"""When beats are due, and how they are numbered."""

from __future__ import annotations

import json
import time

import pytest

from healer.beat.rhythm import DEFAULT_INTERVAL, LONGEST_PAUSE, SHORTEST_INTERVAL, Rhythm


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def number(rhythm: Rhythm) -> int:
    beat = rhythm.next()
    assert beat is not None
    return json.loads(beat)["i"]


def test_a_beat_is_the_contract_s(clock) -> None:
    beat = json.loads(Rhythm("mesh", None, 10, None, clock).next() or b"")
    assert list(beat) == ["svc", "i", "ts"]
    assert (beat["svc"], beat["i"]) == ("mesh", 1)
    assert abs(beat["ts"] - time.time()) < 5


def test_beats_keep_their_pace_whatever_publishing_takes(clock) -> None:
    rhythm = Rhythm("mesh", None, 10, None, clock)
    assert rhythm.wait() == 0
    for count in range(1, 5):
        assert number(rhythm) == count
        clock.now += 1.5
        rhythm.published()
        assert rhythm.wait() == 8.5
        clock.now += 8.5


def test_a_beat_that_failed_is_tried_under_its_number_and_those_left_out_are_counted(clock) -> None:
    rhythm = Rhythm("mesh", None, 10, None, clock)
    number(rhythm)
    rhythm.published()
    clock.now += 10
    assert number(rhythm) == 2
    rhythm.failed(OSError())
    clock.now += 3
    assert number(rhythm) == 2
    rhythm.failed(OSError())
    clock.now += 22  # two more came due
    assert number(rhythm) == 4
    rhythm.published()
    assert rhythm.wait() == 5
    clock.now += 5
    assert number(rhythm) == 5


def test_after_standing_still_there_is_no_burst(clock) -> None:
    rhythm = Rhythm("mesh", None, 10, None, clock)
    number(rhythm)
    clock.now += 1000
    rhythm.published()
    assert rhythm.wait() == 10


def test_failures_are_waited_out_longer_and_longer_but_never_longer_than_a_beat(clock) -> None:
    for interval, longest in ((60.0, LONGEST_PAUSE), (1.0, 1.0)):
        rhythm = Rhythm("mesh", None, interval, None, clock)
        waits = []
        for _ in range(20):
            rhythm.failed(OSError())
            waits.append(rhythm.wait())
        assert 0.1 <= waits[0] <= 0.2
        assert longest / 2 <= waits[-1] <= longest


def test_work_that_stands_still_does_not_beat_and_begins_again_where_it_stopped(clock) -> None:
    rhythm = Rhythm("mesh", None, 10, 15, clock)
    assert number(rhythm) == 1
    rhythm.published()
    clock.now += 10
    assert number(rhythm) == 2
    rhythm.published()
    clock.now += 10
    assert rhythm.next() is None
    assert rhythm.wait() == 1
    rhythm.alive()
    assert number(rhythm) == 3


def test_only_changes_are_news(clock) -> None:
    rhythm = Rhythm("mesh", None, 10, None, clock)
    assert rhythm.published()
    assert not rhythm.published()
    assert rhythm.failed(OSError("gone"))
    assert rhythm.error == "OSError: gone"
    assert not rhythm.failed(OSError("gone"))
    assert rhythm.published()
    assert (rhythm.error, rhythm.sent) == (None, 3)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "ten", None, []])
def test_an_interval_that_is_none_does_not_stop_a_service(interval) -> None:
    assert Rhythm("mesh", None, interval, None).interval == DEFAULT_INTERVAL


def test_nobody_beats_in_a_frenzy() -> None:
    assert Rhythm("mesh", None, 1e-9, None).interval == SHORTEST_INTERVAL
