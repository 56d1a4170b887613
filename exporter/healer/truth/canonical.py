"""The hash that tells whether two documents mean the same to Healer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from healer.runtime.redact import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.truth.machines import Host
    from healer.truth.model import Bus, Monitor, Service
    from healer.truth.windows import Team


def digest(
    services: Iterable[Service],
    buses: Iterable[Bus],
    monitor: Monitor,
    teams: Iterable[Team] = (),
    hosts: Iterable[Host] = (),
) -> str:
    """Return the SHA-256, in hex, of what was resolved: no origins, no passwords, nothing of other blocks."""
    services = tuple(services)
    subset: dict[str, object] = {
        "services": {
            service.name: {
                "bus": service.bus,
                "channel": service.channel,
                "interval": service.interval,
                "timeout": service.timeout,
                "source": service.source.value,
                "severity": service.severity,
                "team": service.team,
                "runbook": service.runbook,
            }
            for service in services
        },
        "buses": {bus.name: safe_url(bus.url) for bus in buses},
        "monitor": {
            "name": monitor.name,
            "heartbeat_channel": monitor.heartbeat_channel,
            "interval": monitor.interval,
            "timeout": monitor.timeout,
            "alerts_channel": monitor.alerts_channel,
            "alerts_bus": monitor.alerts_bus,
        },
    }
    windows = {
        f"{kind} {owner.name}": [str(window) for window in owner.maintenance]
        for kind, owners in (("service", services), ("team", teams))
        for owner in owners
        if owner.maintenance
    }
    if windows:
        subset["maintenance"] = windows
    machines = {host.name: asdict(host) for host in hosts}
    if machines:
        subset["hosts"] = machines
    return hashlib.sha256(json.dumps(subset, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
