"""What goes on record: one event a thing that happened, as a line of JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """What happened."""

    WEBHOOK_RECEIVED = "webhook_received"
    ALERT_ACCEPTED = "alert_accepted"
    DECISION_SKIP = "decision_skip"
    ACTION_DRY_RUN = "action_dry_run"
    ACTION_START = "action_start"
    ACTION_OK = "action_ok"
    ACTION_FAIL = "action_fail"
    ACTION_CANCELLED = "action_cancelled"
    ACTION_INTERRUPTED = "action_interrupted"
    HEALED = "healed"
    NOT_HEALED = "not_healed"
    ACK = "ack"
    BREAKER_OPEN = "breaker_open"
    BREAKER_RESET = "breaker_reset"
    STARTED = "started"
    SELF_TEST = "self_test"


ENDS = (Kind.ACTION_OK, Kind.ACTION_FAIL, Kind.ACTION_CANCELLED, Kind.ACTION_INTERRUPTED)
"""How an action that started ends."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened. Absent is what does not apply. Instants are epoch seconds, durations seconds.

    Attributes:
        kind: What.
        ts: When.
        seq: Its number in the record, from 1, without a gap.
        id: The request that it belongs to.
        alertname: Of the alert that it is about.
        action: The action, as the policy names it.
        target: What it acts on.
        reason: The gate that objected.
        detail: The same in words.
        wait_sec: For how long that gate will go on objecting; of an accepted alert, backoff.
        alerts: How many alerts a webhook held.
        cmd: The exact command, word by word; for a webhook `POST` and its URL.
        output: The last of what the command wrote.
        output_file: Where the rest is.
        error: Why an action failed.
        exit_code: Of the command; negative: ended by that signal.
        duration_sec: How long it ran.
        survivors: Processes of it that are still there: `pid name`.
        alert: Fingerprint of the alert's labels.
        incident: The same with the beginning of the alert.
        cooldown_sec: The rule's.
        verify_sec: The rule's `verify_for_sec`.
        pending_sec: The rule's.
        starts_at: When the alert began.
        ends_at: When it resolved.
        after_sec: From the start of the action to the end of the alert.
        payload: The alert as it came, for as long as it waits.
        labels: What an acknowledgement silences.
        duration: For how long, as it was asked.
        silence_id: Alertmanager's name for it.
        principal: Who did it.
        version: Of Healer, when it started.
    """

    kind: str
    ts: float = 0.0
    seq: int = 0
    id: str = ""
    alertname: str = ""
    action: str = ""
    target: str = ""
    reason: str = ""
    detail: str = ""
    wait_sec: float | None = None
    alerts: int | None = None
    cmd: tuple[str, ...] = ()
    output: str = ""
    output_file: str = ""
    error: str = ""
    exit_code: int | None = None
    duration_sec: float | None = None
    survivors: tuple[str, ...] = ()
    alert: str = ""
    incident: str = ""
    cooldown_sec: float | None = None
    verify_sec: float | None = None
    pending_sec: float | None = None
    starts_at: float | None = None
    ends_at: float | None = None
    after_sec: float | None = None
    payload: dict[str, Any] | None = None
    labels: dict[str, str] | None = None
    duration: str = ""
    silence_id: str = ""
    principal: str = ""
    version: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return `event` as one line of JSON, without the newline."""
    return _ENCODER.encode(event)


def decode(line: bytes) -> Event:
    """Return the event in a line.

    Raises:
        ValueError: There is none.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
