"""The dashboards as the bundle writes them, and their queries as Grafana would send them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
HOSTS = ROOT / "tests/bundle/golden/hosts"
"""A bundle for a truth with hosts: only such a one has the dashboard of hosts, and rules about them."""
BOARDS: Mapping[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for folder in (ROOT, HOSTS)
    for path in sorted((folder / "grafana/dashboards").glob("*.json"))
}


def _rules(paths: Iterable[Path]) -> list[dict[str, Any]]:
    groups = (group for path in paths for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"])
    return [rule for group in groups for rule in group["rules"]]


RULES = _rules(sorted((ROOT / "rules").glob("*.yml")))
"""Those of a truth without hosts."""
_EVERY = RULES + _rules([HOSTS / "rules/host.rules.yml"])
RECORDED = {rule["record"] for rule in _EVERY if "record" in rule}
ALERTS = {rule["alert"] for rule in _EVERY if "alert" in rule}

USUAL = {
    "bus": ".*",
    "severity": ".*",
    "team": ".*",
    "top": "20",
    "svc": "rss_agg",
    "host": ".*",
    "slo": "0.999",
}
TIMES = {"__range": "900s", "__interval": "15s", "__interval_ms": "15000", "__rate_interval": "60s"}


@dataclass(frozen=True)
class Asked:
    """One query of one panel, or of an annotation."""

    board: str
    panel: str
    kind: str
    expression: str
    instant: bool


def filled(expression: str, values: Mapping[str, str]) -> str:
    """Return `expression` with its variables replaced; one without a value is an error."""
    return re.sub(r"\$\{?([a-z_]\w*)\}?", lambda match: values[match[1]], expression)


def asked(values: Mapping[str, str] = USUAL | TIMES) -> Iterator[Asked]:
    """Yield every query of every dashboard."""
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                text = filled(target["expr"], values)
                yield Asked(name, panel["title"], panel["type"], text, target.get("instant", False))
        for each in board["annotations"]["list"]:
            yield Asked(
                name, each["name"], "annotation", filled(each["target"]["expr"], values), instant=False
            )
