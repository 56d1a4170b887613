"""The demo's own wiring document: the services of the systems Healer replaces, with timeouts of seconds."""

from __future__ import annotations

from typing import Any

INTERVAL = 1.0
TIMEOUT = 3.0
MONITOR_TIMEOUT = 5.0

SERVICES = {
    "rss_agg": "system-redis",
    "massive": "system-redis",
    "mesh": "system-redis",
    "vexy_ai": "market-redis",
}
"""Which service beats on which bus."""


def document() -> dict[str, Any]:
    """Return a new document; its buses get their URLs from the `World` that runs it."""
    services: dict[str, Any] = {
        name: {
            "heartbeat": {"channel": f"{name}:heartbeat", "interval_sec": INTERVAL, "timeout_sec": TIMEOUT}
        }
        for name in SERVICES
    }
    services["healer"] = {
        "access_points": {
            "subscribe_to": [{"bus": bus, "key": f"{name}:heartbeat"} for name, bus in SERVICES.items()],
            "publish_to": [
                {"bus": "system-redis", "key": "healer:alerts"},
                {"bus": "system-redis", "key": "healer:heartbeat"},
            ],
        },
        "heartbeat": {
            "channel": "healer:heartbeat",
            "interval_sec": INTERVAL,
            "timeout_sec": MONITOR_TIMEOUT,
        },
    }
    return {"version": "demo", "services": services}
