"""The eight promises about a miss, each as a time line that a naive rule gets wrong; of few services and of many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.bundle.conftest import EXAMPLE, FORMS, LATE_FORM

from healer.bundle.shape import digest, sharded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Sample, Timeline

STALE = "stale"


def beats(until: float, every: float = 5.0, offset: float = 0.0) -> Callable[[float], float]:
    """The newest of the beats that come `every` seconds, the last at or before `until`."""

    def seen(now: float) -> float:
        now = min(now, until)
        return max(0.0, (now - offset) // every * every + offset)

    return seen


def alive(now: float) -> float:
    """An own beat that has just come back."""
    return now


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """A promise is kept in either form of the rules."""
    return str(request.param)


# 1. A service that was heard is missing once its last beat is older than its timeout, as observed.


def test_a_service_is_missing_once_its_last_beat_is_older_than_its_timeout(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    line.service("rss_agg", watch=1, seen=beats(60))
    line.never_missing(until=90)
    line.missing(95, "rss_agg")
    line.late(95, "rss_agg", 35)
    line.late(120, "rss_agg", 60)
    line.hold()


def test_a_slow_scrape_of_fast_beats_is_no_miss(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600, step=30)
    line.exporter("a", loopback=beats(900, every=10, offset=-9))
    line.service("rss_agg", watch=1, seen=beats(450, every=10, offset=-9))
    line.never_missing(until=475)
    line.missing(485, "rss_agg")
    line.hold()


def test_each_service_has_its_own_timeout(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=beats(60))
    line.service("vexy_ai", watch=1, seen=beats(60), bus="market-redis")
    line.missing(180, "rss_agg")
    line.missing(185, "rss_agg", "vexy_ai")
    line.hold()


# 2. A service never heard is missing once one replica has watched it for its warm-up.


def test_a_service_never_heard_is_missing_after_the_warm_up(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=60)
    line.service("rss_agg", watch=2.5, seen=0)
    line.never_missing(until=20)
    line.missing(25, "rss_agg")
    line.late(25, "rss_agg", 22.5)
    line.hold()


def test_the_silence_of_a_service_never_heard_counts_from_the_longest_watch(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=60)
    line.service("rss_agg", watch=1, seen=0, replica="a")
    line.service("rss_agg", watch=11, seen=0, replica="b")
    line.late(40, "rss_agg", 39)
    line.hold()


def test_a_service_never_heard_that_comes_is_no_longer_missing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=90)
    line.service("rss_agg", watch=1, seen=lambda now: 0.0 if now < 60 else now)
    line.missing(55, "rss_agg")
    line.missing(60)
    line.hold()


# 3. No miss while no replica has watched it past warm-up.


def test_an_exporter_restart_is_no_miss(timeline: Callable[..., Timeline]) -> None:
    def gone(now: float) -> str | None:
        return STALE if now == 60 else None

    line = timeline(end=240)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else 120.0 if now >= 120 else gone(now),
        seen=lambda now: now if now < 60 else gone(now) if now < 120 else 0.0 if now < 140 else now,
    )
    line.never_missing(until=240)
    line.hold()


def test_a_lost_bus_is_no_miss_however_long(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=1200)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else 0.0 if now < 900 else 900.0,
        seen=lambda now: now if now < 60 else 55.0 if now < 920 else now,
    )
    line.never_missing(until=1200)
    line.hold()


def test_a_replica_deaf_and_not_knowing_it_is_no_miss(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=300)
    # The timeout is longer than that of the own beat: by then the own beat has told.
    heard = beats(60)
    line.exporter("a", loopback=lambda now: heard(now) if now < 240 else now, bus="market-redis")
    line.service("vexy_ai", watch=1, seen=lambda now: heard(now) if now < 240 else now, bus="market-redis")
    line.never_missing(until=300)
    line.hold()


def test_a_service_that_died_during_the_bus_loss_is_missing_after_the_warm_up(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else 0.0 if now < 180 else 180.0,
        seen=lambda now: min(now, 55.0),
    )
    line.never_missing(until=200)
    line.missing(205, "rss_agg")
    line.late(205, "rss_agg", 150)
    line.hold()


# 4. A miss stays a miss until a newer beat is seen.


def test_a_miss_outlives_the_exporter(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=1200)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 120 else STALE if now == 120 else None,
        seen=lambda now: min(now, 60.0) if now < 120 else STALE if now == 120 else None,
    )
    for at in (95, 120, 125, 420, 425, 1200):
        line.missing(at, "rss_agg")
    line.late(1200, "rss_agg", 1140)
    line.hold()


def test_a_miss_outlives_bus_loss_and_the_warm_up_after_it(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=300)
    line.exporter("a", loopback=lambda now: now if now < 120 or now >= 180 else 115.0)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 120 else 0.0 if now < 180 else 180.0,
        seen=lambda now: min(now, 60.0) if now < 250 else now,
    )
    for at in (95, 120, 150, 180, 185, 200, 205, 245):
        line.missing(at, "rss_agg")
    line.missing(250)
    line.hold()


def test_a_miss_of_a_service_never_heard_outlives_an_exporter_restart(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else STALE if now == 60 else None if now < 80 else 80.0,
        seen=lambda now: 0.0 if now < 60 or now >= 80 else STALE if now == 60 else None,
    )
    for at in (55, 60, 75, 80, 100, 120):
        line.missing(at, "rss_agg")
    line.late(120, "rss_agg", 119)
    line.hold()


def test_a_newer_beat_ends_a_miss_even_in_the_warm_up(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=140)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 120 else 120.0,
        seen=lambda now: min(now, 60.0) if now < 125 else now,
    )
    line.missing(120, "rss_agg")
    line.missing(125)
    line.hold()


def test_the_last_beat_as_another_replica_stamped_it_ends_no_miss(timeline: Callable[..., Timeline]) -> None:
    """It was away from the last beat on, and is back while the bus is lost to all, so that nobody can testify."""
    line = timeline(end=160)
    line.service("rss_agg", watch=lambda now: 1.0 if now < 100 else 0.0, seen=beats(60), replica="a")
    line.service(
        "rss_agg",
        watch=lambda now: 2.0 if now < 60 else STALE if now == 60 else None if now < 100 else 0.0,
        seen=lambda now: (
            max(0.0, now - 1) if now < 60 else STALE if now == 60 else None if now < 100 else 75.0
        ),
        replica="b",
    )
    for at in (95, 100, 105, 160):
        line.missing(at, "rss_agg")
    line.late(160, "rss_agg", 100)
    line.hold()


def test_a_beat_that_a_lost_replica_heard_ends_a_miss_when_it_is_newer_for_sure(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=160)
    line.service("rss_agg", watch=lambda now: 1.0 if now < 100 else 0.0, seen=beats(60), replica="a")
    line.service(
        "rss_agg",
        watch=lambda now: None if now < 100 else 0.0,
        seen=lambda now: None if now < 100 else 76.0,
        replica="b",
    )
    line.missing(95, "rss_agg")
    line.missing(105)
    line.hold()


# 5. With replicas, the newest beat and the longest watch decide.


def test_the_restart_of_one_replica_is_silent(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=beats(150), replica="a")
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else STALE if now == 60 else None if now < 100 else 100.0,
        seen=lambda now: now if now < 60 else STALE if now == 60 else None if now < 100 else 0.0,
        replica="b",
    )
    line.never_missing(until=180)
    line.missing(185, "rss_agg")
    line.hold()


def test_one_replica_cut_off_is_silent(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=beats(400), replica="a")
    line.service("rss_agg", watch=lambda now: 1.0 if now < 60 else 0.0, seen=beats(60), replica="b")
    line.never_missing(until=240)
    line.hold()


def test_a_replica_on_an_older_scrape_is_believed_that_the_service_was_alive(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=600)

    def every_30(offset: float) -> Callable[[float], bool]:
        return lambda now: now >= offset and (now - offset) % 30 == 0

    a, b = every_30(0), every_30(25)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if a(now) else None,
        seen=lambda now: max(0.0, now - 9) if a(now) else None,
    )
    line.service(
        "rss_agg",
        watch=lambda now: 2.0 if b(now) else None,
        seen=lambda now: min(now, 50.0) if b(now) else None,
        replica="b",
    )
    line.never_missing(until=600)
    line.hold()


def test_a_replica_in_its_warm_up_lends_no_time_to_the_other(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=200)
    # Replica a was last scraped at 120 and is gone without a trace for its lookback; b has just started.
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now <= 120 else None,
        seen=lambda now: now if now <= 120 else None,
        replica="a",
    )
    line.service(
        "rss_agg",
        watch=lambda now: None if now < 140 else 140.0 if now < 160 else 160.0 if now < 180 else 180.0,
        seen=lambda now: None if now < 140 else 0.0,
        replica="b",
    )
    line.never_missing(until=200)
    line.hold()


# 6. late_sec counts from the last real beat, also across an exporter restart.


def test_silence_counts_from_the_last_beat_across_an_exporter_restart(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=180)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 65 else STALE if now == 65 else None if now < 80 else 80.0,
        seen=lambda now: min(now, 60.0) if now < 65 else STALE if now == 65 else None if now < 80 else 0.0,
    )
    line.never_missing(until=100)
    line.missing(105, "rss_agg")
    line.late(105, "rss_agg", 45)
    line.late(180, "rss_agg", 120)
    line.hold()


# 7. A beat stamped in the future never blinds a service afterwards.


def test_a_stamp_from_the_future_is_not_remembered(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=lambda now: 3700.0 if now == 60 else min(now, 90.0))
    line.never_missing(until=120)
    line.missing(125, "rss_agg")
    line.late(125, "rss_agg", 35)
    line.hold()


def test_a_stamp_that_stays_in_the_future_hides_no_death(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=lambda now: now if now < 60 else 3700.0)
    line.missing(90, "rss_agg")
    line.late(90, "rss_agg", 35)
    line.hold()


def test_a_service_whose_only_stamp_is_from_the_future_was_never_heard(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    line.service("rss_agg", watch=1, seen=100_000.0)
    line.missing(20)
    line.missing(25, "rss_agg")
    line.late(120, "rss_agg", 119)
    line.hold()


def test_a_service_that_was_never_heard_is_silent_since_it_is_watched(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.service(
        "rss_agg",
        watch=lambda now: 100.0 if now >= 100 else None,
        seen=lambda now: 0.0 if now >= 100 else None,
    )
    line.missing(120)
    line.missing(125, "rss_agg")
    line.late(125, "rss_agg", 25)
    line.hold()


def test_a_service_that_is_watched_and_has_no_stamp_was_never_heard(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    line.add(
        'heartbeat_watch_start_timestamp_seconds{job="heartbeat", instance="a", svc="rss_agg", bus="system-redis"}',
        1.0,
    )
    line.missing(20)
    line.missing(25, "rss_agg")
    line.late(120, "rss_agg", 119)
    line.hold()


def test_a_service_is_missed_by_a_replica_whose_clock_is_hardly_ever_believed(
    timeline: Callable[..., Timeline],
) -> None:
    """It is 6 s ahead, and its own beat, every 10 s, is too new at every other scrape."""
    line = timeline(end=300)
    line.exporter("a", loopback=lambda now: now // 10 * 10 + 6)
    line.service("rss_agg", watch=7, seen=lambda now: max(0.0, min(now, 100.0) // 10 * 10 + 3))
    line.missing(125)
    line.missing(135, "rss_agg")
    line.missing(300, "rss_agg")
    line.hold()


def test_a_clock_that_jumps_ahead_makes_no_newer_beat_of_an_old_one(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    # All stamps move with the clock: the last beat of a service that has been dead since 60 turns up at 135.
    line.exporter("a", loopback=lambda now: now if now < 150 else now + 75)
    line.service(
        "rss_agg", watch=lambda now: 1.0 if now < 150 else 76.0, seen=lambda now: 60.0 if now < 150 else 135.0
    )
    line.missing(145, "rss_agg")
    line.missing(150, "rss_agg")
    line.missing(240, "rss_agg")
    line.late(240, "rss_agg", 180)
    line.hold()


def test_a_clock_ahead_does_not_stand_for_what_the_other_replica_has_forgotten(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=180)
    # The service is dead since 60. One replica's clock jumps ahead at 80, the other starts anew at 85. The last beat as
    # the first has it looks new, and not even from the future, from 100 on.
    line.exporter("a", loopback=lambda now: now if now < 80 else now + 45)
    line.exporter("b", loopback=alive)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 80 else 46.0,
        seen=lambda now: min(now, 60.0) + (45 if now >= 80 else 0),
    )
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 85 else 85.0,
        seen=lambda now: min(now, 60.0) if now < 85 else 0.0,
        replica="b",
    )
    line.missing(105)
    line.missing(110, "rss_agg")
    line.late(110, "rss_agg", 50)
    line.hold()


def test_a_clock_ahead_does_not_stand_for_what_the_other_replica_shows_from_the_future(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=180)
    # The service is dead since 45. What the first replica, 30 s ahead, shows of that looks new from 70 on.
    line.exporter("a", loopback=lambda now: now + 30)
    line.exporter("b", loopback=alive)
    line.service("rss_agg", watch=31, seen=lambda now: min(now, 45.0) + 30)
    line.service("rss_agg", watch=1, seen=lambda now: min(now, 45.0) if now < 60 else 3700.0, replica="b")
    line.missing(75)
    line.missing(80, "rss_agg")
    line.late(80, "rss_agg", 35)
    line.hold()


def test_a_clock_that_was_ahead_for_a_while_makes_no_newer_beat_of_an_old_one(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=180)

    def ahead(now: float) -> float:
        return 45.0 if 80 <= now < 90 else 0.0

    line.exporter("a", loopback=lambda now: now + ahead(now))
    line.service("rss_agg", watch=lambda now: 1 + ahead(now), seen=lambda now: min(now, 60.0) + ahead(now))
    for at in range(95, 185, 5):
        line.missing(at, "rss_agg")
        line.late(at, "rss_agg", at - 60)
    line.hold()


def test_a_return_is_believed_of_the_replica_whose_clock_is_right(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    line.exporter("a", loopback=lambda now: now + 45)
    line.exporter("b", loopback=alive)

    def seen(now: float) -> float:
        return now if now >= 100 else min(now, 20.0)

    line.service("rss_agg", watch=46, seen=lambda now: seen(now) + 45)
    line.service("rss_agg", watch=1, seen=seen, replica="b")
    line.missing(95, "rss_agg")
    line.missing(100)
    line.hold()


def test_an_exporter_whose_clock_runs_ahead_calls_nobody_missing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.exporter("a", loopback=lambda now: now if now < 60 else now + 20)
    line.service(
        "rss_agg", watch=lambda now: 1.0 if now < 60 else 21.0, seen=lambda now: now if now < 60 else now + 20
    )
    line.never_missing(until=240)
    line.hold()


def test_an_exporter_whose_clock_lags_calls_nobody_missing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.exporter("a", loopback=lambda now: now if now < 100 else now - 40)
    line.service("rss_agg", watch=1, seen=lambda now: now if now < 100 else now - 40)
    line.never_missing(until=240)
    line.hold()


# 8. A service removed from truth stops alerting. (With a reload: test_reload.py; what is remembered: test_memories.py.)


def test_a_service_that_is_not_in_truth_is_nobodys_business(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    line.service("stranger", watch=1, seen=0)
    line.missing(60)
    line.expect(60, 'count({__name__=~"svc:.+", svc="stranger"})', {})
    line.hold()


def test_a_watch_on_a_bus_that_the_service_has_left_is_none(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    # In truth vexy_ai is on market-redis; an exporter that has not reloaded still watches its old bus.
    line.service("vexy_ai", watch=1, seen=0, bus="system-redis")
    line.never_missing(until=240)
    line.hold()


def test_a_service_heard_before_its_bus_changed_waits_for_a_watch_on_the_new_one(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.service(
        "rss_agg",
        watch=lambda now: 1.0 if now < 60 else STALE if now == 60 else None,
        seen=lambda now: now if now < 60 else STALE if now == 60 else None,
    )
    line.service("rss_agg", watch=1, seen=beats(900), replica="b", bus="market-redis")
    line.never_missing(until=240)
    line.hold()


def test_a_beat_on_a_bus_that_the_service_has_left_is_none(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("rss_agg", watch=1, seen=beats(60), replica="a")
    line.service("rss_agg", watch=1, seen=beats(900), replica="b", bus="market-redis")
    line.missing(95, "rss_agg")
    line.missing(200, "rss_agg")
    line.hold()


def test_a_miss_does_not_end_because_its_service_moves_to_another_bus(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.service(
        "rss_agg", watch=lambda now: 1.0 if now < 120 else STALE if now == 120 else None, seen=beats(60)
    )
    line.service(
        "rss_agg", watch=lambda now: None if now < 125 else 125.0, seen=0, bus="elsewhere", replica="b"
    )
    line.missing(240, "rss_agg")
    line.hold()


# Nobody marks the samples of a replica stale that went while Prometheus was down: they stand for five minutes.


def until(end: float, column: Callable[[float], float]) -> Callable[[float], float | None]:
    """A column whose samples just end."""
    return lambda now: column(now) if now <= end else None


def test_a_replica_that_went_unseen_does_not_hide_a_death_from_its_successor(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.exporter("a", loopback=until(60, alive), up=until(60, lambda _: 1.0))
    line.service("rss_agg", watch=until(60, lambda _: 1.0), seen=until(60, beats(60)), replica="a")
    line.exporter("b", loopback=lambda now: now if now >= 90 else None)
    line.service(
        "rss_agg",
        watch=lambda now: 90.0 if now >= 90 else None,
        seen=lambda now: min(now, 100.0) if now >= 90 else None,
        replica="b",
    )
    line.missing(130)
    line.missing(140, "rss_agg")
    line.late(140, "rss_agg", 40)
    line.hold()


# A restart of Prometheus with another truth: what the older rules recorded stands for five minutes.


def older(
    line: Timeline, record: str, labels: str, column: Callable[[float], float], name: str = "rss_agg"
) -> None:
    """What rules of an older truth recorded of a service up to 60, where the story begins."""
    line.add(f'{record}{{svc="{name}", {labels}}}', until(60, column))


def class_of(name: str) -> str:
    """The class that the rules have the service in."""
    (id_,) = (each.id for shard in sharded(EXAMPLE, 1) for each in shard if name in each.names)
    return id_


def test_a_service_that_came_back_while_prometheus_was_down_is_missing_no_more(
    timeline: Callable[..., Timeline],
) -> None:
    """A restarted Prometheus marks nothing stale that it recorded before: the latch stands for five minutes."""
    id_ = class_of("rss_agg")
    line = timeline(end=240)
    labels = f'bus="system-redis", class="{id_}", severity="critical", timeout="30", recorded="before"'
    older(line, "svc:heartbeat_silent_since_timestamp_seconds:latched", labels, lambda _: 20.0)
    line.exporter("a", loopback=alive)
    line.service("rss_agg", watch=lambda _: 1.0, seen=lambda now: now if now >= 70 else 20.0)
    line.missing(60, "rss_agg")
    line.missing(75)
    line.missing(200)
    for at in (75, 200):
        line.expect(
            at,
            'svc:heartbeat_missing:bool{svc="rss_agg"}',
            {'svc:heartbeat_missing:bool{svc="rss_agg"}': 0.0},
        )
    line.hold()


def test_a_miss_that_ended_while_prometheus_was_down_does_not_come_back(
    timeline: Callable[..., Timeline],
) -> None:
    """Its latch still stands when a scrape fails, and nothing is shown that is newer."""
    line = timeline(end=240)
    labels = f'bus="system-redis", class="{class_of("rss_agg")}", severity="critical", timeout="30", recorded="before"'
    older(line, "svc:heartbeat_silent_since_timestamp_seconds:latched", labels, lambda _: 20.0)

    def scraped(column: Callable[[float], float]) -> Callable[[float], float | str]:
        return lambda now: STALE if now == 125 else column(now)

    line.exporter("a", loopback=scraped(alive))
    line.service(
        "rss_agg", watch=scraped(lambda _: 1.0), seen=scraped(lambda now: now if now >= 70 else 20.0)
    )
    line.missing(60, "rss_agg")
    for at in range(75, 240, 5):
        line.missing(at)
    line.hold()


def test_a_watch_of_before_the_restart_is_none(timeline: Callable[..., Timeline]) -> None:
    """The exporter that watched the service went with Prometheus; another, of another shard, hears the bus."""
    line = timeline(end=240)
    older(
        line, "svc:heartbeat_last_seen_timestamp_seconds:max", 'bus="system-redis", class="0"', lambda _: 20.0
    )
    id_ = class_of("rss_agg")
    for record, labels in {
        "svc:heartbeat_suspect_remembered_timestamp_seconds:max": f'bus="system-redis", class="{id_}"',
        "svc:heartbeat_suspect_watch_start_timestamp_seconds:min": 'bus="system-redis"',
    }.items():
        line.add(f'{record}{{svc="rss_agg", {labels}}}', lambda now: 1.0 if now == 0 else None)
    line.exporter("a", loopback=alive)
    line.add('heartbeat_bus_up{job="heartbeat", instance="a", bus="system-redis"}', 1.0)
    line.never_missing(until=240)
    line.hold()


def test_a_suspicion_of_before_the_restart_is_none(timeline: Callable[..., Timeline]) -> None:
    """The service had returned, and what is remembered knows it; then the exporter was restarted and forgot."""
    line = timeline(end=120)
    labels = f'bus="system-redis", class="{class_of("rss_agg")}"'
    older(line, "svc:heartbeat_last_seen_timestamp_seconds:max", labels, lambda _: 55.0)
    record = f'svc:heartbeat_suspect_remembered_timestamp_seconds:max{{svc="rss_agg", {labels}}}'
    line.add(record, lambda now: 20.0 if now == 0 else None)
    line.service("rss_agg", watch=1, seen=lambda now: 0.0 if now > 60 else None)
    line.never_missing(until=85)
    line.missing(90, "rss_agg")
    line.late(90, "rss_agg", 35)
    line.hold()


@pytest.mark.parametrize("form", [*FORMS, LATE_FORM])
def test_the_verdict_of_an_older_truth_makes_no_second_alert(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    for label in (
        'bus="system-redis", class="0", severity="critical", timeout="30"',
        'bus="elsewhere", class="1"',
    ):
        older(line, "svc:heartbeat_silent_since_timestamp_seconds:latched", label, lambda _: 20.0)
    line.service("rss_agg", watch=lambda now: 70.0 if now >= 70 else None, seen=0)
    for at in (65, 70, 200):
        line.expect(at, "count({__name__='ALERTS', alertname='HeartbeatMiss'})", {"{}": 1.0})
    line.missing(65, "rss_agg")
    line.missing(200, "rss_agg")
    line.hold()


@pytest.mark.parametrize("form", [*FORMS, LATE_FORM])
def test_a_miss_does_not_end_because_a_new_truth_is_more_patient(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    label = 'bus="market-redis", class="0", severity="warning", team="ai", timeout="30"'
    older(line, "svc:heartbeat_silent_since_timestamp_seconds:latched", label, lambda _: 20.0, "vexy_ai")
    labels = 'bus="market-redis", class="0"'
    older(line, "svc:heartbeat_last_seen_timestamp_seconds:max", labels, lambda _: 20.0, "vexy_ai")
    line.service("vexy_ai", watch=1, seen=lambda now: 20.0 if now < 105 else now, bus="market-redis")
    for at in (65, 70, 75, 100):
        line.missing(at, "vexy_ai")
        line.late(at, "vexy_ai", at - 20)
    line.missing(105)
    line.hold()


@pytest.mark.parametrize("form", [*FORMS, LATE_FORM])
def test_a_miss_outlives_a_bus_that_is_lost_before_the_miss_is_written_down(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)

    def until_lost(column: Callable[[float], float]) -> Callable[[float], Sample]:
        return lambda now: column(now) if now < 75 else STALE if now == 75 else None

    line.exporter("a", loopback=until_lost(alive))
    line.service("rss_agg", watch=until_lost(lambda _: 1.0), seen=until_lost(beats(35)))
    line.missing(65)
    for at in (70, 75, 80, 120):
        line.missing(at, "rss_agg")
    line.hold()


@pytest.mark.parametrize("form", [LATE_FORM])
def test_a_truth_that_is_rolled_back_does_not_take_what_it_wrote_before_for_what_it_writes_now(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    classes = digest(each for shard in sharded(EXAMPLE, 1) for each in shard)
    for written in (
        f'healer:heartbeat_memory_timestamp_seconds{{classes="{classes}"}}',
        f'healer:heartbeat_memory_seen_timestamp_seconds{{classes="{classes}", group="heartbeat", recorded="before"}}',
    ):
        line.add(written, lambda now: now if now <= 30 else None)
    labels = 'bus="market-redis", class="0", severity="warning", team="ai", timeout="30"'
    older(line, "svc:heartbeat_silent_since_timestamp_seconds:latched", labels, lambda _: 20.0, "vexy_ai")
    line.service("vexy_ai", watch=1, seen=20, bus="market-redis")
    for at in (65, 70, 75, 120):
        line.missing(at, "vexy_ai")
    line.hold()


@pytest.mark.parametrize("form", [LATE_FORM])
def test_a_verdict_of_an_older_truth_from_before_a_long_stop_is_none(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=130)
    line.evaluation = 65.0
    labels = 'bus="system-redis", class="0", severity="critical", timeout="30"'
    record = f'svc:heartbeat_silent_since_timestamp_seconds:latched{{svc="rss_agg", {labels}}}'
    line.add(record, lambda now: 0.0 if now == 0 else None)
    line.service("rss_agg", watch=1, seen=alive)
    line.missing(65)
    line.missing(130)
    line.hold()


def test_what_is_remembered_is_newer_than_what_an_older_truth_remembered(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    older(
        line, "svc:heartbeat_last_seen_timestamp_seconds:max", 'bus="system-redis", class="0"', lambda _: 20.0
    )
    line.service("rss_agg", watch=1, seen=lambda now: min(now, 90.0))
    line.missing(120)
    line.missing(125, "rss_agg")
    line.late(125, "rss_agg", 35)
    line.hold()


def test_the_newest_beat_is_remembered_from_an_older_truth(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    older(line, "svc:heartbeat_last_seen_timestamp_seconds:max", 'bus="elsewhere", class="0"', alive)
    line.service("rss_agg", watch=lambda now: 70.0 if now >= 70 else None, seen=0)
    line.missing(90)
    line.missing(95, "rss_agg")
    line.late(95, "rss_agg", 35)
    line.hold()
