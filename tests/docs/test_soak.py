"""The soak's ledger finds what it is there for: false misses, false recoveries, and deaths that nobody noticed."""

from __future__ import annotations

import pytest
from bench.soak import TIMEOUT, TURN, WARMUP, Death, Ledger

DUE = TIMEOUT + 100.0
"""When a service that died at 100 is missing."""


def judged(fired: dict[str, list[float]], *deaths: Death) -> Ledger:
    ledger = Ledger(list(deaths), heard=[(0.0, 1000.0)])
    ledger.judge(fired, 1000.0)
    return ledger


def evaluations(begin: float, end: float) -> list[float]:
    return [begin + TURN * number for number in range(int((end - begin) / TURN) + 1)]


def test_a_true_death_is_noticed_and_nothing_is_false() -> None:
    ledger = judged({"a": evaluations(DUE, 250)}, Death("a", 100.0, 250.0))
    assert (ledger.false_misses, ledger.false_recoveries, ledger.late_recoveries, ledger.unnoticed()) == (
        *([], [], []),
        [],
    )
    assert ledger.deaths[0].noticed == DUE


@pytest.mark.parametrize("at", [90.0, 101.0, DUE - 5])
def test_a_miss_before_the_timeout_is_false(at: float) -> None:
    assert judged({"a": [at]}, Death("a", 100.0)).false_misses == [f"a at {at:.1f}"]


def test_whose_last_beats_nobody_could_hear_is_missing_after_the_warm_up_and_not_before() -> None:
    for deaf, at, false in (
        ((90.0, 105.0), 100.0 + WARMUP, []),
        ((90.0, 105.0), 100.0 + WARMUP - 5, [f"a at {100.0 + WARMUP - 5:.1f}"]),
        ((50.0, 90.0), 100.0 + WARMUP, [f"a at {100.0 + WARMUP:.1f}"]),
    ):
        ledger = Ledger([Death("a", 100.0)], deaf=[deaf])
        ledger.judge({"a": [at]}, 1000.0)
        assert ledger.false_misses == false


def test_a_miss_of_who_never_died_is_false() -> None:
    assert judged({"b": [500.0]}).false_misses == ["b at 500.0"]


def test_an_evaluation_without_the_miss_is_a_false_recovery() -> None:
    others = evaluations(DUE, 250)
    mine = [at for at in others if at != others[3]]
    ledger = judged({"a": mine, "b": others}, Death("a", 100.0, 250.0), Death("b", 50.0))
    assert ledger.false_recoveries == [f"a at {others[3]:.1f}"]


def test_a_miss_long_after_the_return_is_a_late_recovery() -> None:
    assert judged({"a": [DUE, 400.0]}, Death("a", 100.0, 250.0)).late_recoveries == ["a at 400.0"]


def test_a_death_that_nobody_noticed_counts_only_if_somebody_watched() -> None:
    ledger = Ledger([Death("a", 100.0, 300.0)], heard=[(0.0, 1000.0)])
    assert ledger.unnoticed() == ["a since 100.0"]
    ledger.heard = [(100.0, 100.0 + WARMUP + TURN)]
    assert ledger.unnoticed() == []
