"""What stands around the panels: the dashboard itself, its variables, and marks on every graph."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dashboards.kit import SOURCE

with warnings.catch_warnings():
    # The classic model, as in `dashboards.kit`.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard as board
    from grafana_foundation_sdk.builders.prometheus import Dataquery
    from grafana_foundation_sdk.models import dashboard as models

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE_UID = "healer-prometheus"
TAG = "healer"


def source_variable() -> board.DatasourceVariable:
    """Return the choice of the Prometheus that is asked."""
    chosen = models.VariableOption(text="Prometheus (Healer)", value=SOURCE_UID)
    return board.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)


def variable(
    name: str, text: str, series: str, label: str = "", *, several: bool = True
) -> board.QueryVariable:
    """Return the choice among the values that `label`, by default `name`, has in `series`."""
    asked = f"label_values({series}, {label or name})"
    made = (
        board.QueryVariable(name)
        .label(text)
        .datasource(SOURCE)
        .query({"query": asked, "refId": "StandardVariableQuery"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )
    if not several:
        return made
    # `.*` rather than all names: it also finds services without the label, and stays short with 5,000 of them.
    everything = models.VariableOption(text=["All"], value=["$__all"])
    return made.multi(True).include_all(True).all_value(".*").current(everything)


def choice(name: str, text: str, values: Sequence[str], first: str) -> board.CustomVariable:
    """Return the choice among fixed `values`, of which `first` is taken at first."""
    options = [models.VariableOption(text=each, value=each, selected=each == first) for each in values]
    current = models.VariableOption(text=first, value=first, selected=True)
    return board.CustomVariable(name).label(text).values(",".join(values)).options(options).current(current)


def annotation(name: str, expression: str, title: str, color: str) -> board.AnnotationQuery:
    """Return marks on every graph while `expression` has a value."""
    asked = Dataquery().expr(expression).ref_id("Anno").legend_format(title)
    return (
        board.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .hide(False)
        .icon_color(color)
        .title_format(title)
        .target(asked)
    )


def dashboard(uid: str, title: str, text: str, span: str = "now-1h") -> board.Dashboard:
    """Return an empty dashboard with links to the others."""
    others = (
        board.DashboardLink("Healer")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .keep_time(True)
        .include_vars(False)
    )
    return (
        board.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .refresh("10s")
        .time(span, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(others)
        .with_variable(source_variable())
    )
