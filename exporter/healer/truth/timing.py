"""Reads how often something beats and how long it may be silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healer.truth.blocks import DAY, Block, Environment, Given, first

if TYPE_CHECKING:
    from healer.truth.problems import Problems

HEARTBEAT_KEYS = ("channel", "interval_sec", "timeout_sec", "ttl_sec", "redis_url", "source", "path")
THRESHOLD_KEYS = ("heartbeat_cadence",)

DEFAULT_INTERVAL = 10.0
DEFAULT_TIMEOUT = 30.0
LONGEST_INTERVAL = DAY
LONGEST_TIMEOUT = 30 * DAY
COMFORTABLE = 3
"""A timeout of this many intervals forgives two lost beats."""


def heartbeat(owner: Block) -> Block:
    """Return the `heartbeat` block of a service, with keys noted that mean nothing in it."""
    block = owner.block("heartbeat")
    block.only(HEARTBEAT_KEYS)
    return block


def shared_timeout(healer: Block, environment: Environment) -> Given[float]:
    """Return the timeout of every service that sets none of its own."""
    threshold = healer.block("threshold")
    threshold.only(THRESHOLD_KEYS)
    return first(
        threshold.seconds("heartbeat_cadence", LONGEST_TIMEOUT),
        environment.seconds("DEFAULT_TIMEOUT_SEC", LONGEST_TIMEOUT),
        default=DEFAULT_TIMEOUT,
    )


def interval_seconds(block: Block, fallback: Given[float] | None = None) -> Given[float]:
    """Return the seconds between two beats that a `heartbeat` block promises."""
    return first(block.seconds("interval_sec", LONGEST_INTERVAL), fallback, default=DEFAULT_INTERVAL)


def timeout_seconds(block: Block, fallback: Given[float]) -> Given[float]:
    """Return the seconds of silence that a `heartbeat` block allows."""
    return first(
        block.seconds("timeout_sec", LONGEST_TIMEOUT),
        block.seconds("ttl_sec", LONGEST_TIMEOUT),
        fallback,
        default=0.0,
    )


def check(block: Block, interval: Given[float], timeout: Given[float], problems: Problems) -> None:
    """Note a timeout that the promised interval makes impossible or touchy."""
    if not block.sound:
        return
    # The nearest value that somebody wrote is the one to change.
    written = [given.path for given in (timeout, interval) if given.path[: len(block.path)] == block.path]
    path = next(iter(written), timeout.path if timeout.origin != "default" else block.at("timeout_sec"))
    name = timeout.path[-1] if path == timeout.path and isinstance(path, tuple) else "timeout_sec"
    found = f"a timeout of {timeout.value:g} s with a beat every {interval.value:g} s"
    hint = f"Set {name} to {COMFORTABLE * interval.value:g}."
    if timeout.value <= interval.value:
        problems.error(path, found, "a timeout longer than the interval", hint)
    elif timeout.value < COMFORTABLE * interval.value:
        problems.warn(path, found, f"{COMFORTABLE} intervals or more, so that one lost beat is no miss", hint)
