"""The exporter knows itself deaf before any service on the bus would be called missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from healer.beats.cadence import MARGIN, SHORTEST, cadence
from healer.truth.model import Service


def service(interval: float, timeout: float) -> Service:
    return Service(name="a", bus="b", channel="c", interval=interval, timeout=timeout)


def test_the_usual_ten_and_thirty_seconds() -> None:
    rhythm = cadence([service(10, 30)], interval=10)
    assert (rhythm.period, rhythm.deaf_after) == (5.0, 10.25)


def test_the_tightest_service_of_the_bus_decides() -> None:
    assert cadence([service(10, 30), service(1, 3)], interval=10).period == 0.5


def test_a_bus_without_services_beats_as_the_truth_says() -> None:
    assert cadence([], interval=10).period == 10


@given(st.floats(0.1, 600), st.floats(1.0, 100), st.floats(0.5, 60))
def test_deafness_is_known_within_the_slack(interval: float, slack: float, own: float) -> None:
    rhythm = cadence([service(interval, interval + slack)], own)
    assert rhythm.period >= SHORTEST
    assert rhythm.deaf_after <= slack / 2 + MARGIN + 1e-9
