"""The four messages of the contract, byte for byte as the systems Healer replaces wrote them."""

from __future__ import annotations

import msgspec

TENTHS = 1
"""Decimals of an age: a tenth of a second is what the contract shows."""


class HeartbeatMiss(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat_miss"):
    """A service stopped beating: `late_sec` since its last beat as of `ts`, on a timeout of `timeout_sec`."""

    svc: str
    late_sec: float
    timeout_sec: float
    ts: int


class HeartbeatOk(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat_ok"):
    """It beats again: the rules saw its new beat `age_sec` before `ts`."""

    svc: str
    age_sec: float
    ts: int


class HealerMiss(msgspec.Struct, frozen=True, tag_field="type", tag="healer_miss"):
    """The monitoring itself is out: no exporter, or nothing heard from the pipeline for `late_sec`."""

    svc: str
    late_sec: float
    timeout_sec: float
    ts: int


class HealerOk(msgspec.Struct, frozen=True, tag_field="type", tag="healer_ok"):
    """The monitoring works again."""

    svc: str
    ts: int


Event = HeartbeatMiss | HeartbeatOk | HealerMiss | HealerOk
TYPES = ("heartbeat_miss", "heartbeat_ok", "healer_miss", "healer_ok")


def tenths(seconds: float) -> float:
    """Return `seconds` as the contract shows an age: not negative, to a tenth."""
    return round(max(0.0, seconds), TENTHS)


def type_of(event: Event) -> str:
    """Return the `type` of the message."""
    return str(event.__struct_config__.tag)


def encode(event: Event) -> bytes:
    """Return the message: compact JSON, keys in the contract's order."""
    return msgspec.json.encode(event)
