"""The metric families that have one sample per service: names, types, help, and where each value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from healer.beats.board import Slot


@dataclass(frozen=True, slots=True)
class Moment:
    """What a column needs besides the slots.

    Attributes:
        offset: What makes a monotonic instant epoch seconds.
        up: Names of the buses that are heard.
    """

    offset: float
    up: frozenset[str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: Without the `_total` of a counter.
        kind: Its type.
        text: Its help.
        column: Returns the value of each slot, in order; None for no sample.
    """

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    column: Callable[[Sequence[Slot], Moment], Sequence[float | None]]

    @property
    def sample(self) -> str:
        """The name of its samples."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


def _last_seen(slots: Sequence[Slot], moment: Moment) -> Sequence[float]:
    offset = moment.offset
    return [0.0 if slot.last is None else slot.last + offset for slot in slots]


def _watch_start(slots: Sequence[Slot], moment: Moment) -> Sequence[float]:
    offset, up = moment.offset, moment.up
    return [
        0.0 if slot.since is None or slot.service.bus not in up else slot.since + offset for slot in slots
    ]


FAMILIES = (
    Family(
        "heartbeat_last_seen_timestamp_seconds",
        "gauge",
        "When the newest beat of the service was received, on the exporter's clock; 0 before the first.",
        _last_seen,
    ),
    Family(
        "heartbeat_watch_start_timestamp_seconds",
        "gauge",
        "Since when this replica has been listening to the service without a break; 0 while it is not.",
        _watch_start,
    ),
    Family(
        "heartbeat_clock_skew_seconds",
        "gauge",
        "Receipt minus the ts of the newest beat; positive: the publisher's clock is behind, or the bus slow.",
        lambda slots, _: [slot.skew for slot in slots],
    ),
    Family(
        "heartbeat_file_exists",
        "gauge",
        "1 if the file that is the service's heartbeat is there, 0 if not; none while nobody can tell.",
        lambda slots, _: [None if slot.present is None else float(slot.present) for slot in slots],
    ),
    Family(
        "heartbeat_beats", "counter", "Beats heard.", lambda slots, _: [float(slot.beats) for slot in slots]
    ),
    Family(
        "heartbeat_lost",
        "counter",
        "Beats missed, as gaps in i tell.",
        lambda slots, _: [float(slot.lost) for slot in slots],
    ),
    Family(
        "heartbeat_publisher_restarts",
        "counter",
        "Times that i went back.",
        lambda slots, _: [float(slot.restarts) for slot in slots],
    ),
    Family(
        "heartbeat_interval_seconds",
        "gauge",
        "Time between two beats, as this replica's truth says.",
        lambda slots, _: [slot.service.interval for slot in slots],
    ),
    Family(
        "heartbeat_timeout_seconds",
        "gauge",
        "Silence after which the service is missing, as this replica's truth says.",
        lambda slots, _: [slot.service.timeout for slot in slots],
    ),
)
"""In the order of the exposition."""

INVALID = Family(
    "heartbeat_invalid",
    "counter",
    "Messages on a heartbeat channel that were no beat.",
    lambda slots, _: [float(sum(slot.invalid.values())) for slot in slots],
)
"""The one with a label more, `reason`: a sample for each reason that occurred, summed up by its column."""
