"""The exporter as a process: what its operator and Prometheus see of it."""

from __future__ import annotations

import asyncio
import json
import signal
import time

from redis.asyncio import Redis
from tests.exporter.conftest import publish, seed, truth
from tests.patience import stopwatch

UP = 'heartbeat_bus_up{bus="test"}'


def last(svc: str) -> str:
    return f'heartbeat_last_seen_timestamp_seconds{{bus="test",svc="{svc}"}}'


def since(svc: str) -> str:
    return f'heartbeat_watch_start_timestamp_seconds{{bus="test",svc="{svc}"}}'


def listening(metrics: dict[str, float]) -> bool:
    starts = [value for name, value in metrics.items() if name.startswith("heartbeat_watch_start")]
    return metrics.get(UP) == 1 and all(starts)


async def test_a_beat_becomes_a_timestamp(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", "massive", url=server.url))
    process = await exporter(server.url)
    samples = await process.until(listening)
    assert samples[last("mesh")] == 0
    assert abs(time.time() - samples[since("mesh")]) < 10
    await publish(server.url, "mesh:heartbeat", '{"svc":"mesh","i":1,"ts":253402300799}')
    samples = await process.until(lambda m: m[last("mesh")] > 0)
    assert abs(time.time() - samples[last("mesh")]) < 5
    assert samples['heartbeat_clock_skew_seconds{bus="test",svc="mesh"}'] < -2.5e11
    assert samples[last("massive")] == 0
    assert (await process.get("/-/ready"))[0] == 200


async def test_metrics_answer_before_any_bus_or_truth_does(exporter, free_port) -> None:
    process = await exporter(f"redis://127.0.0.1:{free_port}")  # an HTTP server is there, no Redis
    samples = await process.until(lambda m: "heartbeat_truth_last_reload_successful" in m)
    assert samples["heartbeat_truth_last_reload_successful"] == 0
    assert not any(name.startswith("heartbeat_bus_up") for name in samples)
    assert await process.get("/-/ready") == (503, "Healer exporter is not ready: no truth yet\n")
    assert (await process.get("/-/healthy"))[0] == 200


async def test_sigterm_ends_it_within_two_seconds_even_on_a_frozen_bus(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await process.until(listening)
    await server.pause()
    with stopwatch(process.process.pid) as watch:
        process.process.send_signal(signal.SIGTERM)
        assert await process.process.wait() == 0
    assert watch.seconds < 2.0
    assert len(process.logged("event=stopped")) == 1


async def test_a_changed_truth_is_taken_up_and_only_the_difference_is_subscribed(
    redis_server, exporter
) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", "massive", url=server.url))
    process = await exporter(server.url)
    before = await process.until(listening)
    await seed(server.url, truth("mesh", "vexy_ai", url=server.url, timeout=2.0))
    assert (await process.get("/-/reload", "POST")) == (200, "reloaded\n")
    after = await process.until(lambda m: m.get(since("vexy_ai"), 0) > 0)
    assert after[since("mesh")] == before[since("mesh")]
    assert after['heartbeat_timeout_seconds{bus="test",svc="mesh"}'] == 2.0
    assert last("massive") not in after
    assert after['heartbeat_bus_reconnects_total{bus="test"}'] == 0


async def test_a_truth_that_does_not_load_never_replaces_one_that_did(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    before = await process.until(listening)
    broken = truth("mesh", url=server.url)
    broken["services"]["mesh"]["heartbeat"]["interval_sec"] = "ten"
    await seed(server.url, broken)
    status, text = await process.get("/-/reload", "POST")
    assert status == 500
    assert "services.mesh.heartbeat.interval_sec" in text
    after = await process.metrics()
    assert after["heartbeat_truth_last_reload_successful"] == 0
    assert after[since("mesh")] == before[since("mesh")]
    await seed(server.url, truth("mesh", url=server.url))
    process.process.send_signal(signal.SIGHUP)
    await process.until(lambda m: m["heartbeat_truth_last_reload_successful"] == 1)


async def test_a_bus_that_moves_is_followed(redis_server, exporter) -> None:
    first, second = await redis_server(), await redis_server()
    await seed(first.url, truth("mesh", url=first.url))
    process = await exporter(first.url)
    await process.until(listening)
    await seed(first.url, truth("mesh", url=second.url))
    await process.get("/-/reload", "POST")
    await process.until(listening)
    await publish(second.url, "mesh:heartbeat")
    await process.until(lambda m: m[last("mesh")] > 0)


async def test_its_own_beat_is_the_contract_s(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    await exporter(server.url, SERVICE_ID="healer-a")
    async with Redis.from_url(server.url) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe("healer:heartbeat")
        async with asyncio.timeout(10):
            async for message in pubsub.listen():
                if message["type"] == "message":
                    break
    beat = json.loads(message["data"])
    assert list(beat) == ["svc", "i", "ts", "id"]
    assert (beat["svc"], type(beat["i"]), type(beat["ts"])) == ("healer-a", int, int)


async def test_garbage_is_logged_at_a_bounded_rate(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await process.until(listening)
    for _ in range(50):
        await publish(server.url, "mesh:heartbeat", "rubbish")
    invalid = 'heartbeat_invalid_total{bus="test",reason="json",svc="mesh"}'
    await process.until(lambda m: m.get(invalid) == 50)
    assert len(process.logged("no beat")) == 1


async def test_a_bus_lost_and_found_is_said_once_each(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await process.until(listening)
    await server.kill()
    await process.until(lambda m: m.get(UP) == 0 and m[since("mesh")] == 0)
    await asyncio.sleep(1)  # several attempts to reconnect fail meanwhile
    await server.restart()
    await process.until(listening)
    assert len(process.logged("component=bus event=lost")) == 1
    assert len(process.logged("component=bus event=hearing")) == 2
    assert not process.logged("cannot hear")


async def test_the_exposition_passes_promtool(redis_server, exporter, servers) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await publish(server.url, "mesh:heartbeat")
    await process.until(listening)
    _, text = await process.get("/metrics")
    check = await asyncio.create_subprocess_exec(
        *(servers.promtool.path, "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await check.communicate(text.encode())
    assert [line for line in complaints.decode().splitlines() if not line.startswith("p")] == []
