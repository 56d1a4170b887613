"""Reads a JSON text into plain values, keeping what json.loads forgets: duplicate keys, and where it failed."""

from __future__ import annotations

import codecs
import json
import re

from healer.truth.lines import Lines
from healer.truth.problems import Problem, TruthError, shown

WHOLE = "the document"
LONGEST_INTEGER = 300
"""Digits; Python refuses to read integers of thousands of digits, and a float holds at most 308."""
SECRET_WORDS = re.compile(r"pass|pwd|secret|token|api_?key|credential|://[^\s\"]*@", re.IGNORECASE)


class Members(dict[str, object]):
    """A JSON object; as with json.loads the last of several equal keys counts.

    Attributes:
        duplicates: Keys that occur more than once.
    """

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.duplicates = (
            tuple(
                dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # set.add is None
            )
            if len(self) < len(pairs)
            else ()
        )


def read(raw: str | bytes, source: str) -> tuple[Members, Lines]:
    """Return the object that a JSON text holds, and the lines of its paths.

    NaN and Infinity are read as numbers: no JSON, but documents written by Python hold them, and outside of
    Healer's own blocks they are none of its business.

    Raises:
        TruthError: No UTF-8, no JSON, or not an object.
    """
    text = _decode(raw, source)
    if not text.strip():
        raise _refusal(source, "nothing", "a JSON object", "Is it the right file?")
    try:
        value = json.loads(text, object_pairs_hook=Members, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise TruthError([_syntax(text, error)], source) from None
    except RecursionError:
        raise _refusal(source, "hundreds of nested brackets", "a wiring document") from None
    if not isinstance(value, Members):
        raise _refusal(source, shown(value), "an object with `services` (or `components`)", line=1)
    return value, Lines(text)


def _decode(raw: str | bytes, source: str) -> str:
    if isinstance(raw, str):
        return raw.removeprefix("\ufeff")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refusal(source, "UTF-16", "UTF-8", "Save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise _refusal(source, found, "UTF-8", "Save it as UTF-8.", line) from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def _refusal(source: str, found: str, expected: str, hint: str = "", line: int | None = None) -> TruthError:
    return TruthError([Problem(WHOLE, found, expected, hint, line)], source)


def _syntax(text: str, error: json.JSONDecodeError) -> Problem:
    position, hint = error.pos, ""
    before = text[:position].rstrip()
    char = text[position : position + 1]
    if before.endswith(",") and char in {"}", "]"}:
        position, hint = len(before) - 1, "Remove the comma before the closing bracket."
    elif char == "," and text[position + 1 :].lstrip()[:1] in {"}", "]"}:
        hint = "Remove the comma before the closing bracket."
    elif char == "'":
        hint = "Strings take double quotes."
    elif char in {"/", "#"}:
        hint = "JSON has no comments: remove it."
    elif "delimiter" in error.msg:
        hint = "Is a comma, a colon or a bracket missing just before?"
    elif error.msg.startswith("Extra data"):
        hint = "Something follows the end of the document: remove it."
    elif error.msg.startswith("Invalid control character"):
        hint = "Is the closing quote missing?"
    number = text.count("\n", 0, position) + 1
    if not char:
        return Problem(
            WHOLE, "its end", "more JSON", "Was it cut off, or is a bracket or quote not closed?", number
        )
    start = text.rfind("\n", 0, position) + 1
    line = text[start:].partition("\n")[0].rstrip()
    column = position - start + 1
    return Problem(
        WHOLE,
        f"`{_excerpt(line, column)}` at column {column}",
        "JSON",
        hint,
        text.count("\n", 0, position) + 1,
    )


def _excerpt(line: str, column: int) -> str:
    """Return the line as far as a person needs it, nothing of it where it may hold a secret."""
    if SECRET_WORDS.search(line):
        return "(a line that may hold a secret)"
    start = max(0, column - 41)
    cut = line[start : start + 60]
    text = ("…" if start else "") + cut.strip() + ("…" if start + 60 < len(line) else "")
    return "".join(c if c.isprintable() else "�" for c in text)
