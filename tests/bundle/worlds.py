"""Generates worlds for hypothesis, and tells a world as a story that a person can follow."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from tests.bundle.world import BUSES, Cut, Life, Pace, Service, Span, World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bundle.replay import Difference

WORLDS = int(os.environ.get("HEALER_TEST_WORLDS", "150"))
"""How many different worlds the rules are replayed in, at least; `make test-worlds` has more."""

STEPS = (3.0, 8.0, 25.0, 3600.0, -3.0, -25.0, -40.0)
"""Within what clocks may differ, beyond it, beyond a timeout, and absurd; back by no more than a world is old."""


def spans(horizon: int, most: int, least: int = 0) -> st.SearchStrategy[tuple[Span, ...]]:
    """From `least` up to `most` stretches of time, in order, none touching another."""

    def paired(quarters: list[int]) -> tuple[Span, ...]:
        marks = [quarter / 4 for quarter in sorted(set(quarters))]
        return tuple(Span(*pair) for pair in zip(marks[::2], marks[1::2], strict=False))

    return st.lists(st.integers(0, horizon * 4), min_size=2 * least, max_size=2 * most, unique=True).map(
        paired
    )


def presences(horizon: int, most: int, least: int = 0) -> st.SearchStrategy[tuple[Span, ...]]:
    """All of the time, but for `least` up to `most` absences."""

    def outside(absent: tuple[Span, ...]) -> tuple[Span, ...]:
        edges = [0.0, *(edge for each in absent for edge in (each.start, each.end)), float(horizon + 1)]
        return tuple(Span(*pair) for pair in zip(edges[::2], edges[1::2], strict=True) if pair[0] < pair[1])

    return spans(horizon, most, least).map(outside)


def services(pace: Pace, name: str, least: int = 0) -> st.SearchStrategy[Service]:
    """A service that dies `least` times or more, and keeps one of the pace's promises but for beats half an interval late."""

    def kept(promise: tuple[float, float], bus: str, lives: tuple[Span, ...], jitter: list[int]) -> Service:
        interval, timeout = promise
        return Service(name, bus, interval, timeout, lives, tuple(each * interval / 8 for each in jitter))

    jitter = st.lists(st.sampled_from((0, 1, 2, 4)), min_size=1, max_size=3)
    alive = presences(pace.horizon, 3, least)
    return st.builds(kept, st.sampled_from(pace.promises), st.sampled_from(BUSES), alive, jitter)


def cuts(horizon: int, most: int) -> st.SearchStrategy[tuple[Cut, ...]]:
    """Up to `most` times without a bus, noticed at once or not."""
    kinds = st.lists(
        st.sampled_from([(bus, frozen) for bus in BUSES for frozen in (False, True)]), max_size=most
    )
    return st.builds(
        lambda kinds, times: tuple(
            Cut(bus, time, frozen) for (bus, frozen), time in zip(kinds, times, strict=False)
        ),
        kinds,
        spans(horizon, most),
    )


def steps(horizon: int) -> st.SearchStrategy[tuple[tuple[float, float], ...]]:
    """A clock that steps, and may be put right later."""
    when = st.integers(0, horizon * 4).map(lambda quarter: quarter / 4)
    return st.builds(
        lambda first, size, second: ((first, size), (second, -size))[: 1 + (second > first)],
        when,
        st.sampled_from(STEPS),
        when,
    )


def rarely(strategy: st.SearchStrategy[Any], otherwise: object) -> st.SearchStrategy[Any]:
    """One in four times; else `otherwise`."""
    return st.one_of(st.just(otherwise), st.just(otherwise), st.just(otherwise), strategy)


def lives(pace: Pace, scrape: int) -> st.SearchStrategy[Life]:
    """A replica that has everything happen to it, each seldom enough that it also gets its work done."""
    horizon = pace.horizon
    return st.builds(
        Life,
        phase=st.integers(0, scrape - 1),
        up=presences(horizon, 2),
        failures=rarely(spans(horizon, 2), ()),
        gaps=rarely(spans(horizon, 1), ()),
        cuts=cuts(horizon, 2),
        steps=rarely(steps(horizon), ()) if pace.apart else st.just(()),
        old_truth=rarely(st.integers(0, horizon).map(float), 0.0),
        ghosts=st.booleans(),
        lag=st.sampled_from((0.0, pace.apart)),
    )


def worlds(pace: Pace) -> st.SearchStrategy[World]:
    """Worlds of one pace: one or two services, of which one dies more than once, one to three replicas."""
    dying = services(pace, "red", 2)
    some_services = st.one_of(st.tuples(dying), st.tuples(dying, services(pace, "blue")))
    # Not a flatmap, which would build the strategies anew for each world.
    some = st.one_of(
        *(
            st.builds(
                World,
                st.just(pace),
                st.just(scrape),
                some_services,
                st.lists(lives(pace, scrape), min_size=1, max_size=3).map(tuple),
                cuts(pace.horizon, 1),
            )
            for scrape in pace.scrapes
        )
    )
    return st.builds(unasked, some, rarely(st.integers(0, 2), None))


def unasked(world: World, who: int | None) -> World:
    """Let one replica not be asked from a service's last beat until that is missing, and the bus be lost just then.

    It may know the last beat by another stamp than the others, and nobody can testify when it shows that.
    """
    service = world.services[0]
    last = max((beat for beat in service.beats() if beat < service.lives[0].end), default=None)
    if who is None or who >= len(world.replicas) or last is None:
        return world
    back = last + service.timeout + 2 * world.pace.evaluation + world.scrape
    life = world.replicas[who]
    shy = replace(life, failures=(*life.failures, Span(last, back)), lag=life.lag + world.pace.apart)
    stop = Cut(service.bus, Span(back - 1, back + world.scrape + 1), frozen=False)
    return replace(
        world,
        replicas=(*world.replicas[:who], shy, *world.replicas[who + 1 :]),
        stops=(*world.stops, stop),
    )


def told(world: World, differences: Iterable[Difference] = ()) -> str:
    """The world as text: who does what when, then where model and rules part."""
    pace = world.pace
    lines = [
        f"scraped every {world.scrape} s, evaluated every {pace.evaluation} s, own beat late after {pace.own_timeout:g} s"
    ]
    for service in world.services:
        promise = f"every {service.interval:g} s, missing after {service.timeout:g} s"
        jitter = f", late by {_list(service.jitter)}" if any(service.jitter) else ""
        lines.append(
            f"service {service.name} on bus {service.bus} beats {promise}: {_when(service.lives)}{jitter}"
        )
    for index, life in enumerate(world.replicas):
        lines.append(f"replica {index} runs {_when(life.up)}, first scraped at {life.phase}")
        lines += [f"  scrapes fail {_when(life.failures)}"] if life.failures else []
        lines += [f"  scrapes leave no trace {_when(life.gaps)}"] if life.gaps else []
        lines += [f"  is {_cut(cut)}" for cut in life.cuts]
        lines += [f"  hears late by {life.lag:g} s"] if life.lag else []
        lines += [f"  its clock steps by {step:+g} s at {time:g}" for time, step in life.steps]
        lines += (
            [f"  has the services on their other buses until {life.old_truth:g}"] if life.old_truth else []
        )
        lines += ["  and hears ghosts there"] if life.old_truth and life.ghosts else []
    lines += [f"for all replicas: {_cut(cut)}" for cut in world.stops]
    lines += _table(list(differences), world)
    return "\n".join(lines)


def _table(differences: list[Difference], world: World) -> list[str]:
    lines = []
    for each in differences[:4]:
        lines.append(
            f"at {each.at:g}: {each.service} is {_verdict(each.model)} by the model, {_verdict(each.rules)} by the rules"
        )
        for index, scrapes in enumerate(world.scrapes):
            last = next((scrape for scrape in reversed(scrapes) if scrape.at <= each.at), None)
            lines.append(f"    replica {index}: {last}")
    if len(differences) > 4:
        lines.append(f"... and at {len(differences) - 4} more evaluations")
    return lines


def _verdict(late: float | None) -> str:
    return "not missing" if late is None else f"missing for {late:g} s"


def _when(some: tuple[Span, ...]) -> str:
    return ", ".join(f"{span.start:g} to {span.end:g}" for span in some) or "never"


def _list(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _cut(cut: Cut) -> str:
    kind = "silently cut off" if cut.frozen else "cut off"
    return f"{kind} bus {cut.bus} {_when((cut.span,))}"
