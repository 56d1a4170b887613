"""What people read, as a real Alertmanager sends it: kept to be read, and hostile names stay data.

After a wanted change: HEALER_WRITE_GOLDEN=1 pytest tests/bundle/test_messages.py, then read the diff.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from tests.bundle.conftest import service, truth
from tests.receivers import endpoint, mail_server, secret

from healer.bundle import Settings, render, write
from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEPT = Path(__file__).parent / "messages"
FIRED, ENDED = "2026-03-29T00:59:30.000Z", "2026-03-29T01:02:11.500Z"
GRAPH = "http://prometheus:9090/graph?g0.expr=time%28%29+-+svc%3Aheartbeat&g0.tab=1"
RUNBOOK = "https://wiki.example/Heartbeat_(lost)?a=1&b=2"
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "miss": (
        {"alertname": "HeartbeatMiss", "svc": "rss_agg", "bus": "system-redis", "severity": "critical", "team": "ai"},
        {
            "summary": "Service rss_agg has stopped beating.",
            "late_sec": "31.2",
            "timeout_sec": "30",
            "runbook_url": RUNBOOK,
        },
    ),
    "bus": (
        {"alertname": "HeartbeatBusDown", "bus": "market-redis", "severity": "critical"},
        {
            "summary": "Heartbeat bus market-redis is down.",
            "description": "No exporter hears bus market-redis. None of its services is watched.",
            "runbook_url": RUNBOOK,
        },
    ),
    "hostile": (
        {
            "alertname": "HeartbeatMiss",
            "svc": '<!channel> *a*_b_ `c` ~d~ | {{ .ExternalURL }} <script>alert("x")</script> \\ [l](http://evil) & "q" +',
            "bus": "<https://evil|bus> @everyone",
            "severity": "warning",
            "team": "<b>",
        },
        {
            "summary": "Service <b>x</b> & [co](http://evil) has stopped beating.",
            "late_sec": "<1>",
            "timeout_sec": "*2*",
            "runbook_url": "javascript:alert(1)",
        },
    ),
}  # fmt: skip


class Sent:
    """An Alertmanager that runs the bundle's configuration, and everyone it tells."""

    def __init__(self, url: str, slack: Any, discord: Any, mail: Any) -> None:
        self.url, self.slack, self.discord, self.mail = url, slack, discord, mail

    async def post(self, case: str, *, ended: bool) -> None:
        labels, annotations = CASES[case]
        alert = {"labels": labels, "annotations": annotations, "startsAt": FIRED, "generatorURL": GRAPH}
        body = [{**alert, "endsAt": ENDED} if ended else {**alert, "endsAt": "2036-01-01T00:00:00Z"}]
        async with ClientSession() as http, http.post(f"{self.url}/api/v2/alerts", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def all_told(self, count: int) -> dict[str, str]:
        """Return the messages once everyone had `count`."""
        for _ in range(200):
            had = [len(self.slack.heard), len(self.discord.heard), len(self.mail.messages)]
            if min(had) >= count:
                break
            await asyncio.sleep(0.05)
        assert had == [count] * 3, self.mail.errors
        attachment, embed = self.slack.heard[-1]["attachments"][0], self.discord.heard[-1]["embeds"][0]
        mail = self.mail.messages[-1]
        plain, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
        texts = {
            "slack.txt": f"{attachment['title']}\n{attachment['text']}\n",
            "discord.md": f"{embed['title']}\n{embed['description']}\n",
            "mail.txt": f"Subject: {mail['Subject']}\n\n{plain}",
            "mail.html": html,
        }
        manager = re.compile(r"http://[^/\s]+:" + self.url.rpartition(":")[2])
        return {
            name: manager.sub("http://alertmanager:9093", text.replace("\r\n", "\n"))
            for name, text in texts.items()
        }


@pytest_asyncio.fixture
async def people(servers, ports, tmp_path) -> AsyncIterator[Callable]:
    async with contextlib.AsyncExitStack() as running:

        async def start() -> Sent:
            slack = await running.enter_async_context(endpoint(ports.take()))
            discord = await running.enter_async_context(endpoint(ports.take(), 204))
            mail = await running.enter_async_context(mail_server(ports.take(), tmp_path))
            settings = Settings.from_env(
                {
                    "SLACK_WEBHOOK_URL_FILE": str(secret(tmp_path / "slack", f"{slack.url}/services/hush")),
                    "DISCORD_WEBHOOK_URL_FILE": str(secret(tmp_path / "discord", f"{discord.url}/api/hush")),
                    "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port), "SMTP_USER": "healer",
                    "SMTP_PASS_FILE": str(secret(tmp_path / "pass", mail.password)),
                    "SMTP_CA_FILE": str(mail.ca_file),
                    "SMTP_FROM": "healer@example.com", "SMTP_TO": "ops@example.com",
                    "RATE_LIMIT_SEC": "0.5",
                },
                alertmanager_version=tuple(map(int, servers.alertmanager.version.split(".")[:2])),
                inline_secrets=True,
                group_interval=0.2,
                dashboard="https://grafana.example/d/healer?var-svc={svc}",
            )  # fmt: skip
            files = render(truth(service("rss_agg", team="ai")), settings)
            write(files, tmp_path / "bundle")
            manager = stack.alertmanager(
                servers.alertmanager,
                tmp_path,
                ports.take(),
                tmp_path / "bundle/alertmanager/alertmanager.yml",
            )
            running.push_async_callback(manager.kill)
            await manager.start()
            await manager.wait_ready()
            return Sent(manager.url, slack, discord, mail)

        yield start


@pytest.mark.parametrize("case", CASES)
async def test_messages_are_those_that_were_read_and_found_good(people, case) -> None:
    sent = await people()
    for count, (name, ended) in enumerate(((case, False), (f"{case}-over", True)), 1):
        await sent.post(case, ended=ended)
        for file, text in (await sent.all_told(count)).items():
            kept = KEPT / f"{name}.{file}"
            if os.environ.get("HEALER_WRITE_GOLDEN"):
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(text)
            assert text == kept.read_text(), "see the head of this file"
    assert sent.mail.sessions == [(True, True)] * 2, "over TLS, and logged in"


async def test_names_and_links_from_outside_stay_data(people) -> None:
    sent = await people()
    await sent.post("hostile", ended=False)
    texts = await sent.all_told(1)
    slack, discord, html = texts["slack.txt"], texts["discord.md"], texts["mail.html"]
    assert "<!channel>" not in slack
    assert re.findall(r"<([^|>]*)", slack) == re.findall(r"<(http[^|>]*)\|\w+>", slack)
    assert not re.search(r"(?<!\\)[*_`~]", discord.partition("[Dashboard]")[0])
    assert "\\[l\\]\\(http://evil\\)" in discord
    assert "<script" not in html
    assert "<b>" not in html
    for text in texts.values():
        assert "javascript:" not in text
        assert "http://alertmanager:9093/#/silences/new?filter=" in text
    assert "\n" not in sent.mail.messages[0]["Subject"]
