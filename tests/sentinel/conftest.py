"""A sentinel on a real Redis, Alertmanager's webhooks as it writes them, and clocks set by hand."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from tests.patience import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

NEVER = "0001-01-01T00:00:00Z"


class Machine:
    """A machine whose two clocks are set by hand."""

    def __init__(self) -> None:
        self.elapsed = 1_000.0
        self.offset = 1_762_433_000.0

    def monotonic(self) -> float:
        return self.elapsed

    def wall(self) -> float:
        return self.elapsed + self.offset

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def instant(epoch: float) -> str:
    """Return `epoch` as Go writes it."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert(
    name: str = "HeartbeatMiss",
    svc: str = "rss_agg",
    *,
    starts: float,
    ends: float | None = None,
    labels: dict[str, str] | None = None,
    **annotations: object,
) -> dict[str, Any]:
    """Return an alert of a webhook; resolved if it `ends`."""
    return {
        "status": "firing" if ends is None else "resolved",
        "labels": {
            "alertname": name,
            "svc": svc,
            "bus": "system-redis",
            "severity": "critical",
            **(labels or {}),
        },
        "annotations": {"summary": "…", **{key: str(value) for key, value in annotations.items()}},
        "startsAt": instant(starts),
        "endsAt": NEVER if ends is None else instant(ends),
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "4b0da8e91f1d25a5",
    }


def watchdog(beat: float | None, *, resolved: bool = False) -> dict[str, Any]:
    annotations = {} if beat is None else {"beat": f"{beat:.3f}"}
    return alert("Watchdog", "", starts=1_762_000_000, ends=beat if resolved else None, **annotations)


def webhook(*alerts: dict[str, Any], sender: str = "http://alertmanager:9093") -> bytes:
    """Return the body that Alertmanager 0.25 posts."""
    firing = any(each["status"] == "firing" for each in alerts)
    body = {
        "receiver": "sentinel",
        "status": "firing" if firing else "resolved",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "HeartbeatMiss"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": sender,
        "version": "4",
        "groupKey": '{}:{alertname="HeartbeatMiss"}',
        "truncatedAlerts": 0,
    }
    return json.dumps(body).encode()


def document(url: str, *, timeout: float = 2.0, own: float = 60.0) -> dict[str, Any]:
    """Return a truth with rss_agg and mesh on the bus at `url`; `own` is what may pass without a Watchdog."""
    names = ("rss_agg", "mesh")
    return {
        "buses": {"system-redis": {"url": url}},
        "services": {
            **{name: {"heartbeat": {"interval_sec": 0.5, "timeout_sec": timeout}} for name in names},
            "healer": {
                "access_points": {
                    "subscribe_to": [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in names],
                    "publish_to": [{"bus": "system-redis", "key": "healer:alerts"}],
                },
                "heartbeat": {"interval_sec": 0.5, "timeout_sec": own},
            },
        },
    }


@dataclass
class Channel:
    """What a subscriber of the alerts channel heard, across restarts of Redis."""

    url: str
    raw: list[bytes] = field(default_factory=list)
    subscribed: bool = False

    def events(self) -> list[tuple[str, str]]:
        return [(event["type"], event["svc"]) for event in map(json.loads, self.raw)]

    async def listen(self) -> None:
        while True:
            with contextlib.suppress(OSError, Exception):
                async with Redis.from_url(self.url) as redis, redis.pubsub() as pubsub:
                    await pubsub.subscribe("healer:alerts")
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            self.raw.append(message["data"])
                        else:
                            self.subscribed = True
            self.subscribed = False
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[Callable[[str], Awaitable[Channel]]]:
    """Return a factory: `await channel(url)` subscribes to the alerts channel there."""
    tasks = []

    async def start(url: str) -> Channel:
        heard = Channel(url)
        tasks.append(asyncio.create_task(heard.listen()))
        await until(lambda: heard.subscribed)
        return heard

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Sentinel:
    """A running sentinel process."""

    process: asyncio.subprocess.Process
    url: str
    log: Path

    async def request(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json", **headers}
        async with (
            ClientSession() as session,
            session.request(method, self.url + path, data=io.BytesIO(body or b""), headers=headers) as answer,
        ):
            return answer.status, await answer.text()

    async def post(self, *alerts: dict[str, Any], sender: str = "http://alertmanager:9093") -> int:
        return (await self.request("/webhook", webhook(*alerts, sender=sender)))[0]

    async def metrics(self) -> dict[str, float]:
        """Return every sample as `name{label="value",...}`."""
        _, text = await self.request("/metrics")
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples

    async def ready(self, seconds: float = PATIENCE) -> None:
        start = time.monotonic()
        while (await self.request("/-/ready"))[0] != 200:
            assert time.monotonic() - start < seconds, (await self.request("/-/ready"))[1]
            await asyncio.sleep(0.05)

    def logged(self, event: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if f'event="{event}"' in line]

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signum)
        return await self.process.wait()


StartSentinel = "Callable[..., Awaitable[Sentinel]]"


@pytest_asyncio.fixture
async def sentinel(ports, tmp_path) -> AsyncIterator[Callable[..., Awaitable[Sentinel]]]:
    """Return a factory: `await sentinel(redis_url)` runs one there and waits until it answers /metrics."""
    running: list[Sentinel] = []

    async def start(redis_url: str, *, port: int | None = None, **environment: object) -> Sentinel:
        port = port or ports.take()
        log = tmp_path / f"sentinel-{port}-{len(running)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "healer", "sentinel", "--listen", f"127.0.0.1:{port}"),
                env={
                    **os.environ,
                    "TRUTH_REDIS_URL": redis_url,
                    "LOG_LEVEL": "INFO",
                    **{name: str(value) for name, value in environment.items()},
                },
                stdout=output,
                stderr=output,
            )
        made = Sentinel(process, f"http://127.0.0.1:{port}", log)
        running.append(made)
        begun = time.monotonic()
        while True:
            assert process.returncode is None, log.read_text()
            assert time.monotonic() - begun < PATIENCE, "the sentinel does not answer"
            with contextlib.suppress(OSError):
                await made.metrics()
                return made
            await asyncio.sleep(0.05)

    yield start
    for each in running:
        await each.stop(signal.SIGKILL)


async def seed(url: str, **options: float) -> None:
    async with Redis.from_url(url) as redis:
        await redis.set("truth:doc", json.dumps(document(url, **options)))


async def health(url: str, svc: str) -> bytes | None:
    async with Redis.from_url(url) as redis:
        return await redis.get(f"health:{svc}")
