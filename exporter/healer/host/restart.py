"""Asks autoheal for restarts: what a check found goes there as an alert does, and all its gates decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from healer.host.ask import AskError
from healer.host.tell import describe, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healer.host.ask import Server
    from healer.host.findings import Report

RESTARTABLE = ("unit", "restarts", "heartbeat_file")
"""The kinds of items that a restart may cure; no restart frees a disk."""

LONGEST_WAIT = 90.0
"""Seconds that an action is waited for; it goes on without us."""

POLL_SECONDS = 0.3
RESOLVED = "resolved"
ACCEPTED = "alert_accepted"

_ENDS = (
    "decision_skip",
    "action_dry_run",
    "action_ok",
    "action_fail",
    "action_cancelled",
    "action_interrupted",
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What autoheal made of one alert.

    Attributes:
        alert: The alert's name.
        name: Of the unit or file that it is about.
        kind: The kind of the last event on autoheal's record about it.
        why: The gate that objected, or what went wrong; empty if neither.
        command: What ran or would have run; empty: nothing.
    """

    alert: str
    name: str
    kind: str
    why: str = ""
    command: str = ""

    def show(self) -> dict[str, str]:
        """Return it for programs."""
        return {
            "alert": self.alert,
            "name": self.name,
            "decision": self.kind,
            "why": self.why,
            "command": self.command,
        }


async def ask_for_restarts(
    report: Report,
    autoheal: Server,
    runbook: Callable[[str], str],
    *,
    longest: float = LONGEST_WAIT,
) -> list[Decision]:
    """Deliver the alerts that a restart may cure, and return what autoheal decided about each.

    Alerts that it acted on, or waits to act on, and that are over are delivered as such: then it does not, or its
    waits begin anew.

    Args:
        report: The check.
        autoheal: Where it listens.
        runbook: Returns the URL of an alert's runbook.
        longest: Seconds that actions are waited for.

    Raises:
        AskError: autoheal is out or refuses, and nothing was done.
    """
    status = await autoheal.ask("GET", "/")
    try:
        acted_on = {target["alertname"] for target in status["targets"] if not target["healthy"]}
        acted_on |= {waiting["alertname"] for waiting in status["waiting"]}
    except (KeyError, TypeError):
        raise autoheal.error("it is no autoheal") from None
    items = [item for item in report.items if item.kind in RESTARTABLE]
    firing = [
        (item.name, {**describe(finding, runbook), "status": "firing"})
        for item in items
        for finding in item.raised
    ]
    over = [
        (item.name, {"labels": dict(labels), "status": RESOLVED, "endsAt": instant(report.ts)})
        for item in items
        for labels in item.cleared
        if labels["alertname"] in acted_on
    ]
    delivered = [*over, *firing]
    if not delivered:
        return []
    answer = await autoheal.ask("POST", "/alert", body=_webhook([alert for _, alert in delivered]))
    try:
        events = answer["decisions"][len(over) :]
        pairs = list(zip(firing, events, strict=True))
    except (KeyError, TypeError, ValueError):
        raise autoheal.error("it took the alerts, and does not say what it decided") from None
    return await _followed(pairs, autoheal, longest)


async def _followed(
    pairs: list[tuple[tuple[str, dict[str, Any]], dict[str, Any]]], autoheal: Server, longest: float
) -> list[Decision]:
    """Return the decisions, those about what was accepted once it has ended or `longest` seconds have passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + longest
    found = []
    for (name, alert), first in pairs:
        event = first
        # What waits for longer than we do need not be watched.
        patient = (first.get("wait_sec") or 0.0) < longest
        while patient and event.get("kind") not in _ENDS and loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            try:
                events = await autoheal.ask("GET", "/audit", query={"contains": str(first.get("id", ""))})
            except AskError as error:  # it was asked, and has it on record: that has to be said
                event = {**event, "error": str(error)}
                break
            event = next(
                (each for each in reversed(events or []) if each.get("id") == first.get("id")), event
            )
        found.append(_decision(alert["labels"]["alertname"], name, event))
    return found


def _decision(alert: str, name: str, event: Mapping[str, Any]) -> Decision:
    why = ": ".join(str(event[part]) for part in ("reason", "detail", "error") if event.get(part))
    if event.get("kind") == ACCEPTED and event.get("wait_sec"):
        why = f"it waits {event['wait_sec']:g} s"
    return Decision(alert, name, str(event.get("kind", "")), why, " ".join(map(str, event.get("cmd", ()))))


def _webhook(alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `alerts` as Alertmanager's webhook (version 4) has them."""
    firing = any(alert["status"] != RESOLVED for alert in alerts)
    return {
        "version": "4",
        "receiver": "healer-check",
        "status": "firing" if firing else RESOLVED,
        "groupKey": "{}:{}",
        "alerts": alerts,
    }
