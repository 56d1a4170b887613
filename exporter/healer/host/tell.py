"""Tells Alertmanager what a check found, as Prometheus would of the same rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from healer.truth.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healer.host.ask import Server
    from healer.host.findings import Finding, Report

PATH = "/api/v2/alerts"


@dataclass(frozen=True, slots=True)
class Told:
    """How many alerts were raised, and how many of ours resolved."""

    raised: int
    resolved: int


async def tell(report: Report, manager: Server, runbook: Callable[[str], str], *, stands: float) -> Told:
    """Raise what `report` found and resolve what an earlier check raised and this one shows to be over.

    Args:
        report: The check.
        manager: The Alertmanager.
        runbook: Returns the URL of an alert's runbook.
        stands: Seconds after which an alert resolves by itself unless a check repeats it.

    Raises:
        AskError: Alertmanager did not take it.
    """
    source = f"healer://check/{quote(report.host, safe='')}"
    standing = await _standing(report.host, manager)
    cleared = [labels for item in report.items for labels in item.cleared]
    # What Prometheus repeats is Prometheus' to resolve: only what was last said by a check is over by a check.
    over = [alert for alert in standing if alert["generatorURL"] == source and alert["labels"] in cleared]
    raised = {_key(finding.labels): finding for item in report.items for finding in item.raised}
    body = [
        {
            # Without, Alertmanager has it begin when it ends. Of what it knows already it keeps the earliest.
            "startsAt": instant(report.ts),
            **describe(finding, runbook),
            "generatorURL": source,
            "endsAt": instant(report.ts + stands),
        }
        for finding in raised.values()
    ]
    body += [
        {
            "labels": alert["labels"],
            "annotations": alert["annotations"],
            "generatorURL": source,
            "startsAt": instant(alert["startsAt"]),
            "endsAt": instant(max(report.ts, alert["startsAt"])),
        }
        for alert in over
    ]
    if body:
        await manager.ask("POST", PATH, body=body)
    return Told(len(raised), len(over))


def describe(finding: Finding, runbook: Callable[[str], str]) -> dict[str, Any]:
    """Return labels, annotations and, if it is known, the beginning of an alert."""
    limit = finding.limit
    alert: dict[str, Any] = {
        "labels": dict(finding.labels),
        "annotations": {
            "summary": limit.say(limit.summary, finding.labels),
            "description": limit.say(limit.description, finding.labels, finding.value),
            "runbook_url": runbook(limit.alert),
        },
    }
    return alert if finding.since is None else alert | {"startsAt": instant(finding.since)}


def instant(epoch: float) -> str:
    """Return epoch seconds as RFC 3339 has them."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps(sorted(labels.items()))


async def _standing(host: str, manager: Server) -> list[dict[str, Any]]:
    """Return the alerts about `host` that Alertmanager has."""
    query = {"filter": f"host={json.dumps(host, ensure_ascii=False)}"}
    found = await manager.ask("GET", PATH, query=query)
    try:
        return [
            {
                "labels": alert["labels"],
                "annotations": alert["annotations"],
                "generatorURL": alert.get("generatorURL", ""),
                # By Alertmanager's clock, which may be ahead of ours.
                "startsAt": datetime.fromisoformat(alert["startsAt"]).timestamp(),
            }
            for alert in found
            if alert["labels"]["alertname"] in LIMITS.alerts
        ]
    except (KeyError, TypeError, ValueError):
        raise manager.error("it answers with what are no alerts") from None
