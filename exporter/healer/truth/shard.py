"""Which part of the services one process has, when several share them out by name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healer.truth.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.truth.model import Service, Truth

MOST_SHARDS = 1000

MOST_SERVICES = 200_000
"""Of one exporter, unless told otherwise: what is measured in docs/scaling.md goes half as far."""


def shard_of(name: str, count: int) -> int:
    """Return the number, from 0, of the shard that the service called `name` is in; for good, whatever others there are."""
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % count


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of the services.

    Attributes:
        number: From 1.
        count: Of how many.
        most: Services that it may have.
    """

    number: int = 1
    count: int = 1
    most: int = MOST_SERVICES

    def __str__(self) -> str:
        """Return it as it is written: `1/3`."""
        return f"{self.number}/{self.count}"

    def of(self, services: Iterable[Service]) -> list[Service]:
        """Return those that are in it."""
        if self.count == 1:
            return list(services)
        return [service for service in services if shard_of(service.name, self.count) == self.number - 1]

    def fault(self, truth: Truth) -> Problem | None:
        """Return why this process cannot take a truth, or None."""
        found = len(self.of(truth.services))
        if found <= self.most:
            return None
        return Problem(
            "the document",
            f"{found} services for one exporter",
            f"at most {self.most}",
            "Share them out with --shard K/N, or allow more with --max-services.",
        )


def parse_shard(text: str) -> tuple[int, int]:
    """Return number and count of `K/N`.

    Raises:
        ValueError: It is no shard; the message says what was expected.
    """
    found = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count <= MOST_SHARDS:
        raise ValueError(
            f"{text!r} is no shard; expected K/N, such as 1/3: K from 1 to N, N at most {MOST_SHARDS}"
        )
    return number, count
