"""Reads a YAML mapping strictly: unknown keys, doubles and wrong types are noted, each with its path and line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import yaml

from healer.truth.problems import Problem, path_text, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from healer.truth.problems import Path

T = TypeVar("T")

TYPES = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:bool": "a truth value",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:map": "a mapping",
    "tag:yaml.org,2002:seq": "a list",
}
TRUTH_VALUES = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class WebConfigError(Exception):
    """A web configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        return "\n".join(problem.render(self.source) for problem in self.problems)


@dataclass
class Notes:
    """What was found wrong so far."""

    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, node: yaml.Node | None, found: str, expected: str, hint: str = "") -> None:
        """Note that at `path`, where `node` stands, `found` is not `expected`."""
        line = None if node is None else node.start_mark.line + 1
        self.problems.append(Problem(path_text(path), found, expected, hint, line))


class Block:
    """One mapping of the document; an absent one reads as empty.

    Attributes:
        path: Where it stands.
        node: What stands there, or None.
    """

    def __init__(self, node: yaml.Node | None, path: Path, notes: Notes) -> None:
        self.path = path
        self.node = node
        self._notes = notes
        self._members: dict[str, yaml.Node] = {}
        if isinstance(node, yaml.MappingNode):
            self._read(node)
        elif node is not None:
            self._wrong((), "a mapping", node)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys in the document's order."""
        return iter(self._members)

    def only(self, known: Iterable[str], *, foreign: Iterable[str] = ()) -> None:
        """Note every key that is neither among `known` nor among `foreign`, which is noted otherwise."""
        names, others = list(known), set(foreign)
        for key, node in self._members.items():
            if key not in names and key not in others:
                meant = difflib.get_close_matches(key, names, 1)
                hint = f"Did you mean {meant[0]}?" if meant else ""
                self._notes.add((*self.path, key), node, "an unknown key", f"one of {', '.join(names)}", hint)

    def wrong(self, key: str, found: str, expected: str, hint: str = "") -> None:
        """Note that the value of `key`, or its absence, is wrong."""
        self._notes.add((*self.path, key), self._members.get(key, self.node), found, expected, hint)

    def block(self, key: str) -> Block:
        """Return the mapping under `key`."""
        return Block(self._members.get(key), (*self.path, key), self._notes)

    def text(self, key: str) -> str | None:
        """Return the text under `key`, or None if it is absent or, noted, no text."""
        node = self._members.get(key)
        return None if node is None else self._text((key,), node)

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under `key`; items that are none are noted and left out."""
        node = self._members.get(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._wrong((key,), "a list of texts", node)
            return []
        items = [self._text((key, index), item) for index, item in enumerate(node.value)]
        return [item for item in items if item is not None]

    def flag(self, key: str) -> bool | None:
        """Return the truth value under `key`, or None if it is absent or, noted, none."""
        node = self._members.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":bool"):
            self._wrong((key,), "true or false", node)
            return None
        return TRUTH_VALUES[node.value.lower()]

    def choice(self, key: str, table: Mapping[str, T], hints: Mapping[str, str]) -> T | None:
        """Return what `table` has for the text under `key`, or None if it is absent or, noted, not in it.

        Args:
            key: Where to look.
            table: What may stand there.
            hints: What to say of some values that may not.
        """
        value = self.text(key)
        if value is not None and value not in table:
            expected = f"one of {', '.join(name for name in table if name)}"
            self.wrong(key, quoted(value), expected, hints.get(value, ""))
        return None if value is None else table.get(value)

    def _read(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._notes.add(self.path, key, "a key that is no text", "a name")
            elif key.value in self._members:
                self._notes.add((*self.path, key.value), key, "the key a second time", "each key once")
            else:
                self._members[key.value] = value

    def _text(self, steps: tuple[str | int, ...], node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":str"):
            return str(node.value)
        self._wrong(steps, "text", node)
        return None

    def _wrong(self, steps: tuple[str | int, ...], expected: str, node: yaml.Node) -> None:
        self._notes.add((*self.path, *steps), node, TYPES.get(node.tag, "something else"), expected)


def compose(text: bytes, notes: Notes) -> Block:
    """Return the root of a YAML document; one that cannot be read is noted, an empty one is an empty mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        notes.problems.append(Problem("the file", error.problem or "an error", "YAML", line=line))
        return Block(None, (), notes)
    except RecursionError:
        notes.problems.append(
            Problem("the file", "levels without end", "a configuration", "Is it the right file?")
        )
        return Block(None, (), notes)
    except (yaml.YAMLError, UnicodeDecodeError):
        notes.problems.append(Problem("the file", "bytes that are no text", "YAML in UTF-8"))
        return Block(None, (), notes)
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        node = None
    return Block(node, (), notes)
