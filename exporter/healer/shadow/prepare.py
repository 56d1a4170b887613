"""The truth for a Healer that runs in the shadow of another: the same services, events and own beat elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from healer.truth.load import Loaded

CHANNEL = "shadow:alerts"
HEARTBEAT = "shadow:heartbeat"
BUS = "shadow"
DATABASE = 15
"""Of the same Redis: channels span all databases, keys do not, so that `health:<svc>` stays the other healer's."""


class ShadowError(Exception):
    """No shadow can be made of this truth; the message says why."""


def prepare(raw: bytes, loaded: Loaded, database: int = DATABASE) -> str:
    """Return the document `raw`, which loaded, for the shadow.

    Raises:
        ShadowError: A bus of the document is called as the shadow's is.
    """
    document: dict[str, Any] = json.loads(raw)
    truth = loaded.truth
    if any(bus.name == BUS for bus in loaded.declared):
        raise ShadowError(
            f"buses.{BUS}: there is a bus of this name already; rename it in a copy of the document."
        )
    sections = (document.get(key) for key in ("services", "components"))
    healer = next(
        section["healer"] for section in sections if isinstance(section, dict) and "healer" in section
    )
    alerts = truth.bus(truth.monitor.alerts_bus).url
    buses = document.setdefault("buses", {})
    for bus in loaded.declared:
        buses.setdefault(bus.name, {"url": bus.url})
    buses[BUS] = {"url": _of_database(alerts, database)}
    healer["access_points"]["publish_to"] = [{"bus": BUS, "key": CHANNEL}, {"bus": BUS, "key": HEARTBEAT}]
    healer["heartbeat"] = {**healer.get("heartbeat", {}), "channel": HEARTBEAT}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _of_database(url: str, database: int) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = "&".join([*filter(None, [parts.query]), f"db={database}"])
        return urlunsplit(parts._replace(query=query))
    return urlunsplit(parts._replace(path=f"/{database}"))
