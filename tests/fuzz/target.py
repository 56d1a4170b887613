"""Fuzzes what strangers' bytes go through: the decoder of beats, the board, and the replies of a subscriber's connection.

`make fuzz` runs it under atheris, which steers by coverage. Held to at every input: nothing is raised but what is caught
where it matters, a slot keeps a bounded number of reasons, numbers stay numbers that an exposition can hold.
"""

from __future__ import annotations

import asyncio
import math
import sys
from typing import Any

import atheris

with atheris.instrument_imports(
    include=["healer.beats", "healer.exporter.columns", "healer.exporter.families"]
):
    import hiredis
    from redis.exceptions import InvalidResponse, RedisError, ResponseError

    from healer.beats.board import Slot
    from healer.beats.bus import BusListener
    from healer.beats.cadence import Cadence
    from healer.beats.decode import Beat, Invalid, decode
    from healer.beats.pulse import Identity
    from healer.beats.wire import UNFINISHED, Wire
    from healer.exporter.columns import Columns
    from healer.exporter.families import Moment
    from healer.runtime.clock import SystemClock
    from healer.truth.model import Bus, Service

SERVICE = Service("mesh", "bus", "mesh:heartbeat", 10.0, 30.0)
SLOT = Slot(SERVICE)
COLUMNS = Columns([SLOT])
MOMENT = Moment(1_795_350_000.0, frozenset({"bus"}))
LOOP = asyncio.new_event_loop()
LISTENER = BusListener(
    Bus("bus", "redis://127.0.0.1"), Identity("healer", "healer:heartbeat", "one"), SystemClock()
)
LISTENER.assign({SERVICE.channel: SLOT}, Cadence(1.0, 2.0))


class Arrived:
    """A stream on which pieces have arrived, and that then ends; what `Wire` reads from."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def read(self, _: int) -> bytes:
        """Return the next piece, or nothing at the end."""
        return self._pieces.pop(0) if self._pieces else b""


def message(payload: bytes) -> None:
    """Take a payload as the exporter does, and show what came of it."""
    beat = decode(payload)
    assert isinstance(beat, Beat | Invalid)
    before = SLOT.beats
    reason = SLOT.hear(payload, 100.0, 1_795_350_000.0)
    assert (reason is None) == (SLOT.beats == before + 1)
    SLOT.hear_anything(payload, 100.0, 1_795_350_000.0)
    assert len(SLOT.invalid) <= len(Invalid)
    assert SLOT.lost >= 0
    assert SLOT.skew is None or not math.isnan(SLOT.skew)
    for line in b"".join(COLUMNS.render(MOMENT, openmetrics=False)).splitlines():
        assert line.startswith(b"#") or math.isfinite(float(line.rpartition(b" ")[2])), line


def wire(data: bytes, size: int) -> None:
    """Read replies as they might come from anything that calls itself Redis."""
    reading = Wire.__new__(Wire)
    pieces: Any = Arrived([data[start : start + size] for start in range(0, len(data), size)])
    reading._stream = pieces  # what connect() would have set
    reading._parser = hiredis.Reader(
        protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=UNFINISHED
    )
    try:
        while True:
            LISTENER._take(LOOP.run_until_complete(reading.read()), 100.0, 1_795_350_000.0)
    except RedisError:
        pass


def one_input(data: bytes) -> None:
    """Try one input; its first byte says as what."""
    if not data:
        return
    if data[0] % 2:
        message(data[1:])
    else:
        wire(data[1:], 1 + data[0])


def main() -> None:
    """Fuzz until told to stop."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
