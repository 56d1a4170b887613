"""Values as PromQL, YAML and Go templates want them written.

Three languages nest in the generated files, each with its own quoting. Whoever writes a template says which
one a value is for by naming the filter; nothing is escaped implicitly.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import promql_parser
import yaml

from healer.bundle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable

_RE2_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def number(value: float) -> str:
    """Return `value` in plain decimals, exactly: `30`, `22.5`, never `22.499999` or `1e+06`."""
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """Return `seconds`, to the nearest millisecond, as Prometheus and Alertmanager write it: `1m30s`, `500ms`."""
    left = round(seconds * 1000)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def quoted(value: str) -> str:
    """Return `value` as a double-quoted PromQL string.

    What does not print is written as an escape, so that the text can stand in a YAML block as it is.
    """
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise BundleError([f"the name {value!r} holds half a surrogate pair, which is no text: rename it."])
    if "\ufffd" in value:
        problem = "holds U+FFFD, which Prometheus takes for a broken encoding, escaped or not: rename it."
        raise BundleError([f"the name {value!r} {problem}"])
    return '"' + _printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def alternation(values: Iterable[str]) -> str:
    """Return a quoted regular expression that matches exactly `values` (Prometheus anchors it)."""
    return quoted("|".join(_RE2_META.sub(lambda match: "\\" + match.group(), value) for value in values))


def replacement(value: str) -> str:
    """Return `value` quoted as the replacement of label_replace, in which a dollar sign names a group."""
    return quoted(value.replace("$", "$$"))


def go(value: str) -> str:
    """Return `value` so that a Go template shows it as it is."""
    return value.replace("{{", '{{ "{{" }}')


@lru_cache(8192)  # every name is written many times
def scalar(value: str) -> str:
    """Return `value` as a YAML scalar on one line, quoted only where it has to be."""
    style = None if value.isprintable() else '"'
    text: str = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


@lru_cache(1024)
def promql(expression: str) -> str:
    """Return `expression` laid out as Prometheus' documentation does.

    Raises:
        BundleError: It is not PromQL, or laying it out would change what it says.
    """
    try:
        parsed = promql_parser.parse(expression)
        pretty: str = parsed.prettify()
        again = promql_parser.parse(pretty)
    except ValueError as error:
        raise BundleError([f"this is not PromQL ({error}):\n{expression}"]) from error
    if str(again) != str(parsed) or again.prettify() != pretty:
        raise BundleError([f"this expression does not survive being laid out:\n{expression}"])
    # The layout is made of newlines and spaces; anything else that does not print is in a string, unescaped.
    return "\n".join(_printable(line) for line in pretty.split("\n"))


def block(expression: str, indent: int) -> str:
    """Return `promql(expression)` as a YAML block scalar whose lines start at column `indent`."""
    lines = promql(expression).split("\n")
    head = "|2" if lines[0].startswith(" ") else "|"
    return "\n".join([head, *(" " * indent + line for line in lines)])
