"""`/health`: 200 or 503 from the last check, on `healer host` and on the exporter."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import jsonschema
import pytest
from redis.asyncio import Redis
from tests.host.test_restart import schema

from healer.host.findings import Item, Report
from healer.host.health import TOO_OLD, Standing
from healer.truth.limits import Level

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RedisFactory


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def report(*levels: Level) -> Report:
    items = tuple(Item("mount", f"/{number}", level, "so", None) for number, level in enumerate(levels))
    return Report("vm", 1.0, items)


@pytest.mark.parametrize(
    ("failing", "levels", "healthy"),
    [
        ((), [Level.HEALTHY], True),
        ((), [Level.WARNING, Level.UNKNOWN], True),
        ((), [Level.CRITICAL, Level.HEALTHY], False),
        ((Level.WARNING,), [Level.WARNING], False),
        ((Level.WARNING,), [Level.CRITICAL], False),
        ((Level.WARNING,), [Level.UNKNOWN], True),
        ((Level.UNKNOWN,), [Level.WARNING], True),
        ((Level.UNKNOWN,), [Level.WARNING, Level.UNKNOWN], False),
        ((Level.UNKNOWN,), [], False),
    ],
)
def test_which_levels_fail_is_chosen(failing: tuple[Level, ...], levels: list[Level], healthy: bool) -> None:
    standing = Standing("vm", failing, Clock())
    standing.note(report(*levels))
    found = standing.answer()
    assert found.healthy is healthy
    jsonschema.validate(shown := json.loads(found.body), schema())
    assert shown["healthy"] is healthy


def test_before_the_first_check_and_after_one_that_is_too_old_nothing_is_healthy() -> None:
    clock = Clock()
    standing = Standing("vm", (), clock)
    jsonschema.validate(shown := json.loads(standing.answer().body), schema())
    assert (standing.answer().healthy, shown["level"], shown["summary"]) == (
        False,
        "UNKNOWN",
        "not looked at yet",
    )
    standing.note(report(Level.HEALTHY))
    clock.now = TOO_OLD
    assert standing.answer().healthy
    clock.now = TOO_OLD + 1
    assert not standing.answer().healthy
    assert "not looked at for" in json.loads(standing.answer().body)["summary"]


async def until(url: str, status: int) -> dict[str, Any]:
    """Return what `/health` answers once it does so with `status`; of HEAD, which UptimeRobot sends, too."""
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(url) as answer, session.head(url) as head:
                    found = await answer.json()
                    if answer.status == head.status == status:
                        assert answer.content_type == "application/json"
                        return found
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    pytest.fail(f"never {status}: {found}")


async def test_healer_host_says_how_its_host_is(tmp_path: Path, free_port: int) -> None:
    missing = str(tmp_path / "beat")
    wiring = {"subscribe_to": [{"bus": "system-redis", "key": "w:heartbeat"}]}
    host = {"node_exporter": "vm:9100", "mounts": [], "heartbeat_files": [{"path": missing}]}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"services": {"healer": {"access_points": wiring}}, "hosts": {"vm": host}}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "healer", "host", "--host", "vm", "--truth", str(truth)),
        *("--state", str(tmp_path), "--listen", f"127.0.0.1:{free_port}", "--unhealthy-at", "warning"),
    )
    try:
        found = await until(f"http://127.0.0.1:{free_port}/health", 503)
        while not found["items"]:
            found = await until(f"http://127.0.0.1:{free_port}/health", 503)
        jsonschema.validate(found, schema())
        (item,) = (item for item in found["items"] if item["kind"] == "heartbeat_file")
        assert (item["name"], item["level"], item["alerts"]) == (missing, "WARNING", ["HeartbeatFileMissing"])
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_the_exporter_says_whether_it_hears_every_bus(
    redis_server: RedisFactory, free_port: int
) -> None:
    bus = await redis_server()
    wiring = {"subscribe_to": [{"bus": "a", "key": "w:heartbeat"}]}
    document = {"services": {"healer": {"access_points": wiring}}, "buses": {"a": {"url": bus.url}}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "healer", "exporter", "--listen", f"127.0.0.1:{free_port}"),
        env={"TRUTH_REDIS_URL": bus.url, "PATH": "/usr/bin:/bin"},
    )
    url = f"http://127.0.0.1:{free_port}/health"
    try:
        found = await until(url, 503)
        assert (found["level"], found["summary"], found["buses"]) == ("UNKNOWN", "no truth yet", {})
        async with Redis.from_url(bus.url) as redis:
            await redis.set("truth:doc", json.dumps(document))
        found = await until(url, 200)
        assert (found["level"], found["buses"]) == ("HEALTHY", {"a": True})
        await bus.kill()
        found = await until(url, 503)
        assert (found["level"], found["summary"]) == ("CRITICAL", "not hearing bus a")
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
