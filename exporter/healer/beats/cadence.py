"""How often the exporter proves that it can hear, and when it calls itself deaf.

A bus can stop delivering without an error. The exporter must know before the first service on it would be
called missing: a service last heard just before the bus fell silent is missed `timeout` after that beat, and
its next beat was due `interval` after it, so the slack to find out in is `timeout - interval`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.truth.model import Service

SHORTEST = 0.1
"""Own beats come no closer than this, in seconds, however tight a truth is."""

MARGIN = 0.25
"""Seconds that an own beat may take to come back before it counts as late."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """The rhythm of one bus, in seconds.

    Attributes:
        period: Time between two own beats.
        deaf_after: Silence of the own beat that proves the bus deaf.
    """

    period: float
    deaf_after: float


def cadence(services: Iterable[Service], interval: float) -> Cadence:
    """Return the rhythm for a bus that carries `services`.

    Args:
        services: Those on the bus; none is fine.
        interval: How often the truth wants the exporter's own beat, in seconds: the slowest it gets.
    """
    slack = min((service.timeout - service.interval for service in services), default=4 * interval)
    period = max(SHORTEST, min(interval, slack / 4))
    return Cadence(period=period, deaf_after=2 * period + MARGIN)
