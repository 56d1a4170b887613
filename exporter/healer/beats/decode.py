"""A heartbeat message: from bytes off the wire to a `Beat`, or the reason why it is none.

The contract is `{"svc": "<service>", "i": <int>, "ts": <epoch seconds>}`, read leniently: a service whose
publisher is sloppy is still alive. Any JSON object counts that does not name another service; `service` is
taken for `svc`, unknown keys are ignored, and an `i` or `ts` that cannot be used is as good as none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

MAX_BYTES = 64 * 1024
"""A longer message is no beat; a real one has some fifty bytes."""


class Invalid(StrEnum):
    """Why a message is no beat; the `reason` label of `heartbeat_invalid_total`."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    JSON = "json"
    NOT_AN_OBJECT = "not_an_object"
    OTHER_SERVICE = "other_service"


class Beat(msgspec.Struct, frozen=True, gc=False):
    """One heartbeat as its publisher sent it.

    Attributes:
        svc: The service it names, if it names one.
        service: What newer publishers call `svc`.
        i: The publisher's counter, if it keeps one.
        ts: The publisher's clock in epoch seconds, if it says so.
        id: Which replica of a publisher sent it; the exporter knows its own beats by it.
    """

    svc: str | None = None
    service: str | None = None
    i: int | None = None
    ts: float | None = None
    id: str | None = None


exact = msgspec.json.Decoder(Beat).decode
"""Reads a beat that keeps to the contract, and raises one of `MALFORMED` for any other; of any size."""

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_untyped = msgspec.json.Decoder().decode


def decode(payload: bytes) -> Beat | Invalid:
    """Return the beat in `payload`, or why there is none; never raises."""
    if len(payload) > MAX_BYTES:
        return Invalid.TOO_LARGE
    try:
        return exact(payload)
    except MALFORMED:
        return _decode_leniently(payload)


def _decode_leniently(payload: bytes) -> Beat | Invalid:
    if not payload.strip():
        return Invalid.EMPTY
    try:
        payload.decode()
    except UnicodeDecodeError:
        return Invalid.ENCODING
    try:
        document = _untyped(payload)
    except (msgspec.DecodeError, RecursionError):
        return Invalid.JSON
    if not isinstance(document, dict):
        return Invalid.NOT_AN_OBJECT
    return Beat(
        svc=_text(document.get("svc")),
        service=_text(document.get("service")),
        i=_counter(document.get("i")),
        ts=_number(document.get("ts")),
        id=_text(document.get("id")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _counter(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
