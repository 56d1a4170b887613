"""Reads the values of one JSON object or of the environment, noting what is wrong and going on."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from healer.truth.document import Members
from healer.truth.problems import path_text, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from healer.truth.problems import Path, Problems

T = TypeVar("T")

DAY = 86_400.0
LONGEST_NAME = 256
LONGEST_TEXT = 4096
"""Characters of what is no name: a channel, a URL."""
LOST = "\ufffd"
"""What decoders put where they found no character; Prometheus refuses rules that hold it."""
LIKE_ENOUGH = 0.75
NUMBER_IN_TEXT = re.compile(r"([1-9]\d{0,7}(?:\.\d{1,6})?) ?(?:s|sec|seconds)?")


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A value with its origin."""

    value: T
    path: Path | str

    @property
    def origin(self) -> str:
        """A JSON path, `env NAME` or `default`."""
        return path_text(self.path)


def first(*candidates: Given[T] | None, default: T) -> Given[T]:
    """Return the first candidate that is set: a line of the precedence table."""
    return next((given for given in candidates if given is not None), Given(default, "default"))


def alike(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if any."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, LIKE_ENOUGH)), None)


class Block:
    """One JSON object of the document; an absent one reads as empty.

    Attributes:
        path: Where it stands.
        members: What is in it.
        sound: False once a value in it was found wrong: what was derived from it proves nothing then.
    """

    def __init__(self, members: Mapping[str, object], path: Path, problems: Problems) -> None:
        self.members = members
        self.path = path
        self.sound = True
        self._problems = problems
        self._blocks: dict[str, Block] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.members

    def at(self, *steps: str | int) -> Path:
        """Return the path of something in this block."""
        return (*self.path, *steps)

    def wrong(self, key: str, expected: str, hint: str = "", *, found: str | None = None) -> None:
        """Note that the value of `key` is not what it has to be."""
        self.sound = False
        self._problems.error(self.at(key), found or shown(self.members[key]), expected, hint)

    def wrong_in(self, key: str, index: int, expected: str, hint: str, *, found: str) -> None:
        """Note that one of the values in the list at `key` is not what it has to be."""
        self.sound = False
        self._problems.error(self.at(key, index), found, expected, hint)

    def unique(self) -> Block:
        """Note keys that occur more than once; return the block."""
        for key in getattr(self.members, "duplicates", ()):
            self.wrong(
                key, "each key once", "The last one would count: remove the others.", found="the key twice"
            )
        return self

    def only(self, known: Collection[str]) -> None:
        """Note keys that mean nothing here: a misspelt key is a setting that silently does not hold."""
        for key in self.members:
            if key not in known:
                meant = alike(key, known)
                hint = f"Did you mean {meant}?" if meant else ""
                self.wrong(key, f"one of {', '.join(known)}", hint, found="an unknown key")

    def misspelt(self, known: Collection[str]) -> Iterable[tuple[str, str]]:
        """Yield (key, known key it resembles) in a block that may hold other things too."""
        for key in self.members:
            meant = None if key in known else alike(key, known)
            if meant and meant not in self.members:
                yield key, meant

    def block(self, key: str, hint: str = "") -> Block:
        """Return the object at `key`; an empty one if it is absent or, noted, no object."""
        if key not in self._blocks:
            value = self.members.get(key, Members([]))
            is_object = isinstance(value, Members)
            if not is_object:
                self.wrong(key, f'an object like "{key}": {{…}}', hint)
            members = value if isinstance(value, Members) else Members([])
            block = self._blocks[key] = Block(members, self.at(key), self._problems).unique()
            block.sound = is_object
        return self._blocks[key]

    def blocks(
        self, key: str, expected: str, item: str = 'an object like {"bus": …, "key": …}'
    ) -> list[Block]:
        """Return the objects in the list at `key`, each of which is to be an `item`; none if it is absent."""
        values = self.members.get(key, [])
        if not isinstance(values, list):
            self.wrong(key, expected)
            return []
        blocks = []
        for index, value in enumerate(values):
            if isinstance(value, Members):
                blocks.append(Block(value, self.at(key, index), self._problems).unique())
            else:
                self.wrong_in(key, index, item, "", found=shown(value))
        return blocks

    def seconds(self, key: str, upto: float) -> Given[float] | None:
        """Return a duration in seconds, above 0 and at most `upto`."""
        if key not in self.members:
            return None
        value = self.members[key]
        fault = seconds_fault(value, upto)
        if fault is not None:
            self.wrong(key, *fault)
            return None
        return Given(float(value), self.at(key))  # type: ignore[arg-type]  # seconds_fault lets numbers through only

    def text(self, key: str, expected: str, longest: int = LONGEST_NAME) -> Given[str] | None:
        """Return a name: text that is not empty, not longer than `longest`, and holds nothing unprintable."""
        if key not in self.members:
            return None
        value = self.members[key]
        fault = text_fault(value, longest)
        if fault is not None:
            self.wrong(key, expected, fault)
            return None
        return Given(str(value), self.at(key))


class Environment:
    """The environment variables that Healer reads; an empty one counts as not set."""

    def __init__(self, variables: Mapping[str, str], problems: Problems) -> None:
        self._variables = variables
        self._problems = problems

    def seconds(self, name: str, upto: float) -> Given[float] | None:
        """Return a duration in seconds, above 0 and at most `upto`."""
        written = self._variables.get(name, "").strip()
        if not written:
            return None
        try:
            value: object = float(written)
        except ValueError:
            value = written
        fault = seconds_fault(value, upto)
        if fault is not None:
            self._problems.error(
                f"env {name}", shown(written), fault[0], f"Set it to seconds, or unset {name}."
            )
            return None
        return Given(float(written), f"env {name}")

    def text(self, name: str, expected: str) -> Given[str] | None:
        """Return a name: text that is not empty and holds nothing unprintable."""
        written = self._variables.get(name, "")
        if not written:
            return None
        fault = text_fault(written)
        if fault is not None:
            self._problems.error(f"env {name}", shown(written), expected, fault)
            return None
        return Given(written, f"env {name}")


def seconds_fault(value: object, upto: float) -> tuple[str, str] | None:
    """Return what was expected and what to do if `value` is no duration, else None."""
    expected = "a number of seconds > 0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        meant = NUMBER_IN_TEXT.fullmatch(value) if isinstance(value, str) else None
        return expected, f"Write {meant[1]}, not {value!r}.".replace(
            "'", '"'
        ) if meant else "Write a number such as 10."
    if value != value or value <= 0:  # noqa: PLR0124  # NaN differs from itself; isnan fails on huge integers
        return expected, "Write a number such as 10."
    if value > upto:
        days = f"{upto / DAY:g} day{'s' if upto > DAY else ''}"
        return f"at most {upto:.0f} seconds ({days})", "The unit is seconds, not milliseconds."
    return None


def text_fault(value: object, longest: int = LONGEST_NAME) -> str | None:
    """Return what to do if `value` cannot be a name, else None.

    What passes is carried by every part alike: labels, channels, events, Redis keys, files and pages. What does
    not show is refused: with it two names look the same, and one reads as another.
    """
    if not isinstance(value, str):
        return "Write it in double quotes."
    if not value.strip():
        return "It must not be empty."
    if value != value.strip():
        return "Remove the space around it."
    if len(value) > longest:
        return f"Shorten it to {longest} characters; it has {len(value)}."
    return _character_fault(value)


def _character_fault(value: str) -> str | None:
    if LOST in value:
        return (
            "Remove U+FFFD, which stands for text that was lost: Prometheus takes it for a broken encoding."
        )
    if value.isprintable():
        return None
    char = next(char for char in value if not char.isprintable())
    category = unicodedata.category(char)
    if category in {"Cc", "Cs", "Zl", "Zp"}:
        return "Remove the control characters."
    if category == "Zs":
        return f"Write a plain space for U+{ord(char):04X}."
    return f"Remove U+{ord(char):04X}, which does not show."
