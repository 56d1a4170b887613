"""Reads what Alertmanager posts: the webhook of version 4, as typed alerts with the few facts the sentinel uses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from healer.truth.blocks import text_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARTBEAT_MISS = "HeartbeatMiss"
HEALER_MISS = "HealerMiss"
WATCHDOG = "Watchdog"
BLIND = ("HeartbeatBusDown", "HeartbeatUnwatched")
"""The alerts while which nobody would report a service, or any of a bus."""

KNOWN = (HEARTBEAT_MISS, HEALER_MISS, WATCHDOG, *BLIND)
"""The alerts that mean something to the sentinel; others are counted and passed over."""

EXPIRY_INTERVALS = 3.5
"""An alert that ends this many evaluation intervals after its last evaluation, or later, expired.

Prometheus resolves an alert at the evaluation after its last one, and lets it expire after four or more.
"""

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class WebhookError(ValueError):
    """The body is no webhook of Alertmanager; the message says where and what was expected."""


class _Alert(msgspec.Struct, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: datetime = _NEVER
    ends_at: datetime = _NEVER


class _Webhook(msgspec.Struct, rename={"external_url": "externalURL"}):
    alerts: list[_Alert]
    external_url: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a webhook. Instants are epoch seconds, durations seconds; None: absent or no number.

    Attributes:
        name: Its `alertname`.
        firing: Whether it fires; else it is resolved.
        svc: Its label `svc`, or an empty string.
        starts_at: When it began to fire.
        ends_at: When it ended, if resolved.
        late: Annotation `late_sec`: the silence when the rule was last evaluated.
        timeout: Annotation `timeout_sec`.
        evaluated: Annotation `evaluated_at`, or `beat` on a Watchdog: when the rule was last evaluated.
        interval: Annotation `evaluation_interval_sec`: the time between two evaluations.
        bus: Its label `bus`, or an empty string.
        missing: Annotation `missing` of a Watchdog: the services that are missing, one a line.
        returned: Annotation `returned` of a Watchdog: see `beats`.
    """

    name: str
    firing: bool
    svc: str
    starts_at: float
    ends_at: float
    late: float | None = None
    timeout: float | None = None
    evaluated: float | None = None
    interval: float | None = None
    bus: str = ""
    missing: tuple[str, ...] = ()
    returned: str = ""

    @property
    def ignored(self) -> bool:
        """Whether it means a service but names none that a truth could."""
        return self.name == HEARTBEAT_MISS and text_fault(self.svc) is not None

    @property
    def proven(self) -> bool:
        """Whether Prometheus ended it, rather than Alertmanager for want of news: see `EXPIRY_INTERVALS`."""
        if self.firing or self.evaluated is None or not self.interval:
            return False
        return self.ends_at - self.evaluated < EXPIRY_INTERVALS * self.interval

    @property
    def silent_since(self) -> float | None:
        """When the silence began, as the rule saw it; None if it does not say, or is about no service."""
        if self.name != HEARTBEAT_MISS or self.late is None or self.evaluated is None:
            return None
        return self.evaluated - self.late

    @property
    def doubt(self) -> float:
        """By how many seconds two silences that are one may differ: half of its timeout.

        Two replicas stamp one beat by two clocks; the next silence begins a whole timeout later. The rules hold the
        same of what ends a miss.
        """
        return (self.timeout or 0.0) / 2

    def beats(self) -> Iterator[tuple[float, str]]:
        """Yield the newest beat and the name of each service that was missing a while ago; read while it is iterated."""
        for line in self.returned.split("\n"):
            beat, _, svc = line.partition(" ")
            if (at := number(beat)) is not None and svc:
                yield at, svc

    def until(self, latest: float) -> Alert:
        """Return the alert, moved back in time if it would begin or end after `latest`."""
        ahead = max(0.0, self.starts_at - latest, self.ends_at - latest)
        return replace(
            self,
            starts_at=self.starts_at - ahead,
            ends_at=self.ends_at - ahead,
            evaluated=None if self.evaluated is None else self.evaluated - ahead,
        )

    def late_at(self, now: float, timeout: float) -> float:
        """Return how long the service has been silent at `now`, on a `timeout`.

        The rule's own figure, plus the time since the rule computed it if that is known.
        """
        if self.late is None:
            return timeout + max(0.0, now - self.starts_at)
        return self.late + (max(0.0, now - self.evaluated) if self.evaluated is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A delivery.

    Attributes:
        sender: Which Alertmanager it says it comes from.
        alerts: Its alerts in order.
        repeat: Seconds after which that Alertmanager says again what still fires; None: unknown.
    """

    sender: str
    alerts: tuple[Alert, ...]
    repeat: float | None = None


_DECODER = msgspec.json.Decoder(_Webhook)


def decode(body: bytes, repeat: float | None = None) -> Webhook:
    """Return the webhook in `body`, from an Alertmanager that repeats after `repeat` seconds. Keys that are not ours may hold anything.

    Raises:
        WebhookError: It is none.
    """
    try:
        webhook = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookError(f"this is no webhook of Alertmanager (version 4): {error}") from None
    return Webhook(webhook.external_url, tuple(map(_alert, webhook.alerts)), repeat)


def _alert(raw: _Alert) -> Alert:
    name = raw.labels.get("alertname", "")
    return Alert(
        name=name,
        firing=raw.status == "firing",
        svc=raw.labels.get("svc", ""),
        starts_at=_epoch(raw.starts_at),
        ends_at=_epoch(raw.ends_at),
        late=_number(raw.annotations, "late_sec"),
        timeout=_number(raw.annotations, "timeout_sec"),
        evaluated=_number(raw.annotations, "beat" if name == WATCHDOG else "evaluated_at"),
        interval=_number(raw.annotations, "evaluation_interval_sec"),
        bus=raw.labels.get("bus", ""),
        missing=tuple(raw.annotations.get("missing", "").split("\n")) if name == WATCHDOG else (),
        returned=raw.annotations.get("returned", "") if name == WATCHDOG else "",
    )


def _epoch(instant: datetime) -> float:
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _number(annotations: dict[str, str], name: str) -> float | None:
    return number(annotations.get(name, ""))


def number(text: str) -> float | None:
    """Return the finite, not negative number that `text` is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
