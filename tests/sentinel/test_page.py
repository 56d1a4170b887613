"""The sentinel's page says how things stand, and the switch outside is called as it wants to be."""

from __future__ import annotations

import html
import re
import time
from typing import TYPE_CHECKING

import pytest
from tests.patience import PATIENCE
from tests.receivers import endpoint, secret
from tests.sentinel.conftest import alert, seed, watchdog

from healer.sentinel.deadman import Switch
from healer.sentinel.settings import Settings, SettingsError
from healer.sentinel.watchdog import Watchdog

if TYPE_CHECKING:
    from pathlib import Path


def rows(page: str) -> dict[str, str]:
    return dict(re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', html.unescape(page)))


async def test_the_page_says_what_is_heard_missing_and_owed(redis_server, sentinel, tmp_path) -> None:
    bus = await redis_server()
    await seed(bus.url, own=60.0)
    file = secret(tmp_path / "url", "http://127.0.0.1:1/planted-page-secret")
    made = await sentinel(bus.url, DEADMANSSWITCH_URL_FILE=file, SLACK_WEBHOOK_URL_FILE=file)
    await made.ready()
    before = rows((await made.request("/"))[1])
    assert re.fullmatch(r"no Watchdog yet, since [\d.]+ s; 60 s are allowed", before["Pipeline"])
    assert before["Missing"] == before["Recoveries held back for want of proof"] == "none"
    now = time.time()
    fired = {"starts": now - 60, "evaluated_at": now - 50, "evaluation_interval_sec": 1}
    assert await made.post(watchdog(now), alert(**fired), alert(svc="mesh", **fired)) == 200
    assert await made.post(alert(**{**fired, "ends": now})) == 200  # nobody evaluated that: it expired
    page = (await made.request("/"))[1]
    after = rows(page)
    assert re.fullmatch(r"the last Watchdog came [\d.]+ s ago; 60 s are allowed", after["Pipeline"])
    assert after["Events"] == "published to Redis as they come"
    assert after["Missing"] == "mesh, rss_agg"
    assert after["Recoveries held back for want of proof"] == "rss_agg"
    assert after["Dead man's switch outside"] == "has not answered yet"
    assert after["Own messages that have not arrived"] == "slack 0"
    assert "planted" not in page
    await bus.kill()

    async def gone() -> bool:
        return "no answer from Redis" in rows((await made.request("/"))[1])["Events"]

    begun = time.monotonic()
    while not await gone():
        assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("body", [None, '{"routing_key": "planted", "event_action": "resolve"}'])
async def test_a_switch_is_called_or_posted_to(machine, ports, tmp_path, body: str | None) -> None:
    async with endpoint(ports.take()) as outside:
        url = secret(tmp_path / "url", outside.url)
        file = secret(tmp_path / "body", body) if body else None
        heard = Watchdog(machine, 30.0)
        counted: list[str] = []
        switch = Switch(url, 60.0, heard, machine, counted.append, body=file)
        heard.hear("http://alertmanager", 1.0)
        heard.hear("http://alertmanager", 2.0)
        await switch.step()
        assert counted == ["sent"]
        assert outside.heard == [{"routing_key": "planted", "event_action": "resolve"} if body else None]
        if file:
            file.chmod(0o644)
            machine.sleep(60.0)
            heard.hear("http://alertmanager", 3.0)
            await switch.step()
            assert counted == ["sent", "failed"]


def test_a_body_that_cannot_be_posted_ends_the_start(tmp_path: Path) -> None:
    file = secret(tmp_path / "body", "planted{")
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(
            {
                "DEADMANSSWITCH_BODY_FILE": str(file),
                "DEADMANSSWITCH_URL_FILE": str(secret(tmp_path / "u", "http://a")),
            }
        )
    assert str(caught.value) == f"DEADMANSSWITCH_BODY_FILE: {file}: expected JSON, on one line."
    with pytest.raises(SettingsError, match="no DEADMANSSWITCH_URL_FILE says where"):
        Settings.from_env({"DEADMANSSWITCH_BODY_FILE": str(file)})
