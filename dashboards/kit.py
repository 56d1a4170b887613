"""The house style: how a query, a panel, a variable and a link of ours look, made with Grafana's own models."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    # The classic model is the one that every Grafana in use reads, and that files are provisioned in.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as share
    from grafana_foundation_sdk.builders import dashboard as board
    from grafana_foundation_sdk.builders import stat as stats
    from grafana_foundation_sdk.builders import statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.prometheus import Dataquery
    from grafana_foundation_sdk.models import common, prometheus
    from grafana_foundation_sdk.models import dashboard as models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
INSTANT = "time:YYYY-MM-DD HH:mm:ss"
"""The unit of a moment; its value is in milliseconds."""
AGO = 140
"""The width of a column of `dateTimeFromNow`, for "a few seconds ago"."""

RED, ORANGE, GREEN, BLUE, GREY = "red", "orange", "green", "blue", "text"
"""Colours by name: Grafana has a shade of each for light and for dark. `text` is the theme's own."""

STATES = {0: ("Beating", GREEN), 1: ("Not watched", ORANGE), 2: ("Missing", RED)}
YES = {0: ("No", RED), 1: ("Yes", GREEN)}
ALARM = {0: ("No", GREEN), 1: ("Yes", RED)}
UP = {0: ("Down", RED), 1: ("Up", GREEN)}

Steps = tuple[tuple[float | None, str], ...]
PLAIN: Steps = ((None, GREY),)
BAD_ABOVE_0: Steps = ((None, GREEN), (1, RED))
SKEW_LINES: Steps = ((None, "transparent"), (-5, RED), (5, RED))
SHARE: Steps = ((None, RED), (0.99, ORANGE), (0.999, GREEN))


def runbook(alert: str) -> str:
    """Return what the bundle replaces with the URL of the runbook of `alert`."""
    return f"@@runbook {alert}@@"


def query(expression: str, legend: str = "__auto", *, now: bool = False, table: bool = False) -> Dataquery:
    """Return a query of a range, or of the present alone: `now`, and as a `table`."""
    made = Dataquery().expr(expression).datasource(SOURCE).legend_format(legend)
    made = made.instant() if now or table else made.range()
    return made.format(prometheus.PromQueryFormat.TABLE if table else prometheus.PromQueryFormat.TIME_SERIES)


def mapping(words: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    """Return what shows numbers as coloured words."""
    return models.ValueMap(
        options={
            str(number): models.ValueMappingResult(text=text, color=color, index=index)
            for index, (number, (text, color)) in enumerate(words.items())
        }
    )


def thresholds(steps: Steps) -> board.ThresholdsConfig:
    """Return colours from values up; the first has no value."""
    made = [models.Threshold(value=value, color=color) for value, color in steps]
    return board.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def link(title: str, url: str) -> board.DashboardLink:
    """Return a link to `url`."""
    return board.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)


def _common(panel: Any, title: str, text: str, queries: Sequence[Dataquery], size: tuple[int, int]) -> Any:
    panel = panel.title(title).description(text).datasource(SOURCE).span(size[0]).height(size[1])
    for number, each in enumerate(queries):
        panel = panel.with_target(each.ref_id(chr(ord("A") + number)))
    return panel


def stat(
    title: str,
    text: str,
    expression: str,
    *,
    size: tuple[int, int] = (4, 4),
    unit: str = "short",
    steps: Steps = PLAIN,
    words: Mapping[int, tuple[str, str]] | None = None,
    legend: str = "__auto",
    runbooks: Sequence[str] = (),
    decimals: int | None = None,
    none: str = "–",
) -> stats.Panel:
    """Return a number as of now.

    Args:
        title: Its title.
        text: Its description.
        expression: What is asked.
        size: Columns and rows.
        unit: As Grafana calls it.
        steps: Its colours.
        words: What is shown instead of numbers.
        legend: The name of a series.
        runbooks: Alerts whose runbooks it links to.
        decimals: Digits after the point.
        none: What stands for no answer.
    """
    panel: stats.Panel = _common(stats.Panel(), title, text, [query(expression, legend, now=True)], size)
    panel = (
        panel.unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(board.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE)
        .reduce_options(share.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .no_value(none)
        .links([link(f"Runbook: {alert}", runbook(alert)) for alert in runbooks])
    )
    if words is not None:
        panel = panel.mappings([mapping(words)])
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    text: str,
    *queries: Dataquery,
    size: tuple[int, int] = (12, 8),
    unit: str = "short",
    stacked: bool = False,
    bars: bool = False,
    least: float | None = 0,
    most: float | None = None,
    steps: Steps | None = None,
    colors: Mapping[str, str] | None = None,
    dashed: str = "",
    legend: bool = True,
    points: int = 0,
    runbooks: Sequence[str] = (),
) -> timeseries.Panel:
    """Return values over time.

    Args:
        title: Its title.
        text: Its description.
        queries: What is asked.
        size: Columns and rows.
        unit: As Grafana calls it.
        stacked: Whether values add up.
        bars: Whether they are bars.
        least: The axis' lower end; None for any.
        most: The axis' upper end.
        steps: Lines to compare with, as dashes.
        colors: The colour of a series, by its name, or by a regular expression between slashes.
        dashed: A regular expression for the names of series that are limits.
        legend: Whether series are named below.
        points: For how many moments it asks at most; 0: for one a pixel.
        runbooks: Alerts whose runbooks it links to.
    """
    panel: timeseries.Panel = _common(timeseries.Panel(), title, text, queries, size)
    panel = (
        panel.unit(unit)
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .line_width(1 if bars or stacked else 2)
        .fill_opacity(70 if bars or stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            share.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
            .max_height(400)
        )
        .legend(
            share.VizLegendOptions()
            .show_legend(legend)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .links([link(f"Runbook: {alert}", runbook(alert)) for alert in runbooks])
    )
    if bars:
        # What happened is counted in steps of a minute at least; see promql.happened.
        panel = panel.interval("1m").axis_soft_max(1).decimals(0)
    panel = panel.max_data_points(points) if points else panel
    if stacked:
        panel = panel.stacking(share.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    panel = panel if least is None else panel.min(least)
    panel = panel if most is None else panel.max(most)
    if steps is not None:
        style = share.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds(steps)).thresholds_style(style)
    for name, color in (colors or {}).items():
        by = panel.override_by_regexp if name.startswith("/") else panel.override_by_name
        panel = by(name, [fixed(color)])
    if dashed:
        panel = panel.override_by_regexp(
            f"/{dashed}/",
            [
                models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
                models.DynamicConfigValue("custom.lineWidth", 1),
                models.DynamicConfigValue("custom.fillOpacity", 0),
                models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "B"}),
            ],
        )
    return panel


def fixed(color: str) -> models.DynamicConfigValue:
    """Return the setting of one colour."""
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})


def timeline(
    title: str,
    text: str,
    *queries: Dataquery,
    size: tuple[int, int],
    words: Mapping[int, tuple[str, str]],
    runbooks: Sequence[str] = (),
) -> statetimeline.Panel:
    """Return states over time; the arguments are those of `lines` and `stat`."""
    panel: statetimeline.Panel = _common(statetimeline.Panel(), title, text, queries, size)
    return (
        panel.mappings([mapping(words)])
        # By thresholds, Grafana would name ranges in the legend and not the states.
        .color_scheme(board.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(GREY))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(80)
        .legend(
            share.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .links([link(f"Runbook: {alert}", runbook(alert)) for alert in runbooks])
    )


class Column:
    """One column of a table: what is asked, under which name it is shown, and how.

    Attributes:
        name: Its heading.
        expression: What is asked; empty for a label of the others.
        field: Where its values are: a label, or `Value #A`.
        settings: How it looks.
    """

    def __init__(
        self,
        name: str,
        expression: str = "",
        *,
        label: str = "",
        unit: str = "",
        width: int = 0,
        words: Mapping[int, tuple[str, str]] | None = None,
        steps: Steps | None = None,
        url: tuple[str, str] | None = None,
        decimals: int | None = None,
        hidden: bool = False,
        none: str = "",
    ) -> None:
        self.name, self.expression, self.field, self.hidden = name, expression, label, hidden
        config = models.DynamicConfigValue
        self.settings = [config("unit", unit)] if unit else []
        if width:
            self.settings.append(config("custom.width", width))
        if words is not None:
            self.settings.append(config("mappings", [mapping(words)]))
            self.settings.append(config("custom.cellOptions", {"type": "color-text"}))
            self.settings.append(config("custom.align", "left"))
        if steps is not None:
            self.settings.append(config("thresholds", thresholds(steps).build()))
            self.settings.append(config("custom.cellOptions", {"type": "color-text"}))
        if url is not None:
            self.settings.append(config("links", [{"title": url[0], "url": url[1]}]))
        if decimals is not None:
            self.settings.append(config("decimals", decimals))
        if none:
            self.settings.append(config("noValue", none))


def grid(
    title: str,
    text: str,
    *columns: Column,
    size: tuple[int, int],
    sort: str = "",
    runbooks: Sequence[str] = (),
    none: str = "",
) -> table.Panel:
    """Return a table whose rows are joined by all labels they share.

    Args:
        title: Its title.
        text: Its description.
        columns: From left to right.
        size: Columns and rows of the grid of panels.
        sort: The heading of the column that it is sorted by, the largest first.
        runbooks: Alerts whose runbooks it links to.
        none: What stands for no rows.
    """
    asked = [column for column in columns if column.expression]
    for number, column in enumerate(asked):
        # Grafana names the values by their query only where there are several.
        column.field = f"Value #{chr(ord('A') + number)}" if len(asked) > 1 else "Value"
    queries = [query(column.expression, table=True) for column in asked]
    panel: table.Panel = _common(table.Panel(), title, text, queries, size)
    # The column that only sorts is sorted by before it goes: a table cannot be sorted by what it does not show.
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    if sort:
        (by,) = (column.field for column in columns if column.name == sort)
        options: dict[str, object] = {"fields": {}, "sort": [{"field": by, "desc": True}]}
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="sortBy", options=options))
    options = {
        "excludeByName": {"Time": True} | {column.field: True for column in columns if column.hidden},
        "indexByName": {column.field: index for index, column in enumerate(columns)},
        "renameByName": {column.field: column.name for column in columns},
    }
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))
    panel = (
        panel.cell_height(common.TableCellHeight.SM)
        .cell_options(common.TableAutoCellOptions())
        .thresholds(thresholds(PLAIN))
        .no_value(none)
    )
    panel = panel.links([link(f"Runbook: {alert}", runbook(alert)) for alert in runbooks])
    for column in columns:
        if column.settings and not column.hidden:
            panel = panel.override_by_name(column.name, column.settings)
    return panel
