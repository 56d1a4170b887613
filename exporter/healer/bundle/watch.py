"""The process behind `healer bundle --watch`: a change of truth in, files and reloads out, its own state shown."""

from __future__ import annotations

import asyncio
import platform
import random
from typing import TYPE_CHECKING

import aiohttp
import structlog
from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from healer import __version__
from healer.bundle.swap import Swap
from healer.bundle.sync import Result, Sync, SyncError
from healer.runtime import daemon
from healer.runtime.clock import SystemClock
from healer.truth.problems import TruthError
from healer.truth.store import StoreError
from healer.web.face import Face, application, process_registry
from healer.web.listen import Address, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from prometheus_client import CollectorRegistry, Metric

    from healer.bundle.reload import Server
    from healer.bundle.settings import Settings
    from healer.bundle.source import Source
    from healer.bundle.sync import Tools
    from healer.runtime.clock import Clock
    from healer.truth.model import Truth

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two tries of a sync that fails: the pause doubles from the shortest to the longest."""

ALIVE_SECONDS = 600.0
"""Nothing looked at and no sync ended for so long: the process hangs. The checks may take their time."""


class Watcher:
    """What has been synced and what has to be tried again.

    Attributes:
        truth: The truth in force, or None before the first.
        failure: Why the newest truth is not in force, or None if it is.
        synced_at: Epoch seconds of the last sync that succeeded; 0 before the first.
    """

    def __init__(
        self,
        source: Source,
        put_in_force: Callable[[bytes, str], Awaitable[Truth]],
        clock: Clock,
        registry: CollectorRegistry,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make a watcher that has synced nothing.

        Args:
            source: The document.
            put_in_force: `Sync.run`.
            clock: Its time.
            registry: Where its counter goes.
            sleep: Waits that many seconds.
        """
        self.truth: Truth | None = None
        self.failure: str | None = "no truth yet"
        self.synced_at = 0.0
        self._source = source
        self._put_in_force = put_in_force
        self._clock = clock
        self._sleep = sleep
        self._raw: bytes | None = None
        self._failures = 0
        self._again = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._active = clock.monotonic()
        self._log = structlog.get_logger(component="bundle")
        self._syncs = Counter("bundle_syncs", "Syncs, by how they ended.", ["result"], registry=registry)
        for result in Result:
            self._syncs.labels(result)

    async def watch(self) -> None:
        """Sync now and whenever the document changes, until cancelled."""
        await self._source.watch(self._changed, sleep=self._look)

    async def retry(self) -> None:
        """Sync again what failed, ever more rarely, until cancelled."""
        while True:
            await self._again.wait()
            pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self._failures - 1, 10))
            await self._sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311  # jitter is no secret
            async with self._one_at_a_time:
                if self._again.is_set() and self._raw is not None:
                    await self._sync(self._raw)

    async def reload(self) -> str | None:
        """Read the document and sync now; return None, or why it is not in force."""
        async with self._one_at_a_time:
            try:
                raw = await self._source.fetch()
            except (StoreError, TruthError) as error:
                self._failed(SyncError(Result.TRUTH, str(error)), retry=self._raw is not None)
                return self.failure
            await self._sync(raw)
            return self.failure

    def waiting_for(self) -> str | None:
        """Return why the newest truth is not in force, or None if it is."""
        return self.failure

    def alive(self) -> bool:
        """Return whether something was done lately."""
        return self._clock.monotonic() - self._active < ALIVE_SECONDS

    async def _changed(self, raw: bytes) -> None:
        async with self._one_at_a_time:
            if raw != self._raw or self.failure is not None:
                await self._sync(raw)

    async def _look(self, seconds: float) -> None:
        self._active = self._clock.monotonic()
        await self._sleep(seconds)

    async def _sync(self, raw: bytes) -> None:
        if raw != self._raw:
            self._raw, self._failures = raw, 0
        try:
            self.truth = await self._put_in_force(raw, self._source.name)
        except SyncError as error:
            # Only an edit can mend a truth that does not load, and that is noticed.
            self._failed(error, retry=error.result is not Result.TRUTH)
        else:
            if self._failures:
                self._log.info("sync succeeds again", failures=self._failures)
            self.failure, self._failures, self.synced_at = None, 0, self._clock.wall()
            self._syncs.labels(Result.SUCCESS).inc()
            self._again.clear()
        self._active = self._clock.monotonic()

    def _failed(self, error: SyncError, *, retry: bool) -> None:
        """Note a failure, and log it unless it is that of the last try."""
        if str(error) != self.failure:
            self._log.error("sync failed", result=error.result, reason=str(error))
        self.failure = str(error)
        self._failures += 1
        self._syncs.labels(error.result).inc()
        if retry:
            self._again.set()
        else:
            self._again.clear()


class WatchCollector(Collector):
    """Yields what is the case with a `Watcher`, at each scrape."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client at each scrape."""
        yield GaugeMetricFamily(
            "bundle_last_sync_successful",
            "1 if the newest truth seen is in force.",
            value=float(self._watcher.failure is None),
        )
        yield GaugeMetricFamily(
            "bundle_last_sync_success_timestamp_seconds",
            "When a truth was last put, or found, in force; 0 before the first.",
            value=self._watcher.synced_at,
        )
        truth = InfoMetricFamily("bundle_truth", "The truth in force.")
        if self._watcher.truth is not None:
            truth.add_metric([], {"sha256": self._watcher.truth.sha256})
        yield truth
        build = InfoMetricFamily("bundle_build", "What this process is.")
        build.add_metric([], {"version": __version__, "python_version": platform.python_version()})
        yield build


async def run(
    listen: Address,
    source: Source,
    output: Path,
    settings: Settings,
    servers: Sequence[Server],
    *,
    env: Mapping[str, str],
    tools: Tools,
    web_config: Path | None = None,
) -> int:
    """Keep `output` and the servers that read it in line with `source` until a signal; return the exit status.

    Args:
        listen: Where to serve /metrics.
        source: The document.
        output: The folder of the bundle.
        settings: Where the parts run, how often, whom to tell.
        servers: Whom to reload.
        env: The environment variables that a truth may be completed from.
        tools: What to check with; it is said once what is missing.
        web_config: The file with TLS, users and headers; None for plain HTTP, open to all.

    Raises:
        ListenError: `listen` cannot be listened on.
        WebConfigError: `web_config` cannot be used.
        LockedError: Another process keeps `output`.
        OSError: `output` cannot be written.
    """
    log = structlog.get_logger(component="bundle")
    for name, tool in (("promtool", tools.promtool), ("amtool", tools.amtool)):
        if tool is None:
            log.warning("not on PATH, so its checks are left out", tool=name)
    registry = process_registry()
    with Swap(output) as swap:
        async with aiohttp.ClientSession() as session:
            sync = Sync(swap, settings, servers, session, env=env, tools=tools)
            watcher = Watcher(source, sync.run, SystemClock(), registry)
            registry.register(WatchCollector(watcher))
            face = Face(
                title="Healer bundle watch",
                about="Turns each new truth into rules and configuration, and has Prometheus and Alertmanager take them up.",
                registry=registry,
                ready=watcher.waiting_for,
                reload=watcher.reload,
            )
            async with serving(application(face), listen, web_config) as url:
                log.info("serving", url=url, output=str(output), truth=source.name)
                return await daemon.run(
                    {"watch": watcher.watch, "retry": watcher.retry},
                    hangup=watcher.reload,
                    alive=watcher.alive,
                )
