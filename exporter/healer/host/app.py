"""Wires `healer host` together: truth in, the host looked at, metrics out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from healer.host.check import Check
from healer.host.health import Standing
from healer.host.metrics import HostCollector
from healer.host.probe import Probe, Readings
from healer.runtime import daemon
from healer.runtime.clock import SystemClock
from healer.runtime.tasks import aside
from healer.truth.load import parse
from healer.truth.problems import TruthError
from healer.truth.store import StoreError
from healer.web.face import Face, application, process_registry
from healer.web.listen import Address, serving

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from healer.bundle.source import Source
    from healer.runtime.clock import Clock
    from healer.truth.limits import Level
    from healer.truth.machines import Host

LOOK_SECONDS = 15.0
"""Time between two looks."""

STARTED_SECONDS = 0.5
"""Time between two looks for the first truth."""

LONGEST_LOOK = 30.0
"""Seconds after which a look that goes on, on a disk that hangs for example, leaves everything unknown."""


def state_folder(env: Mapping[str, str]) -> Path:
    """Return where the state is kept by default: what systemd gives, else in the home directory."""
    given = env.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else Path.home() / ".local/state/healer"


class Watch:
    """What is known of one host, and of the truth about it."""

    def __init__(self, name: str, source: Source, env: Mapping[str, str], folder: Path) -> None:
        self.readings = Readings()
        self.reason: str | None = "no truth yet"
        self._name, self._source, self._env, self._folder = name, source, env, folder
        self._host: Host | None = None
        self._probe: Probe | None = None
        self._wake = asyncio.Event()
        self._log = structlog.get_logger(component="host")

    async def follow(self) -> None:
        """Take up each change of the truth, until cancelled."""

        async def adopt(raw: bytes) -> None:
            await self._adopt(raw)

        await self._source.watch(adopt)

    async def reload(self) -> str | None:
        """Read the truth now; return None, or why the last one stays."""
        try:
            return await self._adopt(await self._source.fetch())
        except (TruthError, StoreError) as error:
            return str(error)

    async def look(self) -> None:
        """Look every `LOOK_SECONDS`, until cancelled."""
        while True:
            self._wake.clear()
            if self._host is not None:
                await self._look_once(self._host)
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def check(self, standing: Standing, clock: Clock) -> None:
        """Check the whole host every `LOOK_SECONDS`, until cancelled, and note in `standing` how it is."""
        check = Check(clock)
        while True:
            if self._host is not None:
                standing.note(await check.look(self._host))
            await asyncio.sleep(LOOK_SECONDS if self._host is not None else STARTED_SECONDS)

    async def _look_once(self, host: Host) -> None:
        looking = asyncio.create_task(aside(lambda: self._look_at(host)))
        done, _ = await asyncio.wait({looking}, timeout=LONGEST_LOOK)
        if not done:
            self._log.error("looking takes too long, everything counts as unknown")
            unknown = dict.fromkeys(self.readings.success, False)
            self.readings = replace(self.readings, modified={}, success=unknown)
        self.readings = await looking
        self.reason = None

    def _look_at(self, host: Host) -> Readings:
        """Look once, in a thread; a host that changed in the truth gets a new probe there."""
        if self._probe is None or self._probe.host != host:
            if self._probe is not None:
                self._probe.close()
            self._probe = Probe(host, self._folder)
        return self._probe.look()

    async def _adopt(self, raw: bytes) -> str | None:
        try:
            truth = parse(raw, env=self._env, source=self._source.name).truth
        except TruthError as error:
            self._log.error("truth refused, the last one stays", reason=str(error))
            return str(error)
        host = next((host for host in truth.hosts if host.name == self._name), None)
        if host is None:
            known = ", ".join(host.name for host in truth.hosts) or "none"
            error_text = f"the truth has no host {self._name!r}; it has: {known}"
            self._log.error("truth refused, the last one stays", reason=error_text)
            self.reason = self.reason and error_text
            return error_text
        self._host = host
        self._wake.set()
        return None


async def run(
    listen: Address,
    name: str,
    source: Source,
    folder: Path,
    *,
    unhealthy: Collection[Level],
    env: Mapping[str, str],
    web_config: Path | None,
) -> int:
    """Look at the host `name` until a signal; return the exit status.

    Args:
        listen: Where to serve.
        name: The host, as the truth calls it.
        source: The truth.
        folder: Where the state is kept.
        unhealthy: The levels at which `/health` answers 503, beside CRITICAL.
        env: The environment variables that a truth may be completed from.
        web_config: The file with TLS, users and headers; None for plain HTTP.

    Raises:
        ListenError: `listen` cannot be listened on.
        WebConfigError: `web_config` cannot be used.
    """
    watch = Watch(name, source, env, folder)
    clock = SystemClock()
    standing = Standing(name, unhealthy, clock)
    registry = process_registry()
    registry.register(HostCollector(name, lambda: watch.readings))
    face = Face(
        title="Healer host",
        about="Looks at one host, shows Prometheus its heartbeat files and logs, and says whether all is well.",
        registry=registry,
        ready=lambda: watch.reason,
        reload=watch.reload,
        health=standing.answer,
    )

    async def check() -> None:
        await watch.check(standing, clock)

    async with serving(application(face), listen, web_config) as url:
        structlog.get_logger(component="host").info("serving", url=url, host=name)
        return await daemon.run(
            {"truth": watch.follow, "look": watch.look, "check": check},
            hangup=watch.reload,
            alive=lambda: True,
        )
