"""The templates are those of the builders, and what they become is what Grafana takes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
from dashboards.templates import templates, tidy
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from healer.bundle import Settings, render
from healer.truth.load import load_file

from .conftest import ALERTS, BOARDS, HOSTS, ROOT

TEMPLATES = ROOT / "exporter/healer/bundle/templates/grafana/dashboards"
SCHEMA = json.loads((Path(__file__).parent / "grafana.schema.json").read_text(encoding="utf-8"))
OPTIONS = {"stat": "Stat", "table": "Table", "timeseries": "TimeSeries", "state-timeline": "StateTimeline"}

pytestmark = pytest.mark.parametrize("name", BOARDS)


def valid(document: object, kind: str) -> None:
    schema = {"$ref": f"#/definitions/{kind}", "definitions": SCHEMA["definitions"]}
    problems = [
        f"{each.json_path}: {each.message}"
        for each in jsonschema.Draft7Validator(schema).iter_errors(document)
    ]
    assert problems == []


def test_the_template_is_not_stale(name: str) -> None:
    made = templates()
    assert {path.name for path in TEMPLATES.iterdir()} == set(made)
    file = f"{name}.json.j2"
    assert (TEMPLATES / file).read_text(encoding="utf-8") == made[file], "run: make dashboards"


def test_grafana_s_schema_takes_it(name: str) -> None:
    valid(BOARDS[name], "WholeDashboard")
    for panel in BOARDS[name]["panels"]:
        kind = OPTIONS[panel["type"]]
        valid(panel["options"], f"{kind}Options")
        if kind != "Stat":
            valid(panel["fieldConfig"]["defaults"].get("custom", {}), f"{kind}FieldConfig")


def test_grafana_s_own_models_lose_nothing_of_it(name: str) -> None:
    register_default_plugins()
    read = Dashboard.from_json(json.loads(json.dumps(BOARDS[name])))
    assert tidy(json.loads(JSONEncoder().encode(read))) == BOARDS[name]


def test_it_can_be_linked_to(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == {"healer": "healer-itself"}.get(name, f"healer-{name}")
    assert max(Counter(each["uid"] for each in BOARDS.values()).values()) == 1
    assert "id" not in board
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    assert "healer" in board["tags"]
    assert board["links"][0]["tags"] == ["healer"]


def test_every_panel_says_what_it_shows_and_asks_the_chosen_source(name: str) -> None:
    for panel in BOARDS[name]["panels"]:
        assert panel["description"].endswith("."), panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert sources == [{"type": "prometheus", "uid": "${datasource}"}] * len(sources)


def test_panels_do_not_overlap(name: str) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        taken.update(
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        )
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) == 23


def test_runbooks_are_where_the_settings_say(name: str) -> None:
    settings = Settings(runbook_base='https://wiki.example/"{alert}"')
    text = render(load_file(HOSTS / "truth.json", {}).truth, settings)[f"grafana/dashboards/{name}.json"]
    titles = {
        link["title"].removeprefix("Runbook: "): link["url"]
        for panel in json.loads(text)["panels"]
        for link in panel.get("links", [])
    }
    assert titles
    assert set(titles) <= ALERTS
    assert all(url == f'https://wiki.example/"{alert}"' for alert, url in titles.items())
    assert "github" not in text
