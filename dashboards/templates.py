"""Dashboards as text: JSON, but for what only the bundle knows, which is left to its template engine.

That is who made the file, which every generated file begins with, and where runbooks are. The bundle fills these in,
and needs no library for it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.autoheal import autoheal
from dashboards.healer import healer
from dashboards.heartbeats import heartbeats
from dashboards.hosts import hosts
from dashboards.service import service

if TYPE_CHECKING:
    from typing import Any

_RUNBOOK = re.compile(r'"@@runbook (.+?)@@"')
_MARKS = ("[[", "[%", "[#")


def documents() -> dict[str, dict[str, Any]]:
    """Return every dashboard as a JSON document, by the name of its file."""
    built = {
        "autoheal": autoheal(),
        "healer": healer(),
        "heartbeats": heartbeats(),
        "hosts": hosts(),
        "service": service(),
    }
    return {name: tidy(json.loads(JSONEncoder().encode(board.build()))) for name, board in built.items()}


def templates() -> dict[str, str]:
    """Return the template of every dashboard, by the name of its file."""
    return {f"{name}.json.j2": _template(document) for name, document in documents().items()}


def tidy(document: dict[str, Any]) -> dict[str, Any]:
    """Give every panel a number of its own, which links to it are made of, and drop what Grafana knows no more."""
    for number, panel in enumerate(document["panels"], start=1):
        panel["id"] = number
        if panel["type"] == "table":
            panel["options"].pop("footer")
    for each in (document, *document["panels"]):
        for link in each.get("links", []):
            link.pop("placement", None)
    for variable in document["templating"]["list"]:
        for name in ("auto", "auto_min", "auto_count", "definition"):
            variable.pop(name, None)
    return document


def _template(document: dict[str, Any]) -> str:
    document = dict(document)
    about = json.dumps(document.pop("description"))
    text = json.dumps(document, indent=1, ensure_ascii=False)
    assert not any(mark in text for mark in _MARKS), "a mark of the template engine"  # noqa: S101
    # The first line says what made the file, as in every other that the bundle makes.
    first = f'{{"description": [[ ({about} ~ " " ~ origin) | tojson ]],'
    return f"{first}\n{_RUNBOOK.sub(_placeholder, text.removeprefix('{').lstrip())}\n"


def _placeholder(match: re.Match[str]) -> str:
    return f"[[ settings.runbook({match[1]!r}) | tojson ]]"
