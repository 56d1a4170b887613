"""Reads a YAML file into plain values with the line of each, refusing what YAML can do beyond plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from healer.truth.document import Members
from healer.truth.lines import Lines

if TYPE_CHECKING:
    from healer.truth.problems import Path

MAX_BYTES = 1 << 20
"""A policy is written by hand; a larger file is the wrong one."""

MAX_DEPTH = 20
"""A policy nests five deep. The time that YAML takes to read grows with the square of the depth."""

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = {"str", "int", "float", "bool", "null", "map", "seq"}
_AS_TEXT = {"timestamp", "value", "merge"}
"""What YAML takes for a date or an operator; the person who wrote it meant text."""


class YamlError(Exception):
    """The file is not plain YAML.

    Attributes:
        found: What stands there.
        expected: What should.
        hint: What to do; may be empty.
        line: Where, counted from 1, or None.
    """

    def __init__(self, found: str, expected: str, hint: str = "", line: int | None = None) -> None:
        self.found, self.expected, self.hint, self.line = found, expected, hint, line
        super().__init__(f"found {found}, expected {expected}")


class Places(Lines):
    """The lines of a YAML document's paths."""

    def __init__(self, places: dict[Path, int]) -> None:
        super().__init__("")
        self._places = places

    def of(self, path: Path) -> int | None:
        """Return the line of `path`, else of the nearest thing around it."""
        return next(
            (self._places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self._places), None
        )


def read(raw: bytes) -> tuple[Members, Places]:
    """Return the mapping that `raw` holds, and its lines.

    Aliases, tags and several documents are refused: none of them is needed here, and each can surprise.

    Raises:
        YamlError: It is not UTF-8, not YAML, not plain data, or not a mapping.
    """
    if len(raw) > MAX_BYTES:
        raise YamlError(f"{len(raw)} bytes", f"at most {MAX_BYTES}", "Is it the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError(f"byte 0x{raw[error.start]:02x}", "UTF-8", "Save it as UTF-8.", line) from None
    places: dict[Path, int] = {}
    try:
        _refuse_surprises(text)
        node = yaml.compose(text, yaml.SafeLoader)
        value = None if node is None else _plain(node, (), places)
    except yaml.reader.ReaderError as error:
        raise YamlError(f"the character U+{error.character:04X}", "text", "Remove it.") from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(error) from None
    except (RecursionError, ValueError):
        raise YamlError("what no policy holds", "plain YAML", "Is it the right file?") from None
    if not isinstance(value, Members):
        found = "nothing" if value is None else "no mapping"
        raise YamlError(found, "a mapping with `actions` and `rules`", "Is it the right file?", 1)
    return value, Places(places)


def _syntax(error: yaml.MarkedYAMLError) -> YamlError:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    hint = ""
    if "single document" in (error.context or ""):
        return YamlError("a second document", "one", "Remove it, and the --- before it.", line)
    if "\\t" in (error.problem or ""):
        hint = "Indent with spaces, not with tabs."
    # The parser's own words name characters and structure, never values: no secret can be in them.
    return YamlError(f"a syntax error ({error.problem})", "YAML", hint, line)


def _refuse_surprises(text: str) -> None:
    """Refuse what is dear or dangerous to compose, while it is still a stream of events."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError("an anchor or alias", "plain values", "Write it out.", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise YamlError(f"more than {MAX_DEPTH} levels", "a policy", "Is it the right file?", line)


def _plain(node: yaml.Node, path: Path, places: dict[Path, int]) -> object:
    places.setdefault(path, node.start_mark.line + 1)
    kind = node.tag.removeprefix(_STANDARD)
    if kind in _AS_TEXT:
        return node.value
    if kind not in _PLAIN:
        raise YamlError("a YAML tag", "plain values", "Remove it.", node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        pairs: list[tuple[str, object]] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError("a key that is no text", "a name", "", key.start_mark.line + 1)
            at = (*path, key.value)
            places.setdefault(at, key.start_mark.line + 1)
            pairs.append((key.value, _plain(value, at, places)))
        return Members(pairs)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), places) for index, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)
