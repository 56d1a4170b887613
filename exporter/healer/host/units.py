"""Asks systemd how units are, and how often it has restarted them lately."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healer.host.journal import entries
from healer.host.tail import ProbeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from healer.runtime.clock import Clock

TIMEOUT = 10.0
"""Seconds that systemctl may take."""

LONGEST_REASON = 60
"""Characters that are repeated of what systemctl complains of."""

RESTART_SCHEDULED = "5eb03494b6584870a536b337290809b3"
"""The message by which systemd notes in the journal that it restarts a unit."""

_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "StateChangeTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
)
_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of a unit.

    Attributes:
        active: It is active, and goes by this name: node_exporter knows no other.
        text: Its state in words.
        changed: When its state last changed (monotonic seconds), or None.
        restarts: How often systemd restarted it since somebody else started it; None: it is no service.
        started: When its program was last started (monotonic seconds), or None.
    """

    active: bool
    text: str
    changed: float | None
    restarts: int | None
    started: float | None


def show(names: Sequence[str]) -> dict[str, Unit]:
    """Return how each of the units `names` is.

    Raises:
        ProbeError: systemctl failed, hung, is not there or said what nobody understands.
    """
    command = ["systemctl", "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", *names]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProbeError(f"systemctl gave no answer within {TIMEOUT:g} s") from None
    except OSError as error:
        raise ProbeError(f"systemctl: {(error.strerror or 'an error').lower()}") from None
    if done.returncode:
        raise ProbeError(_reason(done.stderr, done.returncode))
    blocks = done.stdout.decode(errors="replace").strip().split("\n\n")
    if len(blocks) != len(names):
        raise ProbeError(f"systemctl told of {len(blocks)} units instead of {len(names)}")
    return {name: _unit(name, block) for name, block in zip(names, blocks, strict=True)}


def restarts_within(name: str, unit: Unit, enough: float, window: float, clock: Clock) -> int:
    """Return how often systemd restarted a unit within the last `window` seconds.

    systemd counts since somebody else started the unit. Up to `enough` that is all that anybody wants to know;
    beyond, the time of the last start and then the journal tell how many of them were lately.

    Raises:
        ProbeError: Nobody can tell.
    """
    counted = unit.restarts or 0
    if counted <= enough:
        return counted
    if unit.started is not None and clock.monotonic() - unit.started > window:
        return 0
    since = int(clock.wall() - window)
    found = entries(["--system", f"MESSAGE_ID={RESTART_SCHEDULED}", f"UNIT={name}", f"--since=@{since}"])
    if not found:
        raise ProbeError(f"{counted} restarts, and the journal does not tell when")
    return len(found)


def _reason(stderr: bytes, status: int) -> str:
    text = " ".join(stderr.decode(errors="replace").split())
    words = "".join(char if char.isprintable() else "?" for char in text)
    return f"systemctl: {words[:LONGEST_REASON] or f'status {status}'}"


def _unit(name: str, block: str) -> Unit:
    said = dict(line.partition("=")[::2] for line in block.splitlines())
    if "ActiveState" not in said or "LoadState" not in said:
        raise ProbeError("systemctl said what nobody understands")
    state, sub, result = said["ActiveState"], said.get("SubState", ""), said.get("Result", "")
    text = state if sub in {"", state} else f"{state} ({sub})"
    if state == "failed" and result not in {"", "success"}:
        text = f"{state} ({result})"
    named = said.get("Id", name) == name
    if said["LoadState"] != "loaded":
        text = f"{text}, {said['LoadState']}"
    elif not named:
        text = f"it is {said['Id']}: name it so in the truth"
    return Unit(
        active=state == "active" and named and said["LoadState"] == "loaded",
        text=text,
        changed=_instant(said.get("StateChangeTimestampMonotonic")),
        restarts=int(said["NRestarts"]) if said.get("NRestarts", "").isdecimal() else None,
        started=_instant(said.get("ExecMainStartTimestampMonotonic")),
    )


def _instant(text: str | None) -> float | None:
    return int(text) * _MICRO if text and text.isdecimal() and text != "0" else None
