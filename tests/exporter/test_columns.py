"""The rendered columns are, byte for byte, what prometheus_client makes of the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from healer.beats.board import Slot
from healer.beats.decode import Invalid
from healer.exporter.columns import SLICE, Columns
from healer.exporter.families import FAMILIES, INVALID, Moment
from healer.truth.model import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from healer.exporter.families import Family

MOMENT = Moment(offset=1_795_350_000.25, up=frozenset({"up"}))


class Oracle(Collector):
    """The same families through prometheus_client's own objects."""

    def __init__(self, slots: Sequence[Slot], moment: Moment) -> None:
        self._slots = slots
        self._moment = moment

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            metric = self._empty(family, "svc", "bus")
            for slot, value in zip(self._slots, family.column(self._slots, self._moment), strict=True):
                if value is not None:
                    metric.add_metric([slot.name, slot.service.bus], value)
            yield metric
        metric = self._empty(INVALID, "svc", "bus", "reason")
        for slot in self._slots:
            for reason, count in sorted(slot.invalid.items()):
                metric.add_metric([slot.name, slot.service.bus, reason.value], count)
        yield metric

    @staticmethod
    def _empty(family: Family, *labels: str) -> GaugeMetricFamily | CounterMetricFamily:
        kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
        return kind(family.name, family.text, labels=labels)


def assert_same(slots: Sequence[Slot], moment: Moment = MOMENT) -> None:
    registry = CollectorRegistry()
    registry.register(Oracle(slots, moment))
    columns = Columns(slots)
    assert b"".join(columns.render(moment, openmetrics=False)) == generate_latest(registry)
    assert b"".join(columns.render(moment, openmetrics=True)) + b"# EOF\n" == generate_openmetrics(registry)


def slot(name: str, bus: str = "up") -> Slot:
    return Slot(Service(name=name, bus=bus, channel=f"{name}:heartbeat", interval=10.0, timeout=22.5))


instants = st.none() | st.floats(0, 1e9) | st.sampled_from([0.0, 0.75, 1e-7, 204_650_000.0, 8e9])
counts = st.integers(0, 10**18) | st.integers(0, 3)


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    one = slot(draw(st.text(max_size=8)), draw(st.sampled_from(["up", "down", 'a"b\\c\nd'])))
    one.last, one.since = draw(instants), draw(instants)
    one.skew = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
    one.ahead, one.lost, one.restarts = draw(counts), draw(counts), draw(counts)
    one.invalid = draw(st.dictionaries(st.sampled_from(Invalid), counts, max_size=2))
    return one


@given(st.lists(slots(), max_size=12))
def test_any_values_and_names(some: list[Slot]) -> None:
    assert_same(some)


def test_more_services_than_a_slice() -> None:
    many = [slot(f"svc{number}") for number in range(2 * SLICE + 1)]
    for number, one in enumerate(many):
        one.hear(b'{"i":1,"ts":1795350000}', now=number / 7, wall=1_795_350_001.5)
        one.listen(12.5)
    many[SLICE].skew = None
    assert_same(many)


def test_no_service_at_all() -> None:
    assert_same([])


def test_a_scrape_looks_at_the_services_slice_by_slice_and_another_may_be_under_way() -> None:
    seen: list[Slot] = []
    many = [slot(f"svc{number}") for number in range(2 * SLICE + 1)]
    columns = Columns(seen.append(one) or one for one in many)
    alone = [*Columns(many).render(MOMENT, openmetrics=False)]
    first, second = (columns.render(MOMENT, openmetrics=False) for _ in "12")
    assert ([next(first), next(first)], len(seen)) == (alone[:2], SLICE)
    assert [piece for pair in zip(second, first, strict=False) for piece in pair][::2] == alone[:-2]
    assert len(seen) == len(many)
