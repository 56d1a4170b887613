"""Renders the families of `healer.exporter.families` as text, a column at a time.

prometheus_client builds an object, a dictionary and a string for each sample, all in one go: half a second of
the event loop at ten thousand services. Here a family is a column of numbers that one call turns into text, set
between labels that are made once per truth, and the event loop gets its turn after every `SLICE` services. The
bytes are those that prometheus_client would have made.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import msgspec
from prometheus_client.utils import floatToGoString

from healer.exporter.families import FAMILIES, INVALID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from healer.beats.board import Slot
    from healer.exporter.families import Family, Moment

SLICE = 1000
"""Services rendered at once: a fraction of a millisecond."""

EXPONENT_FROM = 1_000_000
"""From here up, prometheus_client writes a number as Go does, with an exponent."""

TINY = 1e-4
"""Below this, Python writes a number with an exponent, and not quite as msgspec does."""

MINUS = ord("-")
NO_DIGITS = b"000000000"

_encode = msgspec.json.Encoder().encode


class Columns:
    """The rendered labels of one board's slots, ready to be filled with values."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        """Prepare to render `slots`, which are first looked at while they are: all at once would hold up the event loop."""
        self._rest = iter(slots)
        self._slices: list[tuple[list[Slot], list[bytes]]] = []

    def render(self, moment: Moment, *, openmetrics: bool) -> Iterator[bytes]:
        """Yield the exposition of every family, a slice at a time; several may be under way."""
        for family in FAMILIES:
            yield _header(family, openmetrics=openmetrics)
            for slots, labels in self._each():
                yield _lines(family.sample.encode(), labels, family.column(slots, moment))
        yield _header(INVALID, openmetrics=openmetrics)
        for slots, _ in self._each():
            yield b"".join(_invalid(slot) for slot in slots if slot.invalid)

    def _each(self) -> Iterator[tuple[list[Slot], list[bytes]]]:
        """Yield the slots and their labels, `SLICE` of each at a time."""
        for number in itertools.count():
            if number == len(self._slices):
                slots = list(itertools.islice(self._rest, SLICE))
                if not slots:
                    return
                self._slices.append((slots, [_labels(slot) for slot in slots]))
            yield self._slices[number]


def _labels(slot: Slot) -> bytes:
    return f'{{bus="{_escaped(slot.service.bus)}",svc="{_escaped(slot.name)}"}} '.encode()


def _invalid(slot: Slot) -> bytes:
    bus, svc = _escaped(slot.service.bus), _escaped(slot.name)
    return "".join(
        f'{INVALID.sample}{{bus="{bus}",reason="{reason.value}",svc="{svc}"}} {_number(count).decode()}\n'
        for reason, count in sorted(slot.invalid.items())
    ).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _header(family: Family, *, openmetrics: bool) -> bytes:
    name = family.name if openmetrics else family.sample
    return f"# HELP {name} {family.text}\n# TYPE {name} {family.kind}\n".encode()


def _lines(name: bytes, labels: list[bytes], values: Sequence[float | None]) -> bytes:
    if None in values:
        known = [(label, value) for label, value in zip(labels, values, strict=True) if value is not None]
        labels, values = [label for label, _ in known], [value for _, value in known]
    if not values:
        return b""
    parts = [b"\n" + name] * (3 * len(labels))
    parts[0::3] = labels
    parts[1::3] = _texts(cast("Sequence[float]", values))
    parts[-1] = b"\n"
    return name + b"".join(parts)


def _texts(numbers: Sequence[float]) -> Sequence[bytes]:
    """Return each number as prometheus_client writes it."""
    if max(numbers) < EXPONENT_FROM and min(filter(None, numbers), default=TINY) >= TINY:
        return _encode(numbers)[1:-1].split(b",")
    different = list(set(numbers))
    if 2 * len(different) > len(numbers):
        return _long_texts(numbers)
    # Beats and subscriptions that were read in one go share their instant.
    return list(map(dict(zip(different, _long_texts(different), strict=True)).__getitem__, numbers))


def _long_texts(numbers: Sequence[float]) -> list[bytes]:
    texts = _encode(numbers)[1:-1].split(b",")
    return [
        # Epoch seconds, the usual case, without a call: nine digits move behind the point.
        text[:1] + b"." + (text[1:10] + text[11:]).rstrip(b"0") + b"e+09"
        if text[10:11] == b"." and text[0] != MINUS and text[1:10] != NO_DIGITS
        else _number(number)
        for text, number in zip(texts, numbers, strict=True)
    ]


def _number(number: float) -> bytes:
    text: str = floatToGoString(number)  # type: ignore[no-untyped-call] # prometheus_client's gap
    return text.encode()
