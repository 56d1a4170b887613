"""Everything that runs: buses, Prometheus, Alertmanager, exporter, sentinel and services that beat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import redis.asyncio
from redis.exceptions import RedisError

from healer.bundle import Settings, render, write
from healer.demo.events import Events
from healer.demo.watcher import watcher
from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.process import Command, Process
from healer.truth.load import Loaded, parse
from healer.truth.seed import Outcome, seed
from healer.truth.store import DEFAULT_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
    from pathlib import Path

    from healer.stack.servers import Servers
    from healer.truth.model import Service

BRISK = Settings(scrape_interval=0.5, evaluation_interval=0.5, resend_delay=0.95, group_interval=1.0)
"""Fast enough for timeouts of seconds. Prometheus sends again at the first evaluation after the delay: each second."""

SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.25

STATES = {0.0: "beating", 1.0: "not watched", 2.0: "missing"}


class WorldError(Exception):
    """The world did not come into the state it should be in; the message says what is lacking."""


@dataclass(frozen=True, slots=True)
class State:
    """How a service stands, as Prometheus sees it.

    Attributes:
        svc: Its name.
        bus: Its bus.
        state: One of `beating`, `not watched`, `missing`, `unknown`.
        age: Seconds since its last beat, or None if none is known.
    """

    svc: str
    bus: str
    state: str
    age: float | None


class World:
    """A running world; make one with `World.start`.

    Attributes:
        loaded: The truth that runs, with each bus's URL in it.
        truth: The same, resolved.
        raw: Its document, as it was seeded.
        settings: How fast the pipeline turns, and where its parts are.
        directory: Logs, data and the bundle.
        redis: The Redis server of each bus.
        prometheus: Prometheus.
        alertmanager: Alertmanager.
        exporter: Healer's exporter.
        sentinel: Healer's sentinel.
        watcher: `healer bundle --watch`; part of the world only if that was asked for.
        services: The process of each service that beats.
        events: What was published on the alerts channel.
    """

    def __init__(
        self,
        servers: Servers,
        document: Mapping[str, Any],
        directory: Path,
        pace: Settings,
        ports: Ports,
        *,
        watched: bool,
        sentinel: Mapping[str, str],
    ) -> None:
        names = [bus.name for bus in _load(document).declared]
        self.redis = {
            name: stack.redis(servers.redis_server, directory, ports.take(), name, keep=True)
            for name in names
        }
        wired = {**document, "buses": {name: {"url": server.url} for name, server in self.redis.items()}}
        self._take(wired)
        self.directory = directory
        alerts_bus = self.truth.bus(self.truth.monitor.alerts_bus)
        where = {"TRUTH_REDIS_URL": alerts_bus.url}
        self.exporter = stack.healer("exporter", directory, ports.take(), where)
        self.sentinel = stack.healer("sentinel", directory, ports.take(), {**where, **sentinel})
        bundle = directory / "bundle"
        self.alertmanager = stack.alertmanager(
            servers.alertmanager, directory, ports.take(), bundle / "alertmanager/alertmanager.yml"
        )
        self.prometheus = stack.prometheus(
            servers.prometheus,
            directory,
            ports.take(),
            bundle / "prometheus/prometheus.yml",
            resend_delay=pace.resend_delay,
        )
        self.settings = replace(
            pace,
            exporters=(self.exporter.address,),
            sentinels=(self.sentinel.address,),
            alertmanagers=(self.alertmanager.address,),
            prometheus=(self.prometheus.address,),
        )
        self.watcher = watcher(servers, directory, ports.take(), where, self.settings)
        self._watched = watched
        self.services = {service.name: self._beating(service) for service in self.truth.services}
        self.events = Events(alerts_bus.url, self.truth.monitor.alerts_channel)
        self._http: aiohttp.ClientSession | None = None

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        servers: Servers,
        document: Mapping[str, Any],
        directory: Path,
        *,
        pace: Settings = BRISK,
        silent: Collection[str] = (),
        watched: bool = False,
        sentinel: Mapping[str, str] | None = None,
    ) -> AsyncIterator[World]:
        """Start a world, wait until all is well in it, and stop all of it at the end.

        Args:
            servers: The programs to run.
            document: The truth. Each bus it names gets a Redis server of its own, whatever URL it gives.
            directory: An empty folder for logs, data and the bundle; it stays.
            pace: How fast the pipeline turns; the addresses in it do not count.
            silent: Services that are not started.
            watched: Whether `healer bundle --watch` keeps the rules in step with the truth.
            sentinel: More of the sentinel's environment.

        Raises:
            TruthError: The document does not load.
            ProcessError: Something did not start.
            WorldError: It started, and all is not well within a minute.
        """
        async with contextlib.AsyncExitStack() as cleanup:
            ports = cleanup.enter_context(Ports())
            world = cls(servers, document, directory, pace, ports, watched=watched, sentinel=sentinel or {})
            cleanup.push_async_callback(world._stop)
            world._http = await cleanup.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
            )
            await world._start(silent)
            yield world

    @property
    def processes(self) -> dict[str, Process]:
        """Every process by its name, in the order of starting."""
        pipeline = [self.alertmanager, self.prometheus, self.exporter, self.sentinel]
        if self._watched:
            pipeline.append(self.watcher)
        return {each.name: each for each in (*self.redis.values(), *pipeline, *self.services.values())}

    async def edit(self, document: Mapping[str, Any]) -> None:
        """Seed another document on the same buses; a service that is new in it gets a process, not yet started.

        Raises:
            TruthError: The document does not load.
            WorldError: A bus does not take it.
        """
        self._take({**document, "buses": {name: {"url": server.url} for name, server in self.redis.items()}})
        for service in self.truth.services:
            if service.name not in self.services:
                self.services[service.name] = self._beating(service)
        await self._seed()

    async def settled(self, *, within: float = SETTLE_SECONDS, silent: Collection[str] = ()) -> None:
        """Return once every service but the `silent` ones is watched past its warm-up and beats, and nothing fires.

        Raises:
            ProcessError: Something ended.
            WorldError: That is not so `within` seconds.
        """
        lacking = ""

        async def well() -> bool:
            nonlocal lacking
            lacking = await self._lacking(silent)
            for process in self.processes.values():
                if not process.running and process.name not in silent:
                    await process.wait_ready()  # says how it ended
            return not lacking

        try:
            async with asyncio.timeout(within):
                await _until(well)
        except TimeoutError:
            raise WorldError(f"all is not well within {within:g} s: {lacking}") from None

    async def states(self) -> list[State]:
        """Return how each service stands; `unknown` while Prometheus does not answer."""
        ages = "time() - (svc:heartbeat_last_seen_timestamp_seconds:max > 0)"
        codes, silences = await self.by_service("svc:heartbeat_state:code"), await self.by_service(ages)
        return [
            State(
                each.name,
                each.bus,
                STATES.get(codes.get(each.name, -1.0), "unknown"),
                silences.get(each.name),
            )
            for each in self.truth.services
        ]

    async def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Return what Prometheus says now: labels and value of each series; nothing while it does not answer."""
        assert self._http is not None  # noqa: S101  for the type checker; set by start
        try:
            async with self._http.get(
                f"{self.prometheus.url}/api/v1/query", params={"query": promql}
            ) as answer:
                result = (await answer.json())["data"]["result"]
        except (aiohttp.ClientError, TimeoutError, KeyError):
            return []
        return [(series["metric"], float(series["value"][1])) for series in result]

    async def by_service(self, promql: str) -> dict[str, float]:
        """Return the value that Prometheus has for each service."""
        return {labels["svc"]: value for labels, value in await self.query(promql) if "svc" in labels}

    async def firing(self) -> list[tuple[str, str]]:
        """Return the alerts that fire, without the Watchdog: name, and service or an empty string."""
        series = await self.query('ALERTS{alertstate="firing", alertname!="Watchdog"}')
        return sorted({(labels["alertname"], labels.get("svc", "")) for labels, _ in series})

    async def last_seen(self, svc: str) -> float:
        """Return the epoch seconds at which the exporter received the newest beat of `svc`; 0 if it cannot say."""
        return await self._sample(self.exporter, "heartbeat_last_seen_timestamp_seconds{", f'svc="{svc}"')

    async def monitor_last_seen(self) -> float:
        """Return the epoch seconds of Healer's own newest beat that Prometheus knows of; 0 if it cannot say.

        With the exporter killed, a beat that it heard after its last scrape is known to nobody.
        """
        await asyncio.sleep(2 * (self.settings.scrape_interval + self.settings.evaluation_interval))
        series = await self.query("healer:heartbeat_alive_timestamp_seconds:max")
        return max((value for _, value in series), default=0.0)

    async def health(self, svc: str) -> bytes | None:
        """Return what is stored at `health:<svc>`."""
        alerts_bus = self.truth.bus(self.truth.monitor.alerts_bus)
        async with redis.asyncio.Redis.from_url(alerts_bus.url) as client:
            return cast("bytes | None", await client.get(f"health:{svc}"))

    async def subscribers(self) -> dict[str, int]:
        """Return how many exact subscribers each service's channel has; 0 where its bus does not answer."""
        counts = {}
        for service in self.truth.services:
            counts[service.channel] = 0
            with contextlib.suppress(RedisError, OSError):
                async with redis.asyncio.Redis.from_url(self.truth.bus(service.bus).url) as client:
                    ((_, number),) = await client.pubsub_numsub(service.channel)
                    counts[service.channel] = int(number)
        return counts

    async def keep_alive(self, after: float, say: Callable[[str], None]) -> None:
        """Start again whatever has been down for `after` seconds, and `say` so; runs until cancelled."""
        down: dict[str, float] = {}
        while True:
            for name, process in self.processes.items():
                if process.running:
                    down.pop(name, None)
                elif time.monotonic() - down.setdefault(name, time.monotonic()) >= after:
                    await process.start()
                    say(f"{name} is started again, as pid {process.pid}")
            await asyncio.sleep(POLL_SECONDS)

    def _take(self, wired: Mapping[str, Any]) -> None:
        self.raw = json.dumps(wired, indent=2).encode()
        self.loaded = _load(wired)
        self.truth = self.loaded.truth

    def _beating(self, service: Service) -> Process:
        url = self.truth.bus(service.bus).url
        argv = (
            sys.executable,
            "-m",
            "healer.demo.service",
            service.name,
            service.channel,
            url,
            str(service.interval),
        )

        async def ready() -> bool:
            return "beating since" in process.tail()

        process = Process(Command(service.name, argv, ready), self.directory)
        return process

    async def _seed(self) -> None:
        for seeded in await seed(self.raw, self.loaded, DEFAULT_KEY, {}):
            if seeded.outcome is Outcome.FAILED:
                raise WorldError(f"the truth cannot be seeded into {seeded.bus.name}: {seeded.details}")

    async def _start(self, silent: Collection[str]) -> None:
        await _together(*self.redis.values())
        await self._seed()
        await self.events.start()
        files = render(self.truth, self.settings)
        write(files, self.directory / "bundle", private=self.settings.private)
        beating = [process for name, process in self.services.items() if name not in silent]
        await _together(self.exporter, self.prometheus, *beating)
        # Prometheus takes 5 s to find its Alertmanager, longer than a sentinel may wait for a Watchdog; and a
        # sentinel that is not there yet makes Alertmanager wait ever longer before it tries again.
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await _until(self._alertmanager_known)
        except TimeoutError:
            raise WorldError(f"Prometheus finds no Alertmanager within {SETTLE_SECONDS:g} s") from None
        await _together(self.sentinel)
        await _together(self.alertmanager)
        if self._watched:
            await _together(self.watcher)
        await self.settled(silent=silent)

    async def _stop(self) -> None:
        await self.events.stop()
        await asyncio.gather(*(process.stop() for process in self.processes.values()))

    async def _alertmanager_known(self) -> bool:
        return self.alertmanager.address in await self._get(f"{self.prometheus.url}/api/v1/alertmanagers")

    async def _lacking(self, silent: Collection[str]) -> str:
        """Return what is not as it should be yet, or an empty string."""
        unheard = [channel for channel, number in (await self.subscribers()).items() if number < 1]
        if unheard:
            return f"nobody listens to {', '.join(unheard)}"
        for daemon in (self.exporter, self.sentinel):
            said = await self._get(f"{daemon.url}/-/ready")
            if not said.endswith("is ready.\n"):
                return said.strip() or f"{daemon.name} does not answer"
        unwell = [
            f"{each.svc} {each.state}"
            for each in await self.states()
            if each.svc not in silent and each.state != "beating"
        ]
        if unwell:
            return f"Prometheus sees {', '.join(unwell)}"
        if not await self._sample(self.sentinel, "sentinel_watchdog_last_beat_timestamp_seconds "):
            return "the sentinel has heard no Watchdog"
        if await self._sample(self.sentinel, "sentinel_watchdog_silent "):
            return "the sentinel hears no Watchdog"
        firing = [f"{alert} {svc}".strip() for alert, svc in await self.firing() if svc not in silent]
        return f"alerts fire: {', '.join(firing)}" if firing else ""

    async def _sample(self, server: stack.Server, begin: str, label: str = "") -> float:
        """Return the value of the first line of the server's metrics with that beginning and label; 0 without one."""
        page = await self._get(f"{server.url}/metrics")
        for line in page.splitlines():
            if line.startswith(begin) and label in line:
                return float(line.rpartition(" ")[2])
        return 0.0

    async def _get(self, url: str) -> str:
        assert self._http is not None  # noqa: S101  for the type checker; set by start
        try:
            async with self._http.get(url) as answer:
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return ""


def _load(document: Mapping[str, Any]) -> Loaded:
    return parse(json.dumps(document), env={}, source="the document of this world")


async def _together(*processes: Process) -> None:
    for process in processes:
        await process.start()
    await asyncio.gather(*(process.wait_ready() for process in processes))


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110  it is the state of other processes, which set no event here
        await asyncio.sleep(POLL_SECONDS)
