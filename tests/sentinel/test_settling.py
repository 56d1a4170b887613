"""An unproven end is believed after a dead service would have been reported again."""

from __future__ import annotations

from healer.sentinel.settling import Settling


def due(
    settling: Settling, owed: dict[str, float], now: float, since: float | None
) -> list[tuple[str, float]]:
    return settling.due(owed, now, lambda _: since, lambda _: 60.0)


def test_it_waits_from_when_it_was_reported() -> None:
    settling = Settling()
    assert due(settling, {"svc:a": 7.0}, 100.0, 0.0) == []
    assert due(settling, {"svc:a": 7.0}, 159.0, 0.0) == []
    assert due(settling, {"svc:a": 7.0}, 160.0, 0.0) == [("svc:a", 7.0)]


def test_it_waits_from_when_the_pipeline_came_back() -> None:
    settling = Settling()
    assert due(settling, {"svc:a": 7.0}, 100.0, None) == []
    assert due(settling, {"svc:a": 7.0}, 500.0, None) == []
    assert due(settling, {"svc:a": 7.0}, 559.0, 500.0) == []
    assert due(settling, {"svc:a": 7.0}, 560.0, 500.0) == [("svc:a", 7.0)]


def test_a_later_end_waits_anew() -> None:
    settling = Settling()
    due(settling, {"svc:a": 7.0}, 100.0, 0.0)
    assert due(settling, {"svc:a": 9.0}, 160.0, 0.0) == []
    assert due(settling, {"svc:a": 9.0}, 220.0, 0.0) == [("svc:a", 9.0)]


def test_what_is_owed_no_more_is_forgotten() -> None:
    settling = Settling()
    due(settling, {"svc:a": 7.0}, 100.0, 0.0)
    assert due(settling, {}, 150.0, 0.0) == []
    assert due(settling, {"svc:a": 7.0}, 160.0, 0.0) == []
