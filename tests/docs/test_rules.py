"""docs/rules.md says what the rules say.

After a wanted change of the rules: HEALER_WRITE_GOLDEN=1 pytest tests/docs/test_rules.py, then read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import promql_parser
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
RULES = sorted((ROOT / "rules").glob("*.yml"), reverse=True)
GENERATED = re.compile(r"(?<=<!-- generated: )(.+? -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def meanings(text: str) -> dict[str, str]:
    """The first sentence of the comment above each recording rule, by the rule's name."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            comment += [] if line.startswith("# ----") else [line.removeprefix("#").strip()]
        else:
            if line.startswith("- record: "):
                sentence = re.match(r".+?[.](?= |$)", " ".join(comment))
                found.setdefault(line.removeprefix("- record: "), sentence.group() if sentence else "")
            comment = []
    return found


def tables() -> Iterator[str]:
    """One table for each group of the committed rules that records anything."""
    for path in RULES:
        text = path.read_text(encoding="utf-8")
        said = meanings(text)
        for group in yaml.safe_load(text)["groups"]:
            records = dict.fromkeys(rule["record"] for rule in group["rules"] if "record" in rule)
            yield f"\nGroup `{group['name']}`, every {group['interval']}:\n\n| series | meaning |\n|---|---|\n"
            yield from (f"| `{name}` | {said[name].removesuffix('.')} |\n" for name in records)
    yield "\n"


def test_the_tables_are_those_of_the_rules() -> None:
    text = PAGE.read_text(encoding="utf-8")
    written = GENERATED.sub(lambda match: match[1] + "".join(tables()), text)
    if os.environ.get("HEALER_WRITE_GOLDEN"):
        PAGE.write_text(written, encoding="utf-8")
    assert written == PAGE.read_text(encoding="utf-8")


def test_every_series_has_a_meaning() -> None:
    for path in RULES:
        assert all(meanings(path.read_text(encoding="utf-8")).values()), path


def test_every_alert_about_heartbeats_is_listed_with_its_severity() -> None:
    listed = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (.+?) \|", PAGE.read_text(), re.MULTILINE))
    rules = [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    alerts = {
        rule["alert"]: rule.get("labels", {}).get("severity", "the service's")
        for rule in rules
        if "alert" in rule and not rule["alert"].startswith("Autoheal")
    }
    assert listed == alerts


@pytest.mark.parametrize(
    "query", re.findall(r"^    ([^#\n]+?) *(?:#.*)?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
)
def test_every_query_is_promql_on_series_that_exist(query: str) -> None:
    promql_parser.parse(query)
    recorded = {name for path in RULES for name in meanings(path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"svc:heartbeat_\w+:\w+", query)) <= recorded
