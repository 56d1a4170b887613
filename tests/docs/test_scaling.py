"""docs/scaling.md: its table is that of the bench's results, and says honestly which goals were missed."""

from __future__ import annotations

import json

import pytest
from bench import count, shards, soak
from bench.exporter import Row, markdown
from bench.page import PAGE, documented, results_of

GOALS = {0.75, 12, 0.25, 1 / 6, 15, None, 30, 5, 10, 4}


SAID = {"results": markdown, "count": count.words, "soak": soak.words, "shards": shards.words}
THERE = [name for name in SAID if results_of(name).exists()]


def test_there_are_results() -> None:
    assert {"results", "count", "shards"} <= set(THERE)


@pytest.mark.parametrize("name", THERE)
def test_the_page_says_what_the_last_results_are(name: str) -> None:
    text = SAID[name](json.loads(results_of(name).read_text()))
    assert PAGE.read_text() == documented(PAGE.read_text(), name, text)


def test_every_goal_has_its_row() -> None:
    rows = json.loads(results_of("results").read_text())["rows"]
    assert {row["goal"] for row in rows} == GOALS


def test_a_goal_that_is_missed_is_called_so() -> None:
    rows = [
        Row("fast enough", 13.0, 12, most=False, ours="1", theirs="2"),
        Row("too slow", 11.0, 12, most=False, ours="1", theirs="2"),
        Row("small enough", 0.2, 0.25, most=True, ours="1", theirs="2"),
        Row("too large", 0.3, 0.25, most=True, ours="1", theirs="2"),
    ]
    given = [
        dict(zip(Row.__dataclass_fields__, (r.what, r.ratio, r.goal, r.most, r.ours, r.theirs), strict=True))
        for r in rows
    ]
    text = markdown({"rows": given, "date": "d", "cores": 2, "load": 0.0, "versions": "v", "rounds": 5})
    verdicts = [line.split("|")[3].strip() for line in text.splitlines()[2:6]]
    assert verdicts == ["met", "missed", "met", "missed"]
