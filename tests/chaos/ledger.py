"""What happened to the services, held against what was published of them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MISS, OK = "heartbeat_miss", "heartbeat_ok"
HEALTH = re.compile(rb"\r\nhealth:[^\r]*\r\n\$\d+\r\n(\{[^\r]*\})\r\n")


class Published:
    """Every event, in order, as Redis wrote it to its disk in the same step in which it published it.

    A subscriber misses what is published while it has no connection; the append-only file has it all.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self.events: list[tuple[float, dict[str, Any]]] = []

    def look(self) -> None:
        """Take up what is new, as of now."""
        files = sorted(self._data.glob("appendonlydir/*.aof"), key=lambda path: int(path.name.split(".")[2]))
        found = [json.loads(raw) for path in files for raw in HEALTH.findall(path.read_bytes())]
        self.events += [(time.time(), event) for event in found[len(self.events) :]]

    def of(self, svc: str) -> list[str]:
        """Return the types of the events of a service."""
        return [event["type"] for _, event in self.events if event["svc"] == svc]


@dataclass
class Ledger:
    """The truth about each service, by its deaths and returns, in order.

    Attributes:
        happened: What was done to each service: `heartbeat_miss` stands for a death, `heartbeat_ok` for a return.
        waits: Seconds from each to its event, by type.
        blinks: Silences below the timeout, of which nothing may be published.
        faults: What is wrong, in words.
    """

    happened: dict[str, list[str]]
    waits: dict[str, list[float]] = field(default_factory=lambda: {MISS: [], OK: []})
    blinks: int = 0
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, names: Iterable[str]) -> Ledger:
        """A ledger in which nothing has happened."""
        return cls({name: [] for name in names})

    def check(self, published: Published) -> bool:
        """Note what was published and did not happen; return whether nothing was."""
        for svc, happened in self.happened.items():
            told = published.of(svc)
            for position, kind in enumerate(told):
                if position >= len(happened) or happened[position] != kind:
                    doubled = position > 0 and told[position - 1] == kind
                    self.faults.append(
                        f"{'doubled' if doubled else 'false'}: {kind} of {svc}, number {position + 1}"
                    )
                    return False
        if strangers := {event["svc"] for _, event in published.events} - set(self.happened):
            self.faults.append(f"false: events of {', '.join(sorted(strangers))}: {published.events}")
        return not strangers
