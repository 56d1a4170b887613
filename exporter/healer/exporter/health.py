"""Says for `/health` whether this exporter hears everything that it should; never whether services are well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from healer.truth.limits import Level
from healer.web.face import Health

if TYPE_CHECKING:
    from healer.exporter.wiring import Wiring


def health(wiring: Wiring) -> Health:
    """Return what `/health` answers: healthy as long as every bus is heard."""
    deaf = wiring.waiting_for()
    if wiring.truth is None:
        level = Level.UNKNOWN
    elif deaf is not None:
        level = Level.CRITICAL
    else:
        level = Level.HEALTHY if wiring.successful else Level.WARNING
    well = (
        "every bus is heard" if wiring.successful else "every bus is heard, but the newest truth is refused"
    )
    shown = {
        "healthy": deaf is None,
        "level": str(level),
        "summary": deaf or well,
        "buses": {name: listener.up for name, listener in sorted(wiring.listeners.items())},
    }
    return Health(deaf is None, json.dumps(shown).encode())
