"""The expressions that several panels share.

They name what docs/rules.md promises, and no query is asked once per service: a panel asks one question, and topk
bounds the answer. What ranks over the whole range is pinned with `@ end()`, so that Prometheus works it out once.
"""

from __future__ import annotations

TRUTH = 'svc:heartbeat_timeout_seconds:truth{bus=~"$bus",severity=~"$severity",team=~"$team"}'
"""The chosen services, with the labels of their alerts; the value is their timeout."""

PINNED = f"{TRUTH} @ end()"
"""The same as of the end of the range, which Prometheus reads once and not at each step."""

STATE = "svc:heartbeat_state:code"
LAST_SEEN = "svc:heartbeat_last_seen_timestamp_seconds:max"
"""Zero is never."""

BEATING, UNWATCHED, MISSING = range(3)

OURS = "Heartbeat.+|Healer.+|Sentinel.+|Autoheal.+"
"""The alerts that are about Healer's business, the Watchdog aside."""


def chosen(expression: str) -> str:
    """Return `expression` for the chosen services only."""
    return f"({expression}) and on (svc) {TRUTH}"


def counted(state: int) -> str:
    """Return how many of the chosen services are in `state`."""
    return f"count(({STATE} == {state}) and on (svc) {PINNED}) or 0 * count({PINNED})"


_AGE = f"clamp_max((time() - ({LAST_SEEN} > 0)) / on (svc) {TRUTH}, 1e5)"

WORST = f"topk($top, (1e6 * {STATE} + on (svc) {_AGE} or on (svc) 1e6 * {STATE} + 1e5) and on (svc) {TRUTH})"
"""The worst services: by their state, then by how many timeouts their last beat is old; never heard comes first."""

TIMELINE = f"{STATE} and on (svc) topk(15, avg_over_time({STATE}[$__range:$__interval] @ end()) and on (svc) {PINNED})"
"""The state of those that were worst over the range."""

SKEW = (
    'max by (svc) (heartbeat_clock_skew_seconds{job="heartbeat"}) and on (svc) topk(10, max by (svc)'
    ' (max_over_time(abs(heartbeat_clock_skew_seconds{job="heartbeat"})[$__range:$__interval] @ end()))'
    f" and on (svc) {PINNED})"
)
"""The clocks that were furthest off over the range."""


def happened(counter: str, by: str, matchers: str, *, most: str = "sum") -> str:
    """Return how often something happened in each step, by a label; nothing where it did not.

    Grafana's rate interval is a step and a scrape: what samples in it are apart is a step, so that each thing is in just
    one of them. In a window of a step alone, what happens between two windows' samples would be in none.
    """
    return f"round({most} by ({by}) ({in_a_step(f'{counter}{{{matchers}}}')})) > 0"


def in_a_step(counter: str) -> str:
    """Return by how much each series of `counter` grew in each step."""
    return f"rate({counter}[$__rate_interval]) * $__interval_ms / 1000"


def firing(alerts: str) -> str:
    """Return the firing alerts whose name matches `alerts`."""
    return f'ALERTS{{alertname=~"{alerts}",alertstate="firing"}}'
