"""Wires the sentinel process together: webhooks in, events on Redis out, the Watchdog's silence timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from healer.runtime import daemon
from healer.runtime.clock import SystemClock
from healer.sentinel import webhook
from healer.sentinel.claims import Claims
from healer.sentinel.delivery import Delivery
from healer.sentinel.events import type_of
from healer.sentinel.metrics import Counts, StateCollector
from healer.sentinel.page import Page
from healer.sentinel.pump import Pump
from healer.sentinel.settings import Settings
from healer.sentinel.voice import Voice
from healer.sentinel.watchdog import Watchdog
from healer.truth.follow import Follower
from healer.truth.model import Monitor
from healer.truth.store import Location
from healer.web.face import Face, application, process_registry
from healer.web.listen import Address, serving

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from healer.truth.model import Truth


async def run(
    listen: Address, truth_url: str, truth_key: str, env: Mapping[str, str], web_config: Path | None = None
) -> int:
    """Run the sentinel until a signal; return the exit status.

    Args:
        listen: Where to serve /webhook and /metrics; answered before Redis is.
        truth_url: Redis URL of the server that has the truth.
        truth_key: Its key there.
        env: The environment variables that a truth may be completed from.
        web_config: The file with TLS, users and headers; None for plain HTTP, open to all.

    Raises:
        ListenError: `listen` cannot be listened on.
        SettingsError: A variable, or a file that it names, cannot be used.
        WebConfigError: `web_config` cannot be used.
    """
    settings = Settings.from_env(env, web_config)
    log = structlog.get_logger(component="sentinel")
    clock = SystemClock()
    registry = process_registry()
    counts = Counts(registry)
    watchdog = Watchdog(clock, Monitor().timeout)
    delivery = Delivery(clock, watchdog, lambda event: counts.event(type_of(event)))
    pump = Pump(delivery, watchdog, clock)
    claims = Claims(lambda: delivery.ledger)
    voice = Voice(settings, delivery=delivery, claims=claims, watchdog=watchdog, clock=clock, counts=counts)
    registry.register(StateCollector(delivery, watchdog, clock, voice.couriers, voice.switch))
    page = Page(delivery, watchdog, clock, voice.couriers, voice.switch)

    async def adopt(truth: Truth) -> None:
        await delivery.adopt(truth)
        pump.wake()

    truth = Follower(Location(truth_url, truth_key), env, adopt)
    face = Face(
        title="Healer sentinel",
        about="Turns Alertmanager's webhooks into events on Redis, and hears when the pipeline falls silent.",
        registry=registry,
        ready=delivery.waiting_for,
        reload=truth.reload,
        state=page.rows,
    )
    app = application(face, max_body=webhook.MAX_BODY)
    webhook.Receiver(delivery, counts, clock, pump.wake, settings.tokens).serve_on(app)

    try:
        async with serving(app, listen, web_config) as url:
            log.info("serving", url=url)
            return await daemon.run(
                {"pump": pump.run, "timer": pump.check, "truth": truth.run, **voice.tasks()},
                hangup=truth.reload,
                alive=pump.alive,
            )
    finally:
        await claims.close()
        await delivery.close()
