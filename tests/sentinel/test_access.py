"""Who may deliver webhooks: a token from a file, two of them while one is exchanged; and no more than fits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest
import yaml
from tests.bundle.conftest import EXAMPLE
from tests.patience import until

from healer.bundle import Settings, render, write
from healer.stack import stack

from .conftest import alert, seed, watchdog, webhook

OLD, NEW = "the-old-token-0123456789", "the-new-token-9876543210"


def tokens(tmp_path, *secrets: str):
    path = tmp_path / "tokens"
    path.write_text("".join(f"alertmanager {secret}\n" for secret in secrets))
    path.chmod(0o600)
    return path


async def test_a_webhook_without_the_token_changes_nothing(redis_server, sentinel, channel, tmp_path) -> None:
    server = await redis_server()
    await seed(server.url)
    guard = await sentinel(server.url, SENTINEL_TOKEN_FILE=tokens(tmp_path, OLD))
    await guard.ready()
    heard = await channel(server.url)
    body = webhook(alert(starts=time.time(), late_sec="2.5", timeout_sec="2"), watchdog(time.time()))
    for header in ("", "Bearer", f"Bearer {OLD}x", f"Bearer {OLD[:-1]}", f"Token {OLD}", OLD, "Basic !!"):
        assert (await guard.request("/webhook", body, Authorization=header))[0] == 401, header
    samples = await guard.metrics()
    assert samples['sentinel_webhook_requests_total{code="401"}'] == 7
    assert samples["sentinel_watchdog_last_beat_timestamp_seconds"] == 0
    assert (await guard.request("/webhook", body, Authorization=f"Bearer {OLD}"))[0] == 200
    await until(lambda: heard.events() == [("heartbeat_miss", "rss_agg")])
    log = guard.log.read_text()
    assert len(guard.logged("webhook without a valid token")) == 1, "a flood of them is one line"
    assert OLD not in log + (await guard.request("/metrics"))[1]


async def test_a_token_is_exchanged_without_a_gap(redis_server, sentinel, tmp_path) -> None:
    server = await redis_server()
    await seed(server.url)
    guard = await sentinel(server.url, SENTINEL_TOKEN_FILE=tokens(tmp_path, OLD))
    await guard.ready()

    async def answers() -> list[int]:
        body = webhook(watchdog(time.time()))
        return [
            (await guard.request("/webhook", body, Authorization=f"Bearer {token}"))[0]
            for token in (OLD, NEW)
        ]

    assert await answers() == [200, 401]
    tokens(tmp_path, OLD, NEW)
    assert await answers() == [200, 200]
    tokens(tmp_path, NEW)
    assert await answers() == [401, 200]
    (tmp_path / "tokens").write_text("nonsense\n")
    assert await answers() == [401, 200], "a file that cannot be used does not replace one that could"
    assert len(guard.logged("token file refused, the last one stays")) == 1


@pytest.mark.parametrize(
    ("mode", "said"), [(0o644, "everybody may read it. Run chmod o-rwx."), (None, "No such file")]
)
def test_a_token_file_that_cannot_be_used_ends_the_start_in_a_line(tmp_path, mode, said) -> None:
    path = tokens(tmp_path, OLD)
    path.unlink() if mode is None else path.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-m", "healer", "sentinel", "--listen", "127.0.0.1:0"],
        env={**os.environ, "SENTINEL_TOKEN_FILE": str(path), "TRUTH_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: SENTINEL_TOKEN_FILE: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert OLD not in done.stderr


async def test_more_than_fits_is_asked_to_come_again(redis_server, sentinel) -> None:
    server = await redis_server()
    await seed(server.url)
    guard = await sentinel(server.url)
    await guard.ready()
    host, port = guard.url.removeprefix("http://").split(":")
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8388608\r\n\r\n"
    held = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
    for _, writer in held:
        writer.write(head)
    now = time.time()
    for _ in range(200):
        status, text = await guard.request("/webhook", webhook(watchdog(now)))
        if status == 503:
            break
        await asyncio.sleep(0.02)
    assert (status, text) == (503, "try again: too much at the same time\n")
    for _, writer in held:
        writer.close()
    for _ in range(200):
        status, _ = await guard.request("/webhook", webhook(watchdog(now)))
        if status == 200:
            break
        await asyncio.sleep(0.02)
    assert status == 200


async def test_a_real_alertmanager_brings_the_token_from_its_file(
    redis_server, sentinel, channel, servers, ports, tmp_path
) -> None:
    server = await redis_server()
    await seed(server.url)
    guard = await sentinel(server.url, SENTINEL_TOKEN_FILE=tokens(tmp_path, OLD))
    await guard.ready()
    heard = await channel(server.url)
    credentials = tmp_path / "credentials"
    credentials.write_text(OLD + "\n")
    credentials.chmod(0o600)
    settings = Settings.from_env(
        {"SENTINEL_CREDENTIALS_FILE": str(credentials)}, sentinels=(guard.url.removeprefix("http://"),)
    )
    files = render(EXAMPLE, settings)
    write(files, tmp_path / "bundle")
    hooks = [
        hook
        for receiver in yaml.safe_load(files["alertmanager/alertmanager.yml"])["receivers"]
        for hook in receiver.get("webhook_configs", [])
    ]
    assert [hook["http_config"] for hook in hooks] == [
        {"authorization": {"credentials_file": str(credentials)}}
    ] * 2
    config = tmp_path / "bundle/alertmanager/alertmanager.yml"
    manager = stack.alertmanager(servers.alertmanager, tmp_path, ports.take(), config)
    try:
        await manager.start()
        await manager.wait_ready()
        command = [servers.amtool.path, f"--alertmanager.url={manager.url}", "alert", "add", "alertname=HeartbeatMiss",
                   "svc=rss_agg", "bus=system-redis", "severity=critical", "--annotation=late_sec=2.5",
                   "--annotation=timeout_sec=2"]  # fmt: skip
        adding = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        assert await adding.wait() == 0
        await until(lambda: heard.events() == [("heartbeat_miss", "rss_agg")])
    finally:
        await manager.kill()
