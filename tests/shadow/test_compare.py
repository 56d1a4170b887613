"""Two healers compared: what both say in time is alike, what one says alone is judged by the beats."""

from __future__ import annotations

from typing import Any

import pytest

from healer.shadow.compare import MISS, OK, Comparison, Disagreement, Side, Verdict
from healer.shadow.report import AGAINST, AGREED, NOTHING, line, status, summary

OURS, THEIRS = Side.OURS, Side.THEIRS
BUS = "system-redis"


def comparison(within: float = 10.0) -> Comparison:
    """Of one service with a timeout of 30 s, listened to since 0."""
    return Comparison({"rss_agg": (30.0, BUS)}, within, 0.0)


def miss(timeout: float = 30.0) -> dict[str, Any]:
    return {"type": MISS, "svc": "rss_agg", "late_sec": timeout + 1, "timeout_sec": timeout}


def back() -> dict[str, Any]:
    return {"type": OK, "svc": "rss_agg", "age_sec": 0.1}


def beating(compared: Comparison, until: float) -> None:
    at = 0.0
    while at <= until:
        compared.beat("rss_agg", at)
        at += 10.0


def verdicts(found: list[Disagreement]) -> list[tuple[str, Verdict]]:
    return [(each.what, each.verdict) for each in found]


def test_what_both_say_in_time_is_no_disagreement_and_the_later_is_timed() -> None:
    compared = comparison()
    beating(compared, 100.0)
    assert compared.said(THEIRS, miss(), 130.5) == []
    assert compared.said(OURS, miss(), 134.0) == []
    compared.beat("rss_agg", 200.0)
    assert compared.said(THEIRS, back(), 200.1) == []
    assert compared.said(OURS, back(), 205.1) == []
    assert compared.due(1000.0) == []
    assert compared.lags[MISS] == [pytest.approx(3.5)]
    assert compared.lags[OK] == [pytest.approx(5.0)]
    assert status(compared) == AGREED


@pytest.mark.parametrize(
    ("side", "last", "verdict"),
    [(OURS, 100.0, Verdict.OURS), (THEIRS, 100.0, Verdict.THEIRS), (OURS, 120.0, Verdict.THEIRS), (THEIRS, 120.0, Verdict.OURS)],
    ids=["ours, true", "theirs, true", "ours, false", "theirs, false"],
)  # fmt: skip
def test_a_miss_that_one_says_alone_is_judged_by_the_beats(side: Side, last: float, verdict: Verdict) -> None:
    compared = comparison()
    beating(compared, last)
    assert compared.said(side, miss(), 131.0) == []
    assert compared.due(140.0) == []
    (found,) = compared.due(141.5)
    assert (found.at, found.what, found.verdict) == (131.0, f"only {side}: heartbeat_miss", verdict)
    assert found.why == f"the last beat came {131.0 - last:.1f} s before, timeout 30 s"
    assert compared.due(200.0) == []
    assert status(compared) == (AGREED if verdict is Verdict.OURS else AGAINST)


def test_a_silence_that_is_over_by_the_time_it_is_told_was_one() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.beat("rss_agg", 132.0)
    compared.said(OURS, miss(), 133.0)
    (found,) = compared.due(150.0)
    assert found.verdict is Verdict.OURS
    assert found.why == "it was silent for 32.0 s, until 1.0 s before, timeout 30 s"


def test_a_silence_accounts_for_one_miss_and_no_more() -> None:
    compared = comparison()
    beating(compared, 100.0)
    for side in Side:
        compared.said(side, miss(), 131.0)
        compared.beat("rss_agg", 132.0)
        compared.said(side, back(), 132.5)
    compared.beat("rss_agg", 134.5)
    compared.said(THEIRS, miss(), 135.0)
    (found,) = compared.due(150.0)
    assert (found.verdict, found.why) == (Verdict.OURS, "the last beat came 0.5 s before, timeout 30 s")


def test_a_miss_that_is_taken_back_before_the_other_noticed_is_one_disagreement() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.said(THEIRS, miss(), 130.6)
    compared.beat("rss_agg", 131.0)
    found = compared.said(THEIRS, back(), 131.0)
    assert verdicts(found) == [("only theirs: heartbeat_miss", Verdict.THEIRS)]
    assert compared.due(1000.0) == []


def test_a_recovery_that_no_beat_bears_out_is_false() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.said(THEIRS, miss(), 131.0)
    compared.said(OURS, miss(), 132.0)
    compared.said(THEIRS, back(), 150.0)
    assert verdicts(compared.due(170.0)) == [("only theirs: heartbeat_ok", Verdict.OURS)]


def test_what_the_other_says_after_its_time_is_told_as_late() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.said(THEIRS, miss(), 131.0)
    compared.due(145.0)
    assert verdicts(compared.said(OURS, miss(), 150.0)) == [("ours said heartbeat_miss late", Verdict.OPEN)]
    assert compared.found[-1].why == "19.0 s after theirs"


def test_nobody_is_judged_by_beats_that_could_not_be_heard() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.cut(BUS, 125.0)
    compared.said(THEIRS, miss(), 131.0)
    (found,) = compared.due(150.0)
    assert found.verdict is Verdict.OPEN
    assert found.why == "we have listened to system-redis for 6.0 s only"


def test_nobody_is_judged_for_events_that_could_not_be_heard() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.said(OURS, miss(), 131.0)
    compared.deaf(THEIRS, 134.0)
    (found,) = compared.due(150.0)
    assert found.verdict is Verdict.OPEN
    assert found.why.endswith("; we were cut off from the channel of theirs")


def test_a_healer_that_was_out_itself_is_said_to_have_been() -> None:
    compared = comparison()
    beating(compared, 100.0)
    compared.said(THEIRS, {"type": "healer_miss", "svc": "healer"}, 110.0)
    compared.said(OURS, miss(), 131.0)
    (found,) = compared.due(150.0)
    assert found.why.endswith("; theirs was out itself: it had said healer_miss")
    assert "  of itself said: theirs healer_miss 1" in list(summary(compared, 150.0))


def test_another_timeout_is_told_once() -> None:
    compared = comparison()
    beating(compared, 100.0)
    for at in (131.0, 331.0):
        compared.said(THEIRS, miss(30.0), at)
        compared.said(OURS, miss(20.0), at + 1)
        for side in Side:
            compared.beat("rss_agg", at + 60)
            compared.said(side, back(), at + 60)
    assert [each.why for each in compared.found] == ["ours 20 s, theirs 30 s"]


def test_what_was_said_before_we_listened_counts() -> None:
    compared = comparison()
    compared.standing(THEIRS, "rss_agg", MISS)
    assert verdicts(compared.differences(1.0)) == [
        ("before we listened: ours heartbeat_ok, theirs heartbeat_miss", Verdict.OPEN)
    ]
    assert compared.said(OURS, miss(), 40.0) == []
    assert compared.due(1000.0) == []


def test_repetitions_garbage_and_strangers_are_counted_and_told() -> None:
    compared = comparison()
    for at in (131.0, 132.0):
        compared.said(THEIRS, miss(), at)
    compared.said(OURS, miss(), 133.0)
    compared.said(THEIRS, {}, 134.0)
    assert verdicts(compared.said(THEIRS, {"type": MISS, "svc": "stranger"}, 135.0)) == [
        ("only theirs: heartbeat_miss", Verdict.OPEN)
    ]
    told = list(summary(compared, 150.0))
    assert "  said again: ours 0, theirs 1" in told
    assert "  not readable: ours 0, theirs 1" in told


def test_nothing_compared_is_no_proof() -> None:
    assert status(comparison()) == NOTHING


def test_a_line_says_when_of_whom_what_and_why() -> None:
    found = Disagreement(1762433458.0, "rss_agg", "only theirs: heartbeat_miss", Verdict.OURS, "a beat came")
    assert line(found, as_json=False) == (
        "2025-11-06 12:50:58 UTC  rss_agg  only theirs: heartbeat_miss  ours is right: a beat came"
    )
    assert '"verdict": "ours is right"' in line(found, as_json=True)
