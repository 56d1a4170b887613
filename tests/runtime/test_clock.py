"""Instants keep their distance when the wall clock steps."""

from __future__ import annotations

from healer.runtime.clock import Anchor


class Machine:
    """A machine whose two clocks are set by hand."""

    def __init__(self) -> None:
        self.elapsed = 50.0
        self.offset = 1_000.0

    def monotonic(self) -> float:
        return self.elapsed

    def wall(self) -> float:
        return self.elapsed + self.offset


def test_an_instant_is_shown_the_same_each_time() -> None:
    machine = Machine()
    anchor = Anchor(machine)
    machine.elapsed = 61.0
    machine.offset += 0.0004
    assert anchor.check() == 0.0
    assert anchor.epoch(50.0) == 1050.0


def test_a_step_moves_every_instant_so_that_ages_stay() -> None:
    machine = Machine()
    anchor = Anchor(machine)
    heard = anchor.epoch(50.0)
    machine.elapsed = 60.0
    age = anchor.now() - heard
    machine.offset += 3600.0
    assert anchor.check() == 3600.0
    assert anchor.now() - anchor.epoch(50.0) == age
    assert anchor.check() == 0.0
