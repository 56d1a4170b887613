"""Only a pipeline that moves on is heard, and only time in which it could be heard counts as silence."""

from __future__ import annotations

import pytest

from healer.sentinel.watchdog import MAX_SENDERS, Watchdog

AM = "http://alertmanager"
OTHER = "http://other-alertmanager"


@pytest.fixture
def dog(machine) -> Watchdog:
    return Watchdog(machine, timeout=30.0)


def run(machine, dog, seconds: float) -> None:
    """Let time pass with the sentinel awake."""
    for _ in range(round(seconds)):
        machine.sleep(1.0)
        dog.check()


def test_the_timer_starts_with_the_process(machine, dog) -> None:
    run(machine, dog, 30)
    assert not dog.silent()
    run(machine, dog, 1)
    assert dog.silent()


def test_a_beat_ends_the_silence(machine, dog) -> None:
    run(machine, dog, 40)
    assert dog.late() == 40.0
    assert dog.hear(AM, 500.0)
    assert not dog.silent()
    assert dog.late() == 0.0


def test_a_dead_prometheus_watchdog_sent_again_is_no_beat(machine, dog) -> None:
    assert dog.hear(AM, 500.0)
    for _ in range(4):
        run(machine, dog, 10)
        assert not dog.hear(AM, 500.0)
    assert dog.silent()


def test_two_alertmanagers_sending_the_last_they_heard_make_no_beat(machine, dog) -> None:
    dog.hear(AM, 500.0)
    dog.hear(OTHER, 505.0)
    for _ in range(4):
        run(machine, dog, 10)
        assert not dog.hear(AM, 500.0)
        assert not dog.hear(OTHER, 505.0)
    assert dog.silent()


def test_the_same_beat_by_two_alertmanagers_is_one(machine, dog) -> None:
    assert dog.hear(AM, 500.0)
    assert not dog.hear(OTHER, 500.0)


def test_prometheus_clock_set_back_costs_no_silence(machine, dog) -> None:
    beats = [500.0, 510.0, 520.0, 120.0, 130.0, 140.0, 150.0]
    for beat in beats:
        run(machine, dog, 10)
        dog.hear(AM, beat)
        assert not dog.silent()


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_step_of_the_wall_clock_changes_nothing(machine, dog, step) -> None:
    dog.hear(AM, machine.wall())
    run(machine, dog, 29)
    machine.offset += step
    assert not dog.silent()
    run(machine, dog, 2)
    assert dog.silent()
    assert dog.late() == 31.0


def test_time_in_which_the_sentinel_stood_still_is_not_silence(machine, dog) -> None:
    dog.hear(AM, 500.0)
    run(machine, dog, 20)
    machine.sleep(300.0)
    assert not dog.silent(), "whoever asks before the check does"
    dog.check()
    assert not dog.silent()
    run(machine, dog, 11)
    assert dog.silent()


def test_what_was_heard_before_a_restart_is_no_news(machine, dog) -> None:
    dog.adopt(500.0)
    assert not dog.hear(AM, 500.0)
    assert not dog.hear(OTHER, 490.0), "another Alertmanager repeats something older still"
    assert dog.alive_since() is None
    assert dog.hear(AM, 510.0)


def test_it_is_alive_since_the_first_beat_after_a_silence(machine, dog) -> None:
    assert dog.alive_since() is None
    dog.hear(AM, 500.0)
    first = machine.monotonic()
    run(machine, dog, 20)
    dog.hear(AM, 520.0)
    assert dog.alive_since() == first
    run(machine, dog, 40)
    assert dog.alive_since() is None
    dog.hear(AM, 580.0)
    assert dog.alive_since() == machine.monotonic()


def test_invented_senders_do_not_fill_the_memory(dog) -> None:
    for number in range(1000):
        dog.hear(f"http://{number}", 500.0 + number)
    assert len(dog._last) == MAX_SENDERS


def test_silences_that_keep_ending_are_a_watchdog_that_comes_too_seldom(machine, dog) -> None:
    seen = []
    for beat in range(4):
        dog.hear(AM, 500.0 + 60 * beat)
        seen.append(dog.seldom())
        run(machine, dog, 60)
    assert seen == [False, False, False, True]
    run(machine, dog, 600)
    assert not dog.seldom(), "that was an outage"
