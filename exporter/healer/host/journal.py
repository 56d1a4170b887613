"""Counts the errors in a unit's journal from where it was last read."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass

from healer.host.tail import MOST_BYTES, ProbeError

TIMEOUT = 10.0
"""Seconds that journalctl may take."""


@dataclass
class Mark:
    """Where a journal was left, and what was counted.

    Attributes:
        after: The cursor of the last entry read; empty before the first.
        errors: Entries of priority err and above, ever.
    """

    after: str = ""
    errors: int = 0


class Journal:
    """The journal of one unit; for one thread at a time."""

    def __init__(self, unit: str, mark: Mark | None) -> None:
        """Go on at `mark`; None begins at the end."""
        self.mark = mark or Mark()
        self._unit = unit

    def look(self) -> None:
        """Count what is new; what is too much for one look is left for the next.

        Raises:
            ProbeError: journalctl failed, hung or is not there.
        """
        if not self.mark.after:
            self.mark.after = newest()
            return
        # Not --after-cursor: with a filter, systemd 252 leaves out one entry too many unless the cursor passes it too.
        found = entries(["-u", self._unit, "-p", "err", f"--cursor={self.mark.after}"])
        if found and found[0] == self.mark.after:
            found = found[1:]
        if found:
            self.mark = Mark(found[-1], self.mark.errors + len(found))

    def close(self) -> None:
        """Hold nothing."""


def newest() -> str:
    """Return the cursor of the journal's newest entry.

    Raises:
        ProbeError: journalctl failed; or it shows none, for there is no journal or we may not read it.
    """
    cursors = entries(["-n", "1"])
    if not cursors:
        raise ProbeError("the journal is empty, or not for us to read")
    return cursors[-1]


def entries(arguments: list[str]) -> list[str]:
    """Return the cursor of each entry that journalctl finds; of very many the first ones only.

    Raises:
        ProbeError: journalctl failed, hung or is not there.
    """
    command = ["journalctl", "--no-pager", "-q", "-o", "json", "--output-fields=PRIORITY", *arguments]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise ProbeError(f"journalctl: {(error.strerror or 'an error').lower()}") from None
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.daemon = True
    timer.start()
    with process:
        data = process.stdout.read(MOST_BYTES) if process.stdout else b""
        cut = len(data) == MOST_BYTES
        if cut:
            process.kill()
        status = process.wait()
        timer.cancel()
    if status != 0 and not cut:
        raise ProbeError(f"journalctl ended with status {status}")
    try:
        return [
            str(json.loads(line)["__CURSOR"])
            for line in data.splitlines(keepends=True)
            if line.endswith(b"\n")
        ]
    except (ValueError, KeyError, TypeError):
        raise ProbeError("journalctl said what is no journal") from None
