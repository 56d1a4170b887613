"""More services than one exporter should have, and channels that are nobody's."""

from __future__ import annotations

from redis.asyncio import Redis
from tests.exporter.conftest import publish, seed, truth
from tests.exporter.test_app import last, listening

NAMES = [f"svc{number}" for number in range(8)]


async def test_two_shards_watch_each_service_once(redis_server, ports, exporter_at) -> None:
    server = await redis_server()
    await seed(server.url, truth(*NAMES, url=server.url))
    both = [await exporter_at(ports.take(), server.url, "--shard", f"{number}/2") for number in (1, 2)]
    shown = []
    for one in both:
        samples = await one.until(listening)
        shown.append({name for name in NAMES if last(name) in samples})
        assert samples[f'heartbeat_exporter_shard_info{{of="2",shard="{len(shown)}"}}'] == 1
    assert shown[0] | shown[1] == set(NAMES)
    assert not shown[0] & shown[1]
    assert all(shown)
    shas = [{name for name in await one.metrics() if name.startswith("heartbeat_truth_info")} for one in both]
    assert shas[0] == shas[1]  # to the rules they run the same truth
    async with Redis.from_url(server.url) as redis:
        counted = await redis.pubsub_numsub(*(f"{name}:heartbeat" for name in NAMES))
    assert [count for _, count in counted] == [1] * len(NAMES)


async def test_a_truth_with_too_many_services_is_refused_and_the_last_one_stays(
    redis_server, ports, exporter_at
) -> None:
    server = await redis_server()
    await seed(server.url, truth(*NAMES[:4], url=server.url))
    process = await exporter_at(ports.take(), server.url, "--max-services", "4")
    await process.until(listening)
    await seed(server.url, truth(*NAMES, url=server.url))
    status, text = await process.get("/-/reload", "POST")
    assert status == 500
    assert "found 8 services for one exporter, expected at most 4" in text
    samples = await process.metrics()
    assert samples["heartbeat_truth_last_reload_successful"] == 0
    assert last(NAMES[3]) in samples
    assert last(NAMES[4]) not in samples


async def test_unknown_channels_services_and_paths_make_no_series(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    before = set(await process.until(listening))
    for number in range(50):
        await publish(server.url, f"stranger{number}:heartbeat", f'{{"svc":"stranger{number}"}}')
        await publish(server.url, "mesh:heartbeat", f'{{"svc":"stranger{number}"}}')
        await publish(server.url, "healer:heartbeat", f'{{"svc":"x{number}","id":"x{number}"}}')
        await process.get(f"/beat/stranger{number}", "POST")
    other = 'heartbeat_invalid_total{bus="test",reason="other_service",svc="mesh"}'
    samples = await process.until(lambda now: now.get(other) == 50)
    assert set(samples) - before == {other, 'heartbeat_push_requests_total{code="403"}'}
