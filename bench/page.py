"""Puts what was measured into docs/scaling.md, each between marks of its own, and keeps it beside as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/scaling.md"


def results_of(name: str) -> Path:
    """Return where the results of `name` are kept."""
    return ROOT / f"bench/{name}.json"


def documented(page: str, name: str, text: str) -> str:
    """Return the page with `text` between the marks of `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no place for {name}: expected the lines {begin!r} and {end!r}")
    return head + begin + text + end + tail


def write(name: str, results: dict[str, Any], words: Callable[[dict[str, Any]], str]) -> None:
    """Keep results, and put what `words` makes of them into the page."""
    results_of(name).write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(documented(PAGE.read_text(), name, words(results)))
