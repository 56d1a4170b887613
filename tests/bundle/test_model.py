"""The model against the world, which knows who was alive: it never cries wolf, and never sleeps for long."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bundle.replay import judged
from tests.bundle.world import BRISK, DAWN, RECONNECT, SLOW, USUAL, Life, Pace, Span, World
from tests.bundle.worlds import WORLDS, told, unasked, worlds

PACES = pytest.mark.parametrize("pace", [BRISK, USUAL, SLOW], ids=lambda pace: pace.name)
thorough = settings(
    max_examples=min(150, WORLDS // 2),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def always(pace: Pace) -> tuple[Span, ...]:
    return (Span(0.0, float(pace.horizon + 1)),)


def right(life: Life) -> Life:
    """A replica whose clock and truth are right; everything else may still happen to it."""
    return replace(life, steps=(), old_truth=0.0)


@PACES
def test_a_service_that_keeps_its_promise_is_never_missing_whatever_happens_to_those_who_watch(
    pace: Pace,
) -> None:
    @thorough
    @given(worlds(pace))
    def hold(world: World) -> None:
        services = tuple(replace(each, lives=always(pace), jitter=(0.0,)) for each in world.services)
        quiet = replace(world, services=services, replicas=tuple(right(life) for life in world.replicas))
        assert not any(judged(quiet, closed=True).values()), told(quiet)

    hold()


@PACES
def test_a_dead_service_is_missing_in_time_if_one_replica_watches_and_the_others_leave_traces(
    pace: Pace,
) -> None:
    @thorough
    @given(worlds(pace), st.integers(1, pace.horizon))
    def hold(world: World, death: int) -> None:
        services = tuple(replace(each, lives=(Span(0.0, float(death)),)) for each in world.services)
        steady = Life(phase=0, up=always(pace))
        others = tuple(replace(right(life), gaps=()) for life in world.replicas)
        sad = replace(world, services=services, replicas=(steady, *others), stops=())
        verdicts = judged(sad, closed=True)
        for service in services:
            last = max(service.beats(), default=0.0)
            heard = last >= RECONNECT  # else its silence counts from the watch of a replica that testified
            watches = {
                scrape.services[service.name].watch_start - DAWN
                for scrapes in sad.scrapes
                for scrape in scrapes
                if scrape.services
            }
            # Beat, sample, evaluation; no replica's sample is older than a scrape, and watching began at 0.5.
            due = last + max(service.timeout, 2 * service.interval) + 1 + 2 * world.scrape + pace.evaluation
            for at, late in verdicts.items():
                if at > due:
                    assert late.get(service.name), f"{service.name} at {at}\n{told(sad)}"
                    since = at - late[service.name]
                    right_since = abs(since - last) <= 1 if heard else since in watches
                    assert right_since, f"{service.name} at {at}\n{told(sad)}"

    hold()


@PACES
def test_a_miss_counts_from_the_newest_beat_that_any_evaluation_saw_also_by_replicas_long_gone(
    pace: Pace,
) -> None:
    @thorough
    @given(worlds(pace))
    def hold(world: World) -> None:
        right_clocks = replace(world, replicas=tuple(right(life) for life in world.replicas))
        verdicts = judged(right_clocks, closed=True)
        for service in world.services:
            missing = False
            shown = 0.0
            for at, late in verdicts.items():
                for scrapes in right_clocks.scrapes:
                    newest = next((each for each in reversed(scrapes) if each.at <= at), None)
                    if newest and newest.services:
                        shown = max(shown, newest.services[service.name].last_seen)
                if service.name in late and not missing and shown:
                    assert at + DAWN - late[service.name] == shown, (
                        f"{service.name} at {at}\n{told(right_clocks)}"
                    )
                missing = service.name in late

    hold()


@PACES
def test_no_miss_ends_by_the_last_beat_as_a_replica_that_was_away_has_stamped_it(pace: Pace) -> None:
    steady = Life(phase=0, up=always(pace))
    met = 0

    @thorough
    @given(worlds(pace), st.integers(1, pace.horizon))
    def hold(world: World, death: int) -> None:
        nonlocal met
        service = replace(world.services[0], lives=(Span(0.0, float(death)),))
        quiet = replace(world, services=(service,), replicas=(steady, steady), stops=())
        missing = [bool(late) for late in judged(unasked(quiet, 1), closed=True).values()]
        ended = [before and not after for before, after in pairwise(missing)]
        assert not any(ended), told(unasked(quiet, 1))
        met += missing[-1]

    hold()
    assert met > 10


@PACES
def test_no_miss_ends_without_a_beat(pace: Pace) -> None:
    @thorough
    @given(worlds(pace))
    def hold(world: World) -> None:
        right_clocks = replace(world, replicas=tuple(right(life) for life in world.replicas))
        verdicts = judged(right_clocks, closed=True)
        for service in world.services:
            beats = service.beats()
            missing_at = None
            for at, late in verdicts.items():
                if service.name in late:
                    missing_at = at
                elif missing_at is not None:
                    since = missing_at - verdicts[missing_at][service.name]
                    assert any(since < beat <= at for beat in beats), (
                        f"{service.name} at {at}\n{told(right_clocks)}"
                    )
                    missing_at = None

    hold()
