"""From a death to people, on real servers: each told once by each way, whatever the ways suffer, and no secret seen."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.receivers import Endpoint, Mail, endpoint, mail_server, secret

from healer.bundle import People
from healer.demo import truth
from healer.demo.world import BRISK, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

PLANTED = {
    name: f"planted-{name}-9d1f6a"
    for name in ("slack", "discord", "generic", "mail", "switch", "token", "credentials")
}
PLANTED["credentials"] = PLANTED["token"]
PATIENCE_SECONDS = 30.0
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Told:
    """A world and everyone who is told."""

    world: World
    slack: Endpoint
    discord: Endpoint
    generic: Endpoint
    mail: Mail
    switch: Endpoint
    files: dict[str, Path]

    def texts(self, svc: str) -> dict[str, list[str]]:
        """Return what each way was told of `svc`, in order."""
        slack = [
            f"{part['title']}\n{part['text']}" for body in self.slack.heard for part in body["attachments"]
        ]
        discord = [
            f"{part['title']}\n{part['description']}".replace("\\", "")
            for body in self.discord.heard
            for part in body["embeds"]
        ]
        mail = [
            f"{each['Subject']}\n{each.get_body(('plain',)).get_content()}".replace("\r\n", "\n")
            for each in self.mail.messages
        ]
        ways = {"slack": slack, "discord": discord, "mail": mail}
        return {way: [text for text in texts if f" {svc} " in text] for way, texts in ways.items()}

    async def until(self, svc: str, count: int, *ways: str, within: float = PATIENCE_SECONDS) -> float:
        """Wait until each of `ways` was told of `svc` `count` times; return how long that took."""
        begun = time.monotonic()
        while min(len(self.texts(svc)[way]) for way in ways) < count:
            assert time.monotonic() - begun < within, (svc, count, ways, self.texts(svc))
            await asyncio.sleep(0.05)
        return time.monotonic() - begun


@contextlib.asynccontextmanager
async def told(servers: Servers, ports: Ports, folder: Path) -> AsyncIterator[Told]:
    """A world that tells by every way that its Alertmanager can read from files, or keep to itself."""
    version = tuple(map(int, servers.alertmanager.version.split(".")[:2]))
    async with contextlib.AsyncExitStack() as open_:
        slack, generic, switch = [await open_.enter_async_context(endpoint(ports.take())) for _ in range(3)]
        discord = await open_.enter_async_context(endpoint(ports.take(), 204))
        mail = await open_.enter_async_context(mail_server(ports.take(), folder, PLANTED["mail"]))
        texts = {
            "slack": f"{slack.url}/services/{PLANTED['slack']}",
            "discord": f"{discord.url}/api/webhooks/{PLANTED['discord']}",
            "generic": f"{generic.url}/{PLANTED['generic']}",
            "switch": f"{switch.url}/{PLANTED['switch']}",
            "mail": PLANTED["mail"],
            "token": f"alertmanager {PLANTED['token']}\n",
            "credentials": PLANTED["token"],
        }
        files = {name: secret(folder / f"secret-{name}", text) for name, text in texts.items()}
        env = {
            "SLACK_WEBHOOK_URL_FILE": str(files["slack"]), "DISCORD_WEBHOOK_URL_FILE": str(files["discord"]),
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port), "SMTP_USER": "healer",
            "SMTP_PASS_FILE": str(files["mail"]), "SMTP_CA_FILE": str(mail.ca_file),
            "SMTP_FROM": "healer@example.com", "SMTP_TO": "ops@example.com", "RATE_LIMIT_SEC": "1",
        }  # fmt: skip
        if version >= (0, 26):  # before, Alertmanager itself shows this URL on its status page
            env |= {"WEBHOOK_URL_FILE": str(files["generic"]), "WEBHOOK_KIND": "generic"}
        pace = replace(
            BRISK,
            people=People.from_env(env),
            alertmanager_version=version,
            inline_secrets=True,
            sentinel_credentials=str(files["credentials"]),
        )
        sentinel = {
            **env, "SENTINEL_TOKEN_FILE": str(files["token"]), "DEADMANSSWITCH_URL_FILE": str(files["switch"]),
            "DEADMANSSWITCH_INTERVAL_SEC": "1",
        }  # fmt: skip
        (folder / "world").mkdir()
        document = truth.document()
        document["services"]["rss_agg"]["team"] = "news"
        world = await open_.enter_async_context(
            World.start(servers, document, folder / "world", pace=pace, sentinel=sentinel)
        )
        yield Told(world, slack, discord, generic, mail, switch, files)


async def leaks(told: Told) -> list[str]:
    """Return where a planted secret is seen: files, process lists, logs, metrics, pages, the repository."""
    seen = await asyncio.to_thread(lambda: list(kept(told.world)))
    pages = {
        told.world.exporter.url: ("/", "/metrics", "/status", "/-/ready"),
        told.world.sentinel.url: ("/", "/metrics", "/-/ready", "/webhook"),
        told.world.prometheus.url: (
            "/metrics",
            "/api/v1/status/config",
            "/api/v1/alerts",
            "/api/v1/rules",
            "/api/v1/targets",
        ),
        told.world.alertmanager.url: ("/metrics", "/api/v2/status", "/api/v2/alerts", "/api/v2/receivers"),
    }
    async with aiohttp.ClientSession() as http:
        for url, paths in pages.items():
            for path in paths:
                async with http.get(url + path) as answer:
                    seen.append((url + path, await answer.read()))
    words = sorted(set(PLANTED.values()))
    return [f"{word} in {where}" for where, text in seen for word in words if word.encode() in text]


def kept(world: World) -> Iterator[tuple[object, bytes]]:
    """Yield what lies about and runs on this machine, but the one file that may hold secrets."""
    private = world.directory / "bundle/alertmanager/alertmanager.yml"
    assert private.stat().st_mode & 0o777 == 0o600
    for path in world.directory.rglob("*"):
        if path.is_file() and path != private:
            with contextlib.suppress(FileNotFoundError):  # a server's own temporary file
                yield path, path.read_bytes()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield process / "cmdline", (process / "cmdline").read_bytes()
    for each in world.processes.values():
        if each.running:
            yield f"{each.name}'s environment", Path(f"/proc/{each.pid}/environ").read_bytes()
    command = ["git", "grep", "--no-index", "--exclude-standard", "-hE", "planted-[a-z]+-9d1f6a"]
    yield (
        "the repository",
        subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).stdout,
    )


def stamp(text: str, word: str) -> float:
    found = re.search(rf"^{word} ([-0-9]+ [0-9:]+) UTC", text, re.MULTILINE)
    assert found, text
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()


@pytest.mark.timeout(240)
async def test_a_death_and_a_return_reach_everyone_once_with_the_right_figures(
    servers: Servers, ports: Ports, tmp_path: Path
) -> None:
    async with told(servers, ports, tmp_path) as all_:
        world = all_.world
        await world.services["rss_agg"].kill()
        last = await world.last_seen("rss_agg")
        await all_.until("rss_agg", 1, "slack", "discord", "mail")
        alarmed = time.time()
        await asyncio.sleep(5.0)
        mark = world.events.mark()
        await world.services["rss_agg"].restart()
        back = time.time()
        await all_.until("rss_agg", 2, "slack", "discord", "mail")
        await asyncio.sleep(5.0)
        texts = all_.texts("rss_agg")
        for way, (miss, over) in texts.items():
            assert miss.splitlines()[0].removeprefix("Subject: ") == "🔴 rss_agg is missing", way
            late = re.search(r"^Late by (\d+\.\d) s, timeout 3 s$", miss, re.MULTILINE)
            assert late, miss
            assert truth.TIMEOUT <= float(late[1]) <= alarmed - last + 0.1, way
            since = stamp(miss, "Since")
            assert last + truth.TIMEOUT - 1 <= since <= last + truth.TIMEOUT + 2, way
            assert "Team news · Bus system-redis · critical" in miss
            for link in (
                "HeartbeatMiss.md",
                f"{world.alertmanager.port}/#/silences/new?filter=",
                "/graph?g0.expr=",
            ):
                assert link in miss, way
            assert over.splitlines()[0] == "✅ rss_agg is back", way
            assert stamp(over, "From") == since
            assert back - 1 <= stamp(over, "to") <= back + 3
            was = re.search(r"^Was late by (\d+\.\d) s, timeout 3 s$", over, re.MULTILINE)
            assert was, over
            assert abs(float(was[1]) - (back - last)) < 2.0, way
        assert {way: len(found) for way, found in texts.items()} == {"slack": 2, "discord": 2, "mail": 2}
        assert set(all_.mail.sessions) == {(True, True)}, "over STARTTLS, and logged in"
        if all_.world.settings.alertmanager_version >= (0, 26):
            told_of = [
                (each["labels"]["alertname"], each["labels"].get("svc"), each["status"])
                for body in all_.generic.heard
                for each in body["alerts"]
                if each["labels"]["alertname"] != "SentinelDown"  # a world starts its sentinel late
            ]
            assert told_of == [("HeartbeatMiss", "rss_agg", status) for status in ("firing", "resolved")]
        assert [(event.type, event.svc) for event in world.events.all] == [
            ("heartbeat_miss", "rss_agg"), ("heartbeat_ok", "rss_agg"),
        ]  # fmt: skip
        miss, ok = world.events.all
        assert miss.at - last >= miss.message["late_sec"] - 0.2 >= truth.TIMEOUT - 0.2
        assert ok.at > back
        assert mark == 1
        assert len(all_.switch.heard) > 5
        assert await leaks(all_) == []
        control = world.directory / "control.log"
        control.write_text(PLANTED["slack"])
        assert await leaks(all_) == [f"{PLANTED['slack']} in {control}"], "it would be found"


def breaking(all_: Told, way: str, mood: int | str) -> Callable[[bool], object]:
    """Return what breaks `way` (True) and mends it (False)."""
    target: Endpoint | Mail = getattr(all_, way)

    async def turn(broken: bool) -> None:
        if mood == "refuse":
            await (target.shut() if broken else target.open())
        elif isinstance(target, Mail):
            target.mood = str(mood) if broken else "ok"
        else:
            target.mood = mood if broken else target.ok

    return turn


@pytest.mark.long
@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    "rounds",
    [
        [("slack", 500), ("discord", 429), ("mail", "refuse")],
        [("slack", "hang"), ("discord", "close")],
        [("slack", "refuse"), ("mail", "hang"), ("mail", "busy")],
    ],
    ids=["errors", "hanging", "refusing"],
)
async def test_a_way_that_is_out_gets_everything_once_it_is_back_and_delays_nothing_else(
    servers: Servers, ports: Ports, tmp_path: Path, rounds: list[tuple[str, int | str]]
) -> None:
    services = ["rss_agg", "mesh", "massive"]
    async with told(servers, ports, tmp_path) as all_:
        for svc, (way, mood) in zip(services, rounds, strict=False):
            others = [name for name in ("slack", "discord", "mail") if name != way]
            turn = breaking(all_, way, mood)
            for count, change in ((1, all_.world.services[svc].kill), (2, all_.world.services[svc].restart)):
                await turn(True)
                await change()
                took = await all_.until(svc, count, *others)
                assert took < truth.TIMEOUT + 6.0, f"{way} {mood} delays others"
                await asyncio.sleep(2.0)
                assert len(all_.texts(svc)[way]) == count - 1
                await turn(False)
                await all_.until(svc, count, way, within=60.0)
        await asyncio.sleep(3.0)
        for svc, _ in zip(services, rounds, strict=False):
            assert {way: len(texts) for way, texts in all_.texts(svc).items()} == {
                "slack": 2,
                "discord": 2,
                "mail": 2,
            }
        events = [(event.type, event.svc) for event in all_.world.events.all]
        assert events == [
            (kind, svc)
            for svc, _ in zip(services, rounds, strict=False)
            for kind in ("heartbeat_miss", "heartbeat_ok")
        ]
        assert await leaks(all_) == []
