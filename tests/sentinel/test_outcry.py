"""A silent pipeline is told by the sentinel itself: once, seldom again, and when it is over; and never otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import pytest_asyncio
from aiohttp import ClientError
from tests.patience import stopwatch, until
from tests.receivers import endpoint, mail_server, secret

from healer.runtime.tasks import end

from .conftest import alert, seed, watchdog

OWN = 3.0
"""Seconds of silence that are allowed: many times what a busy machine may keep the heart from beating."""

ROUNDING = 0.05 + 0.001
"""What a figure with one decimal may be off, and two readings of one clock."""
HUSH = "/services/T0/planted-webhook-secret"


class Heart:
    """An Alertmanager that sends Watchdogs to sentinels for as long as it beats.

    Attributes:
        heard: Of each Watchdog that was taken: when it was about to be sent, and when the answer was there. In between,
            and never otherwise, it was heard.
    """

    def __init__(self, *guards) -> None:
        self.guards = list(guards)
        self.beats = True
        self.heard: list[tuple[float, float]] = []

    async def run(self) -> None:
        while True:
            await asyncio.gather(*(self._send(guard) for guard in self.guards if self.beats))
            await asyncio.sleep(0.2)

    async def _send(self, guard) -> None:
        sent = time.time()
        with contextlib.suppress(OSError, ClientError):
            if await guard.post(watchdog(sent)) == 200:
                self.heard.append((sent, time.time()))


@pytest_asyncio.fixture
async def people(ports, tmp_path):
    """Slack, a mail server, and the variables that name them."""
    async with endpoint(ports.take()) as slack, mail_server(ports.take(), tmp_path) as mail:
        env = {
            "SLACK_WEBHOOK_URL_FILE": secret(tmp_path / "slack", slack.url + HUSH),
            "WEBHOOK_TIMEOUT_SEC": "0.5", "RATE_LIMIT_SEC": "0.2",
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": mail.port, "SMTP_USER": "healer", "SMTP_CA_FILE": mail.ca_file,
            "SMTP_PASS_FILE": secret(tmp_path / "pass", mail.password),
            "SMTP_FROM": "healer@example.com", "SMTP_TO": "ops@example.com, night@example.com",
        }  # fmt: skip
        yield slack, mail, env


@pytest_asyncio.fixture
async def heart():
    made = Heart()
    task = asyncio.create_task(made.run())
    yield made
    await end([task])


async def started(redis_server, sentinel, heart, env, count: int = 1):
    """Return a Redis and sentinels on it that have heard a Watchdog."""
    server = await redis_server()
    await seed(server.url, own=OWN)

    async def start():
        guard = await sentinel(server.url, **env)
        await guard.ready()
        heart.guards.append(guard)
        return guard

    guards = await asyncio.gather(*(start() for _ in range(count)))
    await until(lambda: len(heart.heard) > count)
    return server, guards


def titles(slack) -> list[str]:
    return [body["attachments"][0]["title"] for body in slack.heard]


MISS, BACK = "🔴 healer: no alerts can come", "✅ healer: alerts work again"


async def test_silence_and_its_end_are_told_once_by_each_way(
    redis_server, sentinel, heart, people, tmp_path
) -> None:
    slack, mail, env = people
    _, (guard,) = await started(redis_server, sentinel, heart, env)
    heart.beats = False
    with stopwatch(guard.process.pid) as watch:
        await until(lambda: slack.heard or mail.messages)
    assert watch.seconds < OWN + 3
    told = time.time()
    (sent, answered), count = heart.heard[-1], len(heart.heard)
    await until(lambda: slack.heard and mail.messages)
    await asyncio.sleep(1.0)  # time for what must not come: another message
    heart.beats = True
    await until(lambda: len(slack.heard) == 2 or len(mail.messages) == 2)
    over_told = time.time()
    await until(lambda: len(slack.heard) == 2 and len(mail.messages) == 2)
    await asyncio.sleep(1.0)
    assert titles(slack) == [MISS, BACK]
    assert [message["Subject"] for message in mail.messages] == [MISS, BACK]
    assert mail.sessions == [(True, True)] * 2, "over TLS, and logged in"
    assert mail.messages[0]["To"] == "ops@example.com, night@example.com"
    text = mail.messages[0].get_body(("plain",)).get_content()
    late = re.search(r"Late by (\d+\.\d) s, timeout 3\.0 s", text)
    assert late, text
    assert OWN - ROUNDING <= float(late[1]) <= told - sent + ROUNDING
    over = mail.messages[1].get_body(("plain",)).get_content()
    lasted = re.search(r"to [-0-9: ]+ UTC, (\d+\.\d) s", over)
    assert lasted, over
    again, _ = heart.heard[count]
    assert again - answered - ROUNDING <= float(lasted[1]) <= over_told - sent + ROUNDING
    assert "/docs/runbooks/Watchdog.md" in text
    samples = await guard.metrics()
    for channel in ("slack", "mail"):
        assert samples[f'sentinel_notifications_total{{channel="{channel}",result="sent"}}'] == 2
        assert samples[f'sentinel_notifications_pending{{channel="{channel}"}}'] == 0
    said = guard.log.read_text() + (await guard.request("/metrics"))[1] + (await guard.request("/"))[1]
    assert "planted-webhook-secret" not in said
    assert mail.password not in said


async def test_while_alertmanager_can_tell_the_sentinel_does_not(
    redis_server, sentinel, heart, people
) -> None:
    slack, mail, env = people
    _, (guard,) = await started(redis_server, sentinel, heart, env)
    now = time.time()
    assert await guard.post(alert("HealerMiss", "healer", starts=now, late_sec="35", timeout_sec="30")) == 200
    assert await guard.post(alert(starts=now, late_sec="2.5", timeout_sec="2")) == 200
    await asyncio.sleep(OWN + 0.5)
    assert (slack.tries, mail.messages) == (0, [])


async def test_what_lasts_is_told_again_but_seldom(redis_server, sentinel, heart, people) -> None:
    slack, _, env = people
    await started(redis_server, sentinel, heart, {**env, "SENTINEL_REPEAT_SEC": "2"})
    heart.beats = False
    await until(lambda: len(slack.heard) == 3)
    assert titles(slack) == [MISS] * 3
    first, second, third = (
        float(re.search(r"Late by (\d+\.\d) s", json.dumps(body))[1]) for body in slack.heard
    )
    assert min(second - first, third - second) >= 2.0 - 2 * ROUNDING
    heart.beats = True
    await until(lambda: titles(slack)[-1] == BACK)


async def test_of_two_sentinels_one_speaks_and_the_other_takes_over(
    redis_server, sentinel, heart, people
) -> None:
    slack, mail, env = people
    _, guards = await started(redis_server, sentinel, heart, env, count=2)
    heart.beats = False
    await until(lambda: slack.heard and mail.messages)
    await asyncio.sleep(2.0)
    assert (titles(slack), len(mail.messages)) == ([MISS], 1)
    (speaker,) = (guard for guard in guards if guard.logged("message sent"))
    await speaker.stop(signal.SIGKILL)
    heart.beats = True
    await until(lambda: len(slack.heard) == 2 and len(mail.messages) == 2)
    await asyncio.sleep(1.0)
    assert titles(slack) == [MISS, BACK]


async def test_it_is_told_without_redis_too(redis_server, sentinel, heart, people) -> None:
    slack, _, env = people
    server, _ = await started(redis_server, sentinel, heart, env)
    await server.kill()
    heart.beats = False
    await until(lambda: titles(slack) == [MISS])
    await server.restart()
    heart.beats = True
    await until(lambda: titles(slack) == [MISS, BACK])


@pytest.mark.parametrize("mood", [500, 429, 404, "hang", "close", "refuse"])
async def test_a_way_that_is_out_delays_no_other_and_gets_everything_once_it_is_back(
    redis_server, sentinel, heart, people, mood
) -> None:
    slack, mail, env = people
    slack.mood = mood
    if mood == "refuse":
        await slack.shut()
    _, (guard,) = await started(redis_server, sentinel, heart, env)
    heart.beats = False
    with stopwatch(guard.process.pid) as watch:
        await until(lambda: mail.messages)
    assert watch.seconds < OWN + 3
    await until(lambda: guard.logged("message did not arrive, trying on"))
    heart.beats = True
    await until(lambda: len(mail.messages) == 2)
    assert slack.heard == []
    assert (await guard.metrics())['sentinel_notifications_pending{channel="slack"}'] == 2
    slack.mood = 200
    if mood == "refuse":
        await slack.open()
    await until(lambda: titles(slack) == [MISS, BACK])
    assert "planted-webhook-secret" not in guard.log.read_text()
    assert len(guard.logged("message did not arrive, trying on")) == 1


@pytest.mark.parametrize("mood", ["busy", "hang", "close", "refuse"])
async def test_a_relay_that_is_out_delays_no_other_and_gets_everything_once_it_is_back(
    redis_server, sentinel, heart, people, mood
) -> None:
    slack, mail, env = people
    mail.mood = mood
    if mood == "refuse":
        await mail.shut()
    _, (guard,) = await started(redis_server, sentinel, heart, env)
    heart.beats = False
    with stopwatch(guard.process.pid) as watch:
        await until(lambda: slack.heard)
    assert watch.seconds < OWN + 3
    assert mail.messages == []
    mail.mood = "ok"
    if mood == "refuse":
        await mail.open()
    await until(lambda: len(mail.messages) == 1)


async def test_the_switch_is_called_while_watchdogs_come_and_not_after(
    redis_server, sentinel, heart, ports, tmp_path
) -> None:
    async with endpoint(ports.take()) as outside:
        file = secret(tmp_path / "switch", f"{outside.url}/ping/planted-switch-secret")
        env = {"DEADMANSSWITCH_URL_FILE": file, "DEADMANSSWITCH_INTERVAL_SEC": "1"}
        _, (guard,) = await started(redis_server, sentinel, heart, env)
        await until(lambda: len(outside.heard) >= 3)
        assert set(outside.paths) == {"/ping/planted-switch-secret"}
        heart.beats = False
        before = outside.tries
        while not (await guard.metrics())["sentinel_watchdog_silent"]:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)
        calls = outside.tries
        assert calls <= before + 2, "for the one on its way, and the last one"
        await asyncio.sleep(2.0)
        assert outside.tries == calls, "a call without a Watchdog says that all is well"
        outside.mood = 500
        heart.beats = True
        await until(lambda: outside.tries > calls)
        good = time.time()
        outside.mood = 200
        await until(lambda: len(outside.heard) > calls)
        samples = await guard.metrics()
        while samples["sentinel_deadmansswitch_last_success_timestamp_seconds"] < good - 0.001:
            samples = await guard.metrics()
        assert samples["sentinel_deadmansswitch_last_success_timestamp_seconds"] <= time.time() + 0.001
        assert samples['sentinel_deadmansswitch_pings_total{result="failed"}'] >= 1
        said = guard.log.read_text() + (await guard.request("/metrics"))[1]
        assert "planted-switch-secret" not in said


@pytest.mark.parametrize("name", ["DEADMANSSWITCH_URL_FILE", "SLACK_WEBHOOK_URL_FILE"])
def test_a_secret_that_everybody_may_read_ends_the_start(tmp_path, name) -> None:
    path = secret(tmp_path / "url", "https://hc-ping.example/planted")
    path.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-m", "healer", "sentinel", "--listen", "127.0.0.1:0"],
        env={**os.environ, name: str(path), "TRUTH_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{name}: {path}: everybody may read it. Run: chmod o-rwx {path}" in done.stderr
    assert "planted" not in done.stderr
