"""What dashboards read of a service, and the limits of who may speak of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Timeline

STATE = "svc:heartbeat_state:code"
WATCHING = "svc:heartbeat_watching:bool"


def test_a_service_is_unwatched_then_beating_then_missing_whoever_watches(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=200)
    line.service(
        "rss_agg", watch=lambda now: 1.0 if now < 160 else 0.0, seen=lambda now: min(now, 60.0), replica="a"
    )
    for at, state, watching in ((20, 1, 0), (25, 0, 1), (90, 0, 1), (95, 2, 1), (160, 2, 0)):
        line.expect(at, STATE, {f'{STATE}{{svc="rss_agg"}}': state})
        line.expect(at, WATCHING, {f'{WATCHING}{{svc="rss_agg"}}': watching})
    line.hold()


def test_an_own_beat_is_late_beyond_its_limit_and_not_at_it(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    # The warm-up of 90 s is over at 95; the own beat is 30 s old then, and late at 100.
    line.exporter("a", loopback=lambda now: min(now, 65.0), bus="market-redis")
    line.service("vexy_ai", watch=1, seen=0, bus="market-redis")
    line.never_missing(until=90)
    line.missing(95, "vexy_ai")
    line.hold()


def test_an_own_beat_beyond_its_limit_is_no_testimony(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    line.exporter("a", loopback=lambda now: min(now, 64.0), bus="market-redis")
    line.service("vexy_ai", watch=1, seen=0, bus="market-redis")
    line.never_missing(until=120)
    line.hold()


def test_own_beats_from_the_future_keep_no_dead_healer_alive(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    line.exporter(
        "a",
        up=lambda now: float(now < 60),
        loopback=lambda now: now + 50 if now < 60 else "stale" if now == 60 else None,
    )
    line.firing(55, "HealerMiss")
    line.firing(65, "HealerMiss", '{svc="healer"}')
    line.hold()


def test_what_truth_says_of_a_service_is_a_series_to_join_with(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=60)
    line.service("vexy_ai", watch=1, seen=0, bus="market-redis")
    labels = '{bus="market-redis", severity="warning", svc="vexy_ai", team="ai"}'
    for series, value in (
        ("svc:heartbeat_timeout_seconds:truth", 120),
        ("svc:heartbeat_warmup_seconds:truth", 90),
    ):
        line.expect(60, series, {f"{series}{labels}": value})
    line.hold()


def test_a_service_has_a_state_also_when_every_exporter_is_gone(timeline: Callable[..., Timeline]) -> None:
    def until_60(column: Callable[[float], float]) -> Callable[[float], float | str | None]:
        return lambda now: column(now) if now < 60 else "stale" if now == 60 else None

    line = timeline(end=1200)
    line.service("rss_agg", watch=until_60(lambda _: 1.0), seen=until_60(lambda now: now))
    for at in (60, 600, 1200):
        line.expect(at, STATE, {f'{STATE}{{svc="rss_agg"}}': 1})
    line.hold()
