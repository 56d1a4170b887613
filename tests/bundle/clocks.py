"""Time zones made for a test, whose clocks change when the test wants them to: a TZif file that Go and Python read alike."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from pathlib import Path


def make_zone(folder: Path, name: str, *, at: int, before: int, after: int) -> ZoneInfo:
    """Write the zone `name` below `folder`, and return it.

    Args:
        folder: What the environment variable ZONEINFO is to name.
        name: Such as `Test/Forward`.
        at: When its clocks change (epoch seconds).
        before: Seconds that it is ahead of UTC until then.
        after: Seconds that it is ahead of UTC from then on.
    """
    kinds = struct.pack(">lbb", before, 0, 0) + struct.pack(">lbb", after, 1, 0) + b"T\0"

    def block(version: bytes, when: str) -> bytes:
        counts = struct.pack(">6l", 0, 0, 0, 1, 2, 2)
        return b"TZif" + version + bytes(15) + counts + struct.pack(when, at) + b"\1" + kinds

    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(block(b"2", ">l") + block(b"2", ">q") + b"\n\n")
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, name)
