"""What the rules remember of a service that has left truth: nothing, from the next evaluation on.

Of many services: from the next after that which wrote down what is remembered of the others.
A reload keeps the recorded series, so here they are given, as the rules before the edit left them behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.bundle.conftest import LATE_FORM, RELOADED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Timeline

MEMORIES = (
    "svc:heartbeat_last_seen_timestamp_seconds:max",
    "svc:heartbeat_silent_since_timestamp_seconds:latched",
    "svc:heartbeat_unwatched_since_timestamp_seconds:latched",
)


@pytest.mark.parametrize("form", ["few", LATE_FORM])
@pytest.mark.parametrize("series", MEMORIES)
def test_nothing_is_remembered_of_a_service_that_left_truth(
    timeline: Callable[..., Timeline], series: str
) -> None:
    line = timeline(end=90)
    line.add(f'{series}{{svc="gone"}}', lambda now: 1.0 if now < RELOADED else None)
    # The given samples themselves are looked back at for five minutes; that no newer ones follow is what counts.
    line.expect(90, f'timestamp({series}{{svc="gone"}}) > {RELOADED}', {})
    line.missing(75)
    line.missing(90)
    line.hold()
