"""Generates worlds for hypothesis, and tells a world as a story that a person can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from tests.bundle.world import BRISK, BUSES, SLOW, USUAL, Cut, Life, Pace, Service, Span, World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bundle.replay import Difference

STEPS = (3.0, 8.0, 25.0, 3600.0, -3.0, -25.0, -40.0)
"""Within what clocks may differ, beyond it, beyond a timeout, and absurd; back by no more than a world is old."""


@st.composite
def spans(draw: st.DrawFn, horizon: float, most: int) -> tuple[Span, ...]:
    """Up to `most` stretches of time, in order, none touching another."""
    marks = sorted(draw(st.sets(st.integers(0, int(horizon * 4)), max_size=2 * most)))
    return tuple(Span(marks[i] / 4, marks[i + 1] / 4) for i in range(0, len(marks) - 1, 2))


@st.composite
def presences(draw: st.DrawFn, horizon: float, most: int) -> tuple[Span, ...]:
    """All of the time, but for up to `most` absences."""
    absent = draw(spans(horizon, most))
    edges = [0.0, *(edge for each in absent for edge in (each.start, each.end)), float(horizon + 1)]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple(Span(start, end) for start, end in pairs if start < end)


@st.composite
def services(draw: st.DrawFn, pace: Pace, name: str) -> Service:
    interval, timeout = draw(st.sampled_from(pace.promises))
    lateness = st.sampled_from((0.0, 0.25, interval / 4, interval / 2))
    return Service(
        name,
        draw(st.sampled_from(BUSES)),
        interval,
        timeout,
        draw(presences(pace.horizon, 3)),
        tuple(draw(st.lists(lateness, min_size=1, max_size=3))),
    )


@st.composite
def cuts(draw: st.DrawFn, pace: Pace, most: int) -> tuple[Cut, ...]:
    return tuple(
        Cut(draw(st.sampled_from(BUSES)), span, draw(st.booleans())) for span in draw(spans(pace.horizon, most))
    )


@st.composite
def steps(draw: st.DrawFn, pace: Pace) -> tuple[tuple[float, float], ...]:
    """A clock that steps, and may be put right later."""
    when = st.integers(0, pace.horizon * 4).map(lambda quarter: quarter / 4)
    first, size, second = draw(when), draw(st.sampled_from(STEPS)), draw(when)
    return ((first, size), (second, -size)) if second > first else ((first, size),)


@st.composite
def lives(draw: st.DrawFn, pace: Pace, scrape: int) -> Life:
    rare = st.sampled_from((False, False, False, True))
    return Life(
        phase=draw(st.integers(0, scrape - 1)),
        up=draw(presences(pace.horizon, 2)),
        failures=draw(spans(pace.horizon, 2)) if draw(rare) else (),
        gaps=draw(spans(pace.horizon, 1)) if draw(rare) else (),
        cuts=draw(cuts(pace, 2)),
        steps=draw(steps(pace)) if draw(rare) else (),
        old_truth=draw(st.integers(0, pace.horizon)) / 1 if draw(rare) else 0.0,
        ghosts=draw(rare),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pace = draw(st.sampled_from((BRISK, USUAL, SLOW)))
    scrape = draw(st.sampled_from(pace.scrapes))
    return World(
        pace,
        scrape,
        tuple(draw(services(pace, name)) for name in ("red", "blue")[: draw(st.integers(1, 2))]),
        tuple(draw(st.lists(lives(pace, scrape), min_size=1, max_size=3))),
        draw(cuts(pace, 1)),
    )


def told(world: World, differences: Iterable[Difference] = ()) -> str:
    """The world as text: who does what when, then where model and rules part."""
    pace = world.pace
    lines = [f"scraped every {world.scrape} s, evaluated every {pace.evaluation} s, own beat late after {pace.own_timeout:g} s"]
    for service in world.services:
        promise = f"every {service.interval:g} s, missing after {service.timeout:g} s"
        jitter = f", late by {_list(service.jitter)}" if any(service.jitter) else ""
        lines.append(f"service {service.name} on bus {service.bus} beats {promise}: {_when(service.lives)}{jitter}")
    for index, life in enumerate(world.replicas):
        lines.append(f"replica {index} runs {_when(life.up)}, first scraped at {life.phase}")
        lines += [f"  scrapes fail {_when(life.failures)}"] if life.failures else []
        lines += [f"  scrapes leave no trace {_when(life.gaps)}"] if life.gaps else []
        lines += [f"  is {_cut(cut)}" for cut in life.cuts]
        lines += [f"  its clock steps by {step:+g} s at {time:g}" for time, step in life.steps]
        lines += [f"  has the services on their other buses until {life.old_truth:g}"] if life.old_truth else []
        lines += ["  and hears ghosts there"] if life.old_truth and life.ghosts else []
    lines += [f"for all replicas: {_cut(cut)}" for cut in world.stops]
    lines += _table(list(differences), world)
    return "\n".join(lines)


def _table(differences: list[Difference], world: World) -> list[str]:
    lines = []
    for each in differences[:12]:
        lines.append(f"at {each.at:g}: {each.service} is {_verdict(each.model)} by the model, {_verdict(each.rules)} by the rules")
        for index, scrapes in enumerate(world.scrapes):
            last = next((scrape for scrape in reversed(scrapes) if scrape.at <= each.at), None)
            lines.append(f"    replica {index}: {last}")
    if len(differences) > 12:
        lines.append(f"... and at {len(differences) - 12} more evaluations")
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
