"""Reads what Alertmanager posts, and turns each alert into a request if the policy allows one."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from healer.autoheal.gates import Gate, Key, Refusal, Request
from healer.autoheal.policy import ANNOTATION, OWN, Action, NotAllowedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.autoheal.policy import Policy

WATCHDOG = "Watchdog"
MAX_ALERT = 64 << 10
"""Bytes of one alert as JSON; a larger one is never acted on."""

LONGEST_NAME = 256
"""Characters of an alertname that go on record."""

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class WebhookError(ValueError):
    """The body is no webhook of Alertmanager; the message says where and what was expected."""


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a webhook, as it came.

    Attributes:
        status: Whether it fires.
        labels: Its labels.
        annotations: Its annotations.
        starts_at: When it began.
        ends_at: When it ended, if resolved.
    """

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: datetime = _NEVER
    ends_at: datetime = _NEVER

    @property
    def name(self) -> str:
        """Its alertname, for the record."""
        return self.labels.get("alertname", "")[:LONGEST_NAME]

    @property
    def firing(self) -> bool:
        """Whether it fires."""
        return self.status == "firing"

    @property
    def began(self) -> float | None:
        """When it began, in epoch seconds, or None if it does not say."""
        return epoch(self.starts_at)

    @property
    def ended(self) -> float | None:
        """When it ended, in epoch seconds, or None if it does not say."""
        return epoch(self.ends_at)

    @property
    def fingerprint(self) -> str:
        """What tells its labels from any others; computed here, never taken from the request."""
        return hashlib.sha256(msgspec.json.encode(sorted(self.labels.items()))).hexdigest()[:16]

    def payload(self) -> dict[str, Any]:
        """Return it as it goes on record and to the command."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class _Webhook(msgspec.Struct):
    alerts: list[Alert]


_DECODER = msgspec.json.Decoder(_Webhook)


def decode(body: bytes) -> list[Alert]:
    """Return the alerts in a webhook. Keys that are not ours may hold anything.

    Raises:
        WebhookError: It is none.
    """
    try:
        return _DECODER.decode(body).alerts
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookError(f"this is no webhook of Alertmanager (version 4): {error}") from None


def epoch(instant: datetime) -> float | None:
    """Return epoch seconds, or None for Go's zero time."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return None if aware.year <= 1 else aware.timestamp()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the policy makes of an alert.

    Attributes:
        key: What would be done to what, or None if no rule leads anywhere.
        answer: The request, or the gate that objects.
        action: The action, if there is a key.
        argv: The exact command, if there is a key.
    """

    key: Key | None
    answer: Request | Refusal
    action: Action | None = None
    argv: tuple[str, ...] = ()


def plan(alert: Alert, policy: Policy, id_: str, instant: Callable[[float], float], heard: float) -> Plan:
    """Return what `policy` makes of `alert`.

    Args:
        alert: The alert.
        policy: The policy in force.
        id_: Names the request.
        instant: Turns epoch seconds into instants of the gates.
        heard: The instant at which it was received: it began no later.
    """
    if OWN.fullmatch(alert.name):
        return Plan(None, Refusal(Gate.OWN_ALERT, "an alert about autoheal itself is never acted on"))
    rule = policy.rule(alert.labels)
    if rule is None:
        why = "no rule of the policy is for this alert"
        return Plan(None, Refusal(Gate.RULE if alert.firing else Gate.NOT_FIRING, why))
    try:
        action = rule.choose(alert.annotations.get(ANNOTATION))
        target, argv = action.resolve(alert.labels)
        if len(msgspec.json.encode(alert)) > MAX_ALERT:
            raise NotAllowedError(f"the alert is larger than {MAX_ALERT} bytes")
    except NotAllowedError as error:
        return Plan(None, Refusal(Gate.RULE if alert.firing else Gate.NOT_FIRING, str(error)))
    key, mark, began = Key(action.name, target), alert.fingerprint, alert.began
    if not alert.firing:
        return Plan(key, Refusal(Gate.NOT_FIRING, "the alert is resolved"), action, argv)
    request = Request(
        id=id_,
        key=key,
        alert=mark,
        incident="" if began is None else f"{mark}@{began:.3f}",
        cooldown=rule.cooldown,
        alertname=alert.name,
        verify_for=rule.verify_for,
        began=heard if began is None or not math.isfinite(began) else min(heard, instant(began)),
        pending=rule.pending,
    )
    return Plan(key, request, action, argv)
