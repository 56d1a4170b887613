"""Beats that are posted: who may, how often, how large, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from aiohttp import ClientSession
from tests.exporter.conftest import seed, truth
from tests.exporter.test_app import last, listening, since

TOKEN, OTHER = "a-token-of-nightly", "a-token-of-another"


def with_push(url: str) -> dict:
    document = truth("mesh", url=url)
    document["services"]["nightly"] = {
        "heartbeat": {"source": "push", "interval_sec": 0.3, "timeout_sec": 1.5}
    }
    document["services"]["other"] = {"heartbeat": {"source": "push", "interval_sec": 0.3, "timeout_sec": 1.5}}
    return document


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"nightly {TOKEN}\nother {OTHER}\n")
    path.chmod(0o640)
    return path


def of_push(series: str) -> str:
    return series.replace('bus="test"', 'bus="push"')


async def test_a_posted_beat_is_heard_from_who_has_the_token(redis_server, exporter, tokens) -> None:
    server = await redis_server()
    await seed(server.url, with_push(server.url))
    process = await exporter(server.url, HEALER_PUSH_TOKENS_FILE=str(tokens))
    samples = await process.until(listening)
    assert samples[of_push(since("nightly"))] > 0
    assert samples['heartbeat_bus_up{bus="push"}'] == 1
    url = f"http://127.0.0.1:{process.port}/beat/nightly"

    async with ClientSession() as session:

        async def post(token: str | None = TOKEN, body: bytes = b"", path: str = url) -> int:
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            async with session.post(path, data=body, headers=headers) as answer:
                assert TOKEN not in await answer.text()
                return answer.status

        assert await post(body=b'{"svc":"nightly","i":3}') == 200
        assert await post() == 200
        samples = await process.metrics()
        assert samples[of_push(last("nightly"))] > 0
        assert samples['heartbeat_beats_total{bus="push",svc="nightly"}'] == 2
        assert samples[of_push(last("other"))] == 0
        refused = [
            await post(token=None),
            await post(token=OTHER),  # right, but of another service
            await post(token=""),
            await post(path=url.replace("nightly", "unknown")),
            await post(path=url.replace("nightly", "mesh")),
            await post(body=b"x" * 5000),
            await post(body=b"[1]"),
            await post(body=b'{"svc":"other"}'),
        ]
        assert refused == [401, 401, 401, 401, 401, 413, 400, 400]
        async with session.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 405
        statuses = [await post() for _ in range(40)]
        assert 429 in statuses
        samples = await process.metrics()
    assert samples['heartbeat_push_requests_total{code="401"}'] == 5
    assert samples['heartbeat_beats_total{bus="push",svc="nightly"}'] == 2 + statuses.count(200)
    assert len(process.logged("without a valid token")) == 1
    assert TOKEN not in process.log.read_text()


async def test_a_token_is_exchanged_without_a_restart(redis_server, exporter, tokens) -> None:
    server = await redis_server()
    await seed(server.url, with_push(server.url))
    process = await exporter(server.url, HEALER_PUSH_TOKENS_FILE=str(tokens))
    await process.until(listening)
    tokens.write_text("nightly another-token-now\n")
    async with ClientSession() as session:
        for token, status in ((TOKEN, 401), ("another-token-now", 200)):
            headers = {"Authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{process.port}/beat/nightly"
            async with session.post(url, headers=headers) as answer:
                assert answer.status == status


async def test_without_tokens_nobody_can_post_and_nothing_is_watched(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, with_push(server.url))
    process = await exporter(server.url)
    samples = await process.until(lambda m: m.get('heartbeat_bus_up{bus="test"}') == 1)
    assert samples['heartbeat_bus_up{bus="push"}'] == 0
    assert samples[of_push(since("nightly"))] == 0
    assert (await process.get("/beat/nightly", "POST"))[0] == 403
    assert (await process.get("/-/ready"))[0] == 503
    assert len(process.logged("HEALER_PUSH_TOKENS_FILE is not set")) == 1


async def test_a_token_file_that_everybody_may_read_is_refused_at_the_start(
    redis_server, exporter, tokens
) -> None:
    server = await redis_server()
    tokens.chmod(0o644)
    process = await exporter(server.url, HEALER_PUSH_TOKENS_FILE=str(tokens))
    assert await process.process.wait() == 1
    assert "everybody may read it" in process.log.read_text()


async def test_behind_users_of_the_web_configuration_tokens_suffice(
    redis_server, exporter, tokens, tmp_path
) -> None:
    from healer.exporter.push import PushDesk
    from healer.runtime.clock import SystemClock
    from healer.web.guard import OWN_TOKENS, Guard

    config = tmp_path / "web.yml"
    config.write_text(
        "basic_auth_users:\n  prometheus: $2y$04$ZCLIVJTHuZ4ki/2tIKZoruSZeHdRuN/mJAmYLyAZ7W.VU.FWcIbwG\n"
    )
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    app = web.Application()
    PushDesk({"HEALER_PUSH_TOKENS_FILE": str(tokens)}, SystemClock()).serve_on(app, lambda: None)
    Guard(config).protect(app)
    assert app[OWN_TOKENS] == "/beat/"
    async with TestClient(TestServer(app)) as client:
        assert (
            await client.post("/beat/nightly", headers={"Authorization": f"Bearer {TOKEN}"})
        ).status == 404
        assert (await client.post("/beat/nightly")).status == 401
        refused = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert refused.status == 401
        assert "Basic" in refused.headers["WWW-Authenticate"]


async def test_healer_beat_sends_by_each_source(redis_server, exporter, tokens, tmp_path) -> None:
    server = await redis_server()
    document = with_push(server.url)
    beat_file = tmp_path / "beat"
    heart = {"interval_sec": 0.3, "timeout_sec": 5.0}
    document["services"]["backup"] = {"heartbeat": {"source": "file", "path": str(beat_file), **heart}}
    document["services"]["cache"] = {"heartbeat": {"source": "key", **heart}}
    entries = document["services"]["healer"]["access_points"]["subscribe_to"]
    entries.append({"bus": "test", "key": "cache:heartbeat"})
    await seed(server.url, json.loads(json.dumps(document)))
    process = await exporter(server.url, HEALER_PUSH_TOKENS_FILE=str(tokens))
    await process.until(listening)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    url = f"http://127.0.0.1:{process.port}"

    async def beat(*arguments: str) -> None:
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "healer", "beat", *arguments),
            env={**os.environ, "TRUTH_REDIS_URL": server.url, "HEALER_PUSH_TOKEN_FILE": str(token)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await done.communicate()
        assert done.returncode == 0, said.decode()

    await asyncio.gather(beat("backup"), beat("cache"), beat("nightly", "--url", url), beat("mesh"))
    names = {"backup": "file", "cache": "test", "nightly": "push", "mesh": "test"}
    series = [last(svc).replace('bus="test"', f'bus="{bus}"') for svc, bus in names.items()]
    samples = await process.until(lambda m: all(m[one] > 0 for one in series))
    assert samples['heartbeat_file_exists{bus="file",svc="backup"}'] == 1
