"""The rules against the model: thousands of generated worlds, the same verdict and lateness at every evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.bundle.replay import Replay
from tests.bundle.world import BRISK, SLOW, USUAL, Life, Pace, Service, Span, World
from tests.bundle.worlds import WORLDS, told, worlds

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.stack.servers import Servers

HASTY = Pace("hasty", 1, 60, 2.0, 6.0, (1, 2, 3), ((2.0, 6.0), (1.0, 8.0), (3.0, 9.0)), 0.0)
PATIENT = Pace("patient", 5, 240, 10.0, 30.0, (1, 5, 10, 30), ((10.0, 30.0), (2.0, 40.0), (20.0, 60.0)), 0.0)
"""Warm-ups of four evaluations and more, in which a memory may lag by two. Which replica's stamp of one beat it holds
by then is open, so there is but one.
"""

FORGETFUL = World(
    PATIENT,
    1,
    (Service("red", "one", 10.0, 30.0, (Span(8.5, 59),), (0.0,)),),
    (Life(0, (Span(0, 61.25), Span(70, 241))),),
)
"""The replica goes after an evaluation that sees the last beat, and before what is remembered is written down."""

BATCH = 60
"""Worlds in one run of promtool, whose start costs as much as several worlds."""

SHRINKING = 400
"""Runs of promtool spent on making a failing world small."""


class EnoughError(Exception):
    """No more worlds are wanted."""


def visit(pace: Pace, action: Callable[[World], None], *phases: Phase) -> None:
    """Show `action` generated worlds until it raises or tires: the same ones whenever the same modules are loaded.

    hypothesis tries the constants that it finds in them.
    """

    @settings(
        max_examples=10 * WORLDS,
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @seed(0)
    @given(worlds(pace))
    def show(world: World) -> None:
        action(world)

    with pytest.raises((EnoughError, AssertionError)):
        show()


def generated(pace: Pace, wanted: int) -> list[World]:
    """That many different worlds."""
    found: dict[World, None] = {}

    def collect(world: World) -> None:
        if len(found) >= wanted:
            raise EnoughError
        found[world] = None

    visit(pace, collect, Phase.generate)
    return list(found)


def smallest(pace: Pace, replay: Replay, failing: World) -> World:
    """A world as simple as hypothesis can make one out of `failing` in which model and rules still differ."""
    best: World | None = None
    tries = 0

    def differ(world: World) -> None:
        nonlocal best, tries
        if best is None and world != failing:
            return
        tries += 1
        if world in (failing, best) or (tries <= SHRINKING and replay.differences([world])[0]):
            best = world
            raise AssertionError

    visit(pace, differ, Phase.generate, Phase.shrink)
    return best or failing


def hold(replay: Replay, pace: Pace, wanted: int) -> None:
    """Have rules and model agree on that many worlds."""
    some = generated(pace, wanted)
    assert len(some) == wanted
    for start in range(0, wanted, BATCH):
        batch = some[start : start + BATCH]
        for world, differences in zip(batch, replay.differences(batch), strict=True):
            if differences:
                small = smallest(pace, replay, world)
                pytest.fail(told(small, replay.differences([small])[0]), pytrace=False)
    assert replay.missing > replay.steps / 20, "a proof that hardly ever sees a miss proves little"


@pytest.mark.timeout(max(600, WORLDS))
@pytest.mark.parametrize("pace", [BRISK, USUAL, SLOW], ids=lambda pace: pace.name)
def test_rules_and_model_agree_on_every_service_at_every_evaluation(pace: Pace, servers: Servers) -> None:
    hold(Replay(servers.promtool), pace, -(-WORLDS // 3))


@pytest.mark.timeout(max(600, WORLDS))
@pytest.mark.parametrize("pace", [HASTY, PATIENT], ids=lambda pace: pace.name)
def test_they_agree_also_where_the_memory_lags_because_services_are_many(
    pace: Pace, servers: Servers
) -> None:
    hold(Replay(servers.promtool, many=True), pace, -(-WORLDS // 10))


def test_a_beat_is_remembered_that_was_shown_between_two_writings_of_the_memory_alone(
    servers: Servers,
) -> None:
    replay = Replay(servers.promtool, many=True)
    assert replay.differences([FORGETFUL]) == [[]]
    assert replay.missing
