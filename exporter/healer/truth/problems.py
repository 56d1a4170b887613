"""What is wrong with a document, said so that it can be mended: where, what was found, what was expected."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from healer.truth.lines import Lines

TYPE_NAMES = {bool: "boolean", str: "string", int: "number", float: "number", type(None): "null"}
LONGEST_SHOWN = 60
MOST_SUGGESTIONS = 20
MOST_COMPARED = 50
MANY_BITS = 1000
CREDENTIALS = re.compile(r"^([\w+.-]+://)?.*@", re.DOTALL)
QUERY = re.compile(r"(://[^?]*\?).+", re.DOTALL)
PLAIN_KEY = re.compile(r"[\w-]+")

Path = tuple[str | int, ...]
"""Where in the document: the keys and list positions from its root."""


class Severity(StrEnum):
    """Whether a document with this problem can be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or doubtful.

    Attributes:
        path: JSON path such as `services.rss_agg.heartbeat.interval_sec`, or `env NAME`.
        found: What stands there, shortened and without secrets.
        expected: What should.
        hint: What to do, as sentences; may be empty.
        line: Line of the document, counted from 1, or None where it cannot be told.
        severity: An error refuses the document, a warning does not.
    """

    path: str
    found: str
    expected: str
    hint: str = ""
    line: int | None = None
    severity: Severity = Severity.ERROR

    def render(self, source: str) -> str:
        """Return the problem as one line that opens with `source:line`, as compilers do."""
        place = "" if self.path.startswith("env ") else f"{source}:{self.line or ''}".rstrip(":") + ": "
        mark = "warning: " if self.severity is Severity.WARNING else ""
        return f"{place}{mark}{self}"

    def __str__(self) -> str:
        advice = f" {self.hint}" if self.hint else ""
        return f"{self.path}: found {self.found}, expected {self.expected}.{advice}"


class TruthError(Exception):
    """The document cannot be used; `problems` holds everything that was found, warnings too."""

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        return "\n".join(problem.render(self.source) for problem in self.problems)


class Problems:
    """Collects problems while a document is read, so that all of them are reported at once."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._found: dict[Problem, None] = {}
        self._suggestions = 0

    def may_suggest(self, candidates: Collection[str]) -> bool:
        """Return whether to look which of `candidates` a name was meant to be.

        A comparison takes up to a millisecond, and a document may have thousands of names: only the first
        `MOST_SUGGESTIONS` problems get one, and only where there is little to choose from.
        """
        self._suggestions += 1
        return self._suggestions <= MOST_SUGGESTIONS and len(candidates) <= MOST_COMPARED

    def error(self, path: Path | str, found: str, expected: str, hint: str = "") -> None:
        """Note what makes the document unusable. A path that is text is shown as it is, without a line."""
        self._add(path, found, expected, hint, Severity.ERROR)

    def warn(self, path: Path | str, found: str, expected: str, hint: str = "") -> None:
        """Note what is doubtful but can be used."""
        self._add(path, found, expected, hint, Severity.WARNING)

    def _add(self, path: Path | str, found: str, expected: str, hint: str, severity: Severity) -> None:
        line = None if isinstance(path, str) else self._lines.of(path)
        # A value that many services share (a cadence) is wrong once, however many services it harms.
        self._found[Problem(path_text(path), found, expected, hint, line, severity)] = None

    @property
    def errors(self) -> int:
        """How many errors were noted so far."""
        return sum(problem.severity is Severity.ERROR for problem in self._found)

    def sorted(self) -> tuple[Problem, ...]:
        """Return the problems in the order of the document; those without a line come last."""
        return tuple(sorted(self._found, key=lambda problem: problem.line or float("inf")))

    def refuse(self, source: str) -> None:
        """Raise what was collected if any of it is an error.

        Raises:
            TruthError: At least one error was noted.
        """
        if self.errors:
            raise TruthError(self.sorted(), source)


def path_text(path: Path | str) -> str:
    """Return a path as text: `services.rss_agg.subscribe_to[0]`; odd keys are quoted."""
    if isinstance(path, str):
        return path
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text or "the document"


def shown(value: object) -> str:
    """Return a found value for a person: shortened, with its type, nothing unprintable in it."""
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and not value:
        return "an empty string"
    # Python refuses to print integers of thousands of digits.
    if isinstance(value, int) and value.bit_length() > MANY_BITS:
        return "a number of hundreds of digits"
    if value is None:
        return "null"
    return f"{quoted(value)} ({TYPE_NAMES[type(value)]})"


def quoted(value: object) -> str:
    """Return a plain value as it is written in JSON, shortened, without passwords or anything unprintable."""
    if isinstance(value, str):
        value = QUERY.sub(r"\1…", CREDENTIALS.sub(r"\1***@", value))
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST_SHOWN:
        text = text[:LONGEST_SHOWN] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
