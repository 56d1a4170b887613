"""What the rules remember of a service that has left truth: nothing, from the next evaluation on.

A reload keeps the recorded series, so here they are given, as the rules before the edit left them behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Timeline

MEMORIES = (
    "svc:heartbeat_last_seen_timestamp_seconds:max",
    "svc:heartbeat_silent_since_timestamp_seconds:latched",
    "svc:heartbeat_watched_timestamp_seconds:max",
)


@pytest.mark.parametrize("series", MEMORIES)
def test_nothing_is_remembered_of_a_service_that_left_truth(
    timeline: Callable[..., Timeline], series: str
) -> None:
    line = timeline(end=30)
    line.add(f'{series}{{svc="gone"}}', lambda now: 1.0 if now == 0 else None)
    # The given sample itself is looked back at for five minutes; that no newer one follows is what counts.
    line.expect(30, f'timestamp({series}{{svc="gone"}}) > 5', {})
    line.missing(30)
    line.hold()
