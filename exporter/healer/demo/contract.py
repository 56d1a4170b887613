"""What every event must look like: its keys, in this order, and their types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healer.truth.model import warmup_seconds

if TYPE_CHECKING:
    from healer.demo.events import Heard

CONTRACT: dict[str, dict[str, type]] = {
    "heartbeat_miss": {"type": str, "svc": str, "late_sec": float, "timeout_sec": float, "ts": int},
    "heartbeat_ok": {"type": str, "svc": str, "age_sec": float, "ts": int},
    "healer_miss": {"type": str, "svc": str, "late_sec": float, "timeout_sec": float, "ts": int},
    "healer_ok": {"type": str, "svc": str, "ts": int},
}
"""The message contract of the systems Healer replaces, by type of event."""

CLOCK_SECONDS = 5.0
"""How far `ts`, in whole seconds, may be from the arrival on a busy machine; a wrong clock is further off."""


def faults(event: Heard, *, never_heard: bool = False) -> list[str]:
    """Return what is wrong with `event` by the contract, empty if nothing is.

    Args:
        event: What came on the alerts channel.
        never_heard: Its service had not beaten once, so that its lateness counts from the watch.
    """
    expected = CONTRACT.get(event.type)
    if expected is None:
        return [f"the type {event.type} is not in the contract"]
    found = {key: type(value) for key, value in event.message.items()}
    if list(found) != list(expected):
        return [f"the keys are {', '.join(found)}, expected {', '.join(expected)}"]
    wrong = [
        f"{key} is a {found[key].__name__}, expected a {kind.__name__}"
        for key, kind in expected.items()
        if found[key] is not kind
    ]
    if not wrong and abs(event.message["ts"] - event.at) > CLOCK_SECONDS:
        wrong.append(f"ts is {event.message['ts']}, but it came at {event.at:.1f}")
    if not wrong and "late_sec" in expected:
        late, timeout = event.message["late_sec"], event.message["timeout_sec"]
        # Such a service is missing after its warm-up, which the event does not tell: the shortest of that timeout.
        least, name = (warmup_seconds(0.0, timeout), "the warm-up of ") if never_heard else (timeout, "")
        if late < least:
            wrong.append(f"late_sec {late} is below {name}timeout_sec {timeout}")
    return wrong
