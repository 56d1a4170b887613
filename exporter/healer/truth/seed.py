"""Writes a document that loads to every bus it names, so that all who read it there have the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from healer.truth.diff import diff
from healer.truth.load import Loaded, parse
from healer.truth.problems import TruthError
from healer.truth.store import StoreError, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.truth.model import Bus


class Outcome(StrEnum):
    """What seeding did to one bus."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Seeded:
    """The result for one bus.

    Attributes:
        bus: Where.
        outcome: What was done.
        details: What changed in heartbeat terms, or why it failed.
    """

    bus: Bus
    outcome: Outcome
    details: tuple[str, ...] = ()


async def seed(raw: bytes, loaded: Loaded, key: str, env: Mapping[str, str]) -> list[Seeded]:
    """Write `raw`, the document that `loaded` was read from, byte for byte to `key` on every bus it declares.

    A bus that fails does not keep the others from being written.
    """
    return list(await asyncio.gather(*(_seed(raw, loaded, bus, key, env) for bus in loaded.declared)))


async def _seed(raw: bytes, loaded: Loaded, bus: Bus, key: str, env: Mapping[str, str]) -> Seeded:
    try:
        before = await replace(bus.url, key, raw)
    except StoreError as error:
        return Seeded(bus, Outcome.FAILED, (str(error),))
    if before is None:
        return Seeded(bus, Outcome.CREATED)
    if before == raw:
        return Seeded(bus, Outcome.UNCHANGED)
    try:
        old = parse(before, env=env).truth
    except TruthError:
        return Seeded(bus, Outcome.CHANGED, ("what was there did not load",))
    return Seeded(bus, Outcome.CHANGED, diff(old, loaded.truth) or ("nothing that Healer reads",))
