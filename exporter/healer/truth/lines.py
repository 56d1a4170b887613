"""Finds the line of a JSON path, for messages about documents that parse but are wrong."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from healer.truth.problems import Path

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]|[^\s{}\[\],:"]+', re.DOTALL)
DEEPEST = 10
"""Nothing of ours lies deeper; remembering every path of an absurdly nested document would cost gigabytes."""


class Lines:
    """The lines of one JSON text, found on the first question: most documents are never asked."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, path: Path) -> int | None:
        """Return the line of `path`, else of the nearest thing around it; None in a text that is not JSON."""
        for length in range(len(path), -1, -1):
            line = self._index.get(path[:length])
            if line is not None:
                return line
        return None

    @cached_property
    def _index(self) -> dict[Path, int]:
        index: dict[Path, int] = {}
        # One step for each open container: a position in a list, a key in an object, None before the key.
        steps: list[str | int | None] = []
        in_list: list[bool] = []
        line, at = 1, 0
        for token in TOKEN.finditer(self._text):
            line += self._text.count("\n", at, token.start())
            at = token.start()
            text = token[0]
            if text in "}]":
                if steps:
                    steps.pop()
                    in_list.pop()
                continue
            if text == ",":
                if steps:
                    step = steps[-1]
                    steps[-1] = step + 1 if isinstance(step, int) else None
                continue
            is_key = bool(steps) and steps[-1] is None
            if is_key:
                steps[-1] = _unquoted(text)
            if len(steps) <= DEEPEST and (is_key or not steps or in_list[-1]):
                index[tuple(step for step in steps if step is not None)] = line
            if text in "{[" and not is_key:
                steps.append(0 if text == "[" else None)
                in_list.append(text == "[")
        return index


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
