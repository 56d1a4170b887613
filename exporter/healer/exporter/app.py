"""Wires the exporter process together: truth in, buses heard, metrics out."""

from __future__ import annotations

import gc
import os
import socket
from typing import TYPE_CHECKING

import structlog

from healer.exporter.health import health
from healer.exporter.metrics import HeartbeatCollector
from healer.exporter.push import PushDesk
from healer.exporter.status import Survey
from healer.exporter.status_page import StatusPage
from healer.exporter.wiring import Wiring
from healer.runtime import daemon
from healer.runtime.clock import Anchor, SystemClock
from healer.truth.follow import Follower
from healer.truth.store import Location
from healer.web.face import Face, application, process_registry
from healer.web.listen import Address, serving

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from healer.truth.model import Truth
    from healer.truth.shard import Shard


async def run(
    listen: Address,
    truth_url: str,
    truth_key: str,
    env: Mapping[str, str],
    web_config: Path | None = None,
    *,
    shard: Shard | None = None,
) -> int:
    """Run the exporter until a signal; return the exit status.

    Args:
        listen: Where to serve /metrics; answered before any bus is.
        truth_url: Of the Redis server that holds the truth.
        truth_key: The key that it is under.
        env: The environment variables that a truth may be completed from.
        web_config: The file with TLS, users and headers; None for plain HTTP, open to all.
        shard: Which part of the services to watch; None: all, up to what one exporter takes.

    Raises:
        ListenError: `listen` cannot be listened on.
        TokenError: The file of tokens that `env` names cannot be used.
        WebConfigError: `web_config` cannot be used.
    """
    log = structlog.get_logger(component="exporter")
    clock = SystemClock()
    replica = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
    desk = PushDesk(env, clock)
    wiring = Wiring(replica, clock, desk.closed, shard)

    async def adopt(truth: Truth) -> None:
        # What a truth makes stays until the next one. Python's collector would look through all of it again and
        # again, and nothing is heard meanwhile.
        gc.unfreeze()
        await wiring.adopt(truth)
        gc.freeze()

    truth = Follower(Location(truth_url, truth_key), env, adopt, wiring.judged, fault=wiring.shard.fault)
    collector = HeartbeatCollector(wiring, Anchor(clock), desk.answered)
    registry = process_registry()
    registry.register(collector)
    face = Face(
        title="Healer exporter",
        about="Hears the heartbeats that truth.json wires up and shows Prometheus when each was last heard.",
        registry=registry,
        stream=lambda openmetrics: collector.services(openmetrics=openmetrics),
        ready=wiring.waiting_for,
        reload=truth.reload,
        links={"/status": "which services were heard, and when"},
        health=lambda: health(wiring),
    )
    app = application(face)
    desk.serve_on(app, wiring.posts)
    StatusPage(Survey(wiring, Anchor(clock), clock)).serve_on(app)
    async with serving(app, listen, web_config) as url:
        log.info("serving", url=url)
        return await daemon.run(
            {"wiring": wiring.run, "truth": truth.run},
            hangup=truth.reload,
            alive=wiring.alive,
        )
