"""What the exporter's two hot paths cost, each beside what one would write without them, in the same run.

Hearing: bytes off the wire to the board, beside json.loads and labelled gauges. Rendering: the families of all
services as text, beside prometheus_client. CPU time, the least of several rounds; ratios first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

import hiredis
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from healer.beats.board import Slot
from healer.exporter.columns import SLICE, Columns
from healer.exporter.families import FAMILIES, Moment
from healer.truth.model import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

ROUNDS = 5
MESSAGES = 100_000
CHANNELS = 1000


def least(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of `ROUNDS` runs."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def slots_of(number: int) -> list[Slot]:
    """Return the slots of services that have all been heard."""
    slots = [Slot(Service(f"svc{i}", "bus", f"svc{i}:heartbeat", 10.0, 30.0)) for i in range(number)]
    for index, slot in enumerate(slots):
        slot.listen(1.5)
        slot.hear(b'{"i":1,"ts":1795350000}', 100.0 + index / 7, 1_795_350_000.5)
    return slots


def wire() -> list[bytes]:
    """Return what Redis sends for `MESSAGES` beats, in pieces as a socket hands them over."""
    beats = b"".join(
        b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(channel), channel, len(beat), beat)
        for i in range(MESSAGES)
        for channel, beat in [
            (
                b"svc%d:heartbeat" % (i % CHANNELS),
                b'{"svc":"svc%d","i":%d,"ts":1795350000}' % (i % CHANNELS, i // CHANNELS),
            )
        ]
    )
    return [beats[start : start + 65536] for start in range(0, len(beats), 65536)]


def hear_ours(pieces: list[bytes]) -> None:
    """Parse and hear everything as the exporter does."""
    sinks = {slot.service.channel.encode(): slot for slot in slots_of(CHANNELS)}
    reader = hiredis.Reader(notEnoughData=None)
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.gets()) is not None:
            sinks[reply[1]].hear(reply[2], 1.0, 1.0)


def hear_plainly(pieces: list[bytes]) -> None:
    """Parse everything with the same parser, then json and labelled metrics."""
    registry = CollectorRegistry()
    last = Gauge("last", "Newest beat.", ["svc"], registry=registry)
    beats = Counter("beats", "Beats.", ["svc"], registry=registry)
    skew = Gauge("skew", "Skew.", ["svc"], registry=registry)
    reader = hiredis.Reader(notEnoughData=None)
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.gets()) is not None:
            beat, now = json.loads(reply[2]), time.time()
            last.labels(beat["svc"]).set(now)
            beats.labels(beat["svc"]).inc()
            skew.labels(beat["svc"]).set(now - beat["ts"])


class Plain(Collector):
    """The same families through prometheus_client."""

    def __init__(self, slots: Sequence[Slot], moment: Moment) -> None:
        self._slots, self._moment = slots, moment

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for family in FAMILIES:
            kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = kind(family.name, family.text, labels=("svc", "bus"))
            for slot, value in zip(self._slots, family.column(self._slots, self._moment), strict=True):
                if value is not None:
                    metric.add_metric([slot.name, slot.service.bus], value)
            yield metric


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    options = parser.parse_args(arguments)
    pieces = wire()
    ours, plain = least(lambda: hear_ours(pieces)), least(lambda: hear_plainly(pieces))
    print(
        f"{plain / ours:5.1f}x  hearing   {1e6 * ours / MESSAGES:6.2f} us a beat; json and gauges {1e6 * plain / MESSAGES:.2f} us"
    )
    for number in options.sizes:
        slots, moment = slots_of(number), Moment(1_795_350_000.0, frozenset({"bus"}))
        columns, registry = Columns(slots), CollectorRegistry()
        registry.register(Plain(slots, moment))
        ours = least(lambda columns=columns, moment=moment: [*columns.render(moment, openmetrics=False)])
        plain = least(lambda registry=registry: generate_latest(registry))
        print(
            f"{plain / ours:5.1f}x  rendering {1e3 * ours:6.1f} ms for {number} services in slices of {SLICE}; "
            f"prometheus_client {1e3 * plain:.1f} ms"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
