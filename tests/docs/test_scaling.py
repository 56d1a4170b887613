"""docs/scaling.md: its table is that of the bench's results, and says honestly which goals were missed."""

from __future__ import annotations

import json

from bench.exporter import PAGE, RESULTS, Row, documented, markdown

GOALS = {0.75, 12, 0.25, 1 / 6, 15, 30, 5, 10, 4}


def test_the_table_is_that_of_the_last_results() -> None:
    results = json.loads(RESULTS.read_text())
    assert PAGE.read_text() == documented(PAGE.read_text(), results)
    assert {row["goal"] for row in results["rows"]} <= GOALS
    assert len(results["rows"]) >= 15


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
