"""Green is for what is well, red for what failed, whatever else a graph shows."""

from __future__ import annotations

import re
from typing import Any

from healer.beats.decode import Invalid

from .conftest import BOARDS


def colors(board: str, title: str) -> dict[str, str]:
    """Return the fixed colours of a panel's series, by name or by regular expression."""
    (panel,) = [each for each in BOARDS[board]["panels"] if each["title"] == title]
    overrides: list[dict[str, Any]] = panel["fieldConfig"]["overrides"]
    return {
        each["matcher"]["options"]: setting["value"]["fixedColor"]
        for each in overrides
        for setting in each["properties"]
        if setting["id"] == "color"
    }


def test_every_reason_why_a_message_was_no_beat_has_a_colour_and_none_that_of_what_is_well() -> None:
    given = colors("service", "Messages that were no beat")
    assert set(given) == {*Invalid, "none"}
    assert not any("green" in color for color in given.values())


def test_failed_deliveries_are_red_whatever_delivers() -> None:
    ((pattern, color),) = colors("healer", "Alertmanager deliveries").items()
    assert color == "red"
    named = re.compile(pattern.strip("/"))
    assert named.search("webhook failed")
    assert not named.search("webhook")
