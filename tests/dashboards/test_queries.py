"""Every expression is PromQL, and the recorded series and alerts that it names exist.

That the metrics of the processes exist is proven against the running stack, in tests/e2e/test_dashboards.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import promql_parser
import pytest

from .conftest import ALERTS, BOARDS, RECORDED, Asked, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = list(asked())
INTERNAL = {
    "svc:heartbeat_silent_since_timestamp_seconds:latched",
    "svc:heartbeat_observed_timestamp_seconds:min",
}


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """Yield every selector of an expression."""
    pending = [promql_parser.parse(expression)]
    while pending:
        node = pending.pop()
        match node:
            case promql_parser.VectorSelector():
                yield node
            case promql_parser.MatrixSelector():
                yield node.vector_selector
            case promql_parser.Call():
                pending += node.args
            case promql_parser.BinaryExpr():
                pending += [node.lhs, node.rhs]
            case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
                pass
            case _:
                pending.append(node.expr)


def name_of(query: Asked) -> str:
    return f"{query.board}-{query.panel}"


@pytest.mark.parametrize("query", ALL, ids=name_of)
def test_it_is_promql_on_recorded_series_that_exist(query: Asked) -> None:
    named = {each.name for each in selectors(query.expression) if each.name}
    assert {name for name in named if ":" in name} <= RECORDED - INTERNAL
    assert named or "__name__" in query.expression or query.expression.startswith("vector(")


@pytest.mark.parametrize("query", [each for each in ALL if "ALERTS" in each.expression], ids=name_of)
def test_the_alerts_that_it_asks_for_exist(query: Asked) -> None:
    for each in selectors(query.expression):
        for matcher in each.matchers.matchers:
            if matcher.name == "alertname":
                assert all(
                    any(re.fullmatch(one, alert) for alert in ALERTS) for one in matcher.value.split("|")
                ), matcher.value


def test_never_is_not_shown_as_1970() -> None:
    series = r"svc:heartbeat_last_seen_timestamp_seconds:max"
    asking = [query.expression for query in ALL if series in query.expression]
    assert asking
    for expression in asking:
        assert re.sub(rf"{series}(\{{[^}}]*\}})? > 0", "", expression).count(series) == 0, expression


def test_a_walk_finds_every_selector() -> None:
    found = {
        each.name
        for each in selectors("topk(3, -rate(a[5m]) + on (x) (b or max_over_time(c[1h:1m] @ end())))")
    }
    assert found == {"a", "b", "c"}


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_asks_once_for_each_service(name: str) -> None:
    for panel in BOARDS[name]["panels"]:
        assert "repeat" not in panel
        assert len(panel["targets"]) <= 8


def test_what_has_a_series_per_service_is_bounded() -> None:
    """By topk, or by adding up over all labels but those that few things have."""
    for query in ALL:
        if (query.board in ("heartbeats", "hosts") and query.kind != "annotation") or query.panel == "Misses":
            assert re.search(
                r"topk\(|^(1000 \* )?(sum|count|avg|min|max)( by \((bus|alertname, severity)\))? ?\(",
                query.expression,
            ), query
