"""Maintenance windows: the intervals that are written hold just the minutes meant, and a real Alertmanager agrees."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.clocks import make_zone
from tests.bundle.conftest import service, truth
from tests.receivers import Endpoint, endpoint, secret

from healer.bundle import Settings, render, write
from healer.bundle.maintenance import intervals
from healer.notify.people import Hook, People, Webhook
from healer.stack import stack
from healer.truth.windows import DAYS, Once, Team, Weekly, Window

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
]
"""Among them one whose clocks change by half an hour, and one that changed them at midnight."""
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2018, 11, 4, 3, tzinfo=UTC),
    datetime(2018, 2, 18, 2, tzinfo=UTC),
    datetime(2028, 2, 29, 0, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
]
MINUTES = st.integers(0, 1440)


def meant(window: Window, at: datetime, zone: Any = None) -> bool:
    """Whether `at` is in `window`, by what the window says of itself."""
    if isinstance(window, Once):
        return window.start <= at < window.end
    local = at.astimezone(zone or ZoneInfo(window.zone))
    minute, today = 60 * local.hour + local.minute, local.weekday()
    if window.start < window.end:
        return today in window.days and window.start <= minute < window.end
    return (today in window.days and minute >= window.start) or (
        (today - 1) % 7 in window.days and minute < window.end
    )


def as_alertmanager_reads(interval: dict[str, Any], at: datetime) -> bool:
    """Whether a time interval holds `at`: all of its fields have to, and of each one of its ranges."""
    local = at.astimezone(ZoneInfo(interval.get("location", "UTC")))
    minute = 60 * local.hour + local.minute

    def minutes(text: str) -> int:
        return 60 * int(text[:2]) + int(text[3:])

    def within(value: int, text: str) -> bool:
        first, _, last = text.partition(":")
        return int(first) <= value <= int(last or first)

    def allowed(key: str, value: int) -> bool:
        return key not in interval or any(within(value, text) for text in interval[key])

    times = interval.get("times", [{"start_time": "00:00", "end_time": "24:00"}])
    return (
        any(minutes(each["start_time"]) <= minute < minutes(each["end_time"]) for each in times)
        and DAYS[local.weekday()] in interval.get("weekdays", DAYS)
        and allowed("days_of_month", local.day)
        and allowed("months", local.month)
        and allowed("years", local.year)
    )


def held(window: Window, at: datetime) -> bool:
    return any(as_alertmanager_reads(interval, at) for interval in intervals(window))


weekly = st.builds(
    Weekly,
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.integers(0, 1439),
    MINUTES,
    st.sampled_from(ZONES),
).filter(lambda window: window.start != window.end)


@given(weekly, st.sampled_from(CHANGES), st.integers(-3 * 86_400, 3 * 86_400))
def test_a_recurring_window_is_muted_in_its_minutes_and_no_others_also_while_clocks_change(
    window: Weekly, change: datetime, offset: int
) -> None:
    at = change + timedelta(seconds=offset)
    assert held(window, at) == meant(window, at)


@given(weekly, st.sampled_from(CHANGES))
def test_a_recurring_window_is_exact_at_its_edges_on_the_days_around_a_change_of_clocks(
    window: Weekly, change: datetime
) -> None:
    zone = ZoneInfo(window.zone)
    for day in range(-1, 2):
        for minute in (window.start, window.end % 1440):
            local = (change.astimezone(zone) + timedelta(days=day)).replace(
                hour=minute // 60, minute=minute % 60, second=0
            )
            for fold in (0, 1):
                for second in (-1, 0):
                    at = local.replace(fold=fold).astimezone(UTC) + timedelta(seconds=second)
                    assert held(window, at) == meant(window, at), at


@given(
    st.sampled_from(CHANGES),
    st.integers(-3000, 3000),
    st.integers(1, 366 * 1440),
    st.floats(-0.1, 1.1),
    st.booleans(),
)
def test_a_window_that_comes_once_is_muted_from_its_first_instant_to_its_last(
    change: datetime, begins: int, minutes: int, share: float, edge: bool
) -> None:
    start = change + timedelta(minutes=begins)
    window = Once(start, start + timedelta(minutes=minutes))
    inside = start + (window.end - start) * share
    second = timedelta(seconds=1)
    for at in (inside, start - second, start, window.end - second, window.end) if edge else (inside,):
        assert held(window, at) == meant(window, at), at


def people(file: Path) -> People:
    return People(hooks=(Hook(Webhook.GENERIC, str(file)),), rate_limit=0.2)


class Muting:
    """A real Alertmanager with windows of all kinds that begin or end at `edge`, and what it tells of each service."""

    def __init__(self, folder: Path, edge: int) -> None:
        self.folder = folder
        self.edge = edge
        self.zones = {
            name: make_zone(
                folder / "zones",
                name,
                at=edge,
                before=local - edge % 86_400,
                after=local - edge % 86_400 + by,
            )
            for name, local, by in (
                ("Test/Plain", 12 * 3600, 0),
                ("Test/Forward", 12 * 3600, 3600),
                ("Test/Back", 12 * 3600, -3600),
                ("Test/Midnight", 24 * 3600 if edge % 86_400 > 43_200 else 0, 0),
            )
        }
        before = datetime.fromtimestamp(edge - 1, self.zones["Test/Midnight"]).weekday()
        every = tuple(range(7))
        minute = datetime.fromtimestamp(edge - 10 - (edge - 10) % 60, UTC)

        def plain(begins: str, ends: str, zone: str = "Test/Plain", days: tuple[int, ...] = every) -> Weekly:
            start, end = (60 * int(text[:2]) + int(text[3:]) for text in (begins, ends))
            return Weekly(days, start, end, zone)

        today, tomorrow, yesterday = (before,), ((before + 1) % 7,), ((before - 1) % 7,)
        self.windows: dict[str, tuple[Window, ...]] = {
            "begins": (plain("12:00", "13:00"),),
            "ends": (plain("11:00", "12:00"),),
            "relayed": (plain("11:00", "12:00"), plain("12:00", "12:30")),
            "jumped-into": (plain("12:30", "13:30", "Test/Forward"),),
            "jumped-over": (plain("12:10", "12:50", "Test/Forward"),),
            "jumped-out-of": (plain("11:00", "12:30", "Test/Forward"),),
            "comes-again": (plain("11:00", "11:30", "Test/Back"),),
            "put-back-before": (plain("11:30", "12:00", "Test/Back"),),
            "twice-on-end": (plain("11:00", "12:00", "Test/Back"),),
            "over-midnight": (plain("23:00", "01:00", "Test/Midnight", today),),
            "until-midnight": (plain("23:00", "24:00", "Test/Midnight", today),),
            "from-midnight": (plain("00:00", "01:00", "Test/Midnight", tomorrow),),
            "of-yesterday": (plain("23:00", "01:00", "Test/Midnight", yesterday),),
            "once-over": (Once(minute - timedelta(days=40), minute),),
            "once-begun": (Once(minute, minute + timedelta(minutes=30)),),
            "once-long": (Once(minute - timedelta(days=200), minute + timedelta(days=100)),),
        }
        services = [service(name, maintenance=windows) for name, windows in self.windows.items()]
        services += [
            service("of-team", team="blue"),
            service("unmuted"),
            service("returns", maintenance=self.windows["begins"]),
        ]
        self.truth = truth(*services, teams=(Team("blue", self.windows["ends"]),))
        self.windows |= {"of-team": self.windows["ends"], "unmuted": (), "returns": self.windows["begins"]}

    def muted(self, name: str, at: float) -> bool:
        """Whether people are not to be told of the service `name` at an instant."""
        instant = datetime.fromtimestamp(at, UTC)
        return any(
            meant(window, instant, self.zones[window.zone] if isinstance(window, Weekly) else None)
            for window in self.windows[name]
        )

    def config(self, told: Endpoint, sentinel: Endpoint, version: tuple[int, int]) -> Path:
        """Write the configuration that the bundle has for it, but for how often people are told again."""
        file = secret(self.folder / "url", told.url)
        settings = Settings(
            people=people(file), sentinels=(f"127.0.0.1:{sentinel.port}",), group_interval=0.2,
            alertmanager_version=version, inline_secrets=True,
        )  # fmt: skip
        files = render(self.truth, settings)
        path = "alertmanager/alertmanager.yml"
        files[path] = files[path].replace("repeat_interval: 4h", "repeat_interval: 100ms")
        write(files, self.folder, private=settings.private)
        return self.folder / path


class Told(Endpoint):
    """Notes when it was told of whom."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.times: dict[str, list[float]] = {}
        self.resolved: set[str] = set()

    def note(self) -> None:
        """Sort what was heard since the last call."""
        while self.heard:
            for alert in self.heard.pop(0)["alerts"]:
                self.times.setdefault(alert["labels"]["svc"], []).append(time.time())
                if alert["status"] == "resolved":
                    self.resolved.add(alert["labels"]["svc"])


async def test_alertmanager_tells_people_outside_of_windows_only_and_the_sentinel_always(
    servers: Servers, ports: Ports, tmp_path: Path
) -> None:
    edge = int(time.time()) + 10
    muting = Muting(tmp_path, edge)
    version = tuple(map(int, servers.alertmanager.version.split(".")[:2]))
    assert len(version) == 2
    async with AsyncExitStack() as open_:
        told = Told(ports.take())
        await told.open()
        open_.push_async_callback(told.shut)
        sentinel = await open_.enter_async_context(endpoint(ports.take()))
        program = replace(
            servers.alertmanager,
            environment={**servers.alertmanager.environment, "ZONEINFO": str(tmp_path / "zones")},
        )
        server = stack.alertmanager(program, tmp_path, ports.take(), muting.config(told, sentinel, version))
        open_.push_async_callback(server.kill)
        await server.start()
        await server.wait_ready()
        async with aiohttp.ClientSession() as http:

            async def post(*names: str, ends: bool = False) -> None:
                teams = {each.name: each.team for each in muting.truth.services}
                alerts = [
                    {
                        "labels": {"alertname": "HeartbeatMiss", "bus": "system-redis", "svc": name}
                        | ({"team": team} if (team := teams[name]) else {}),
                        **({"endsAt": datetime.now(UTC).isoformat()} if ends else {}),
                    }
                    for name in names
                ]
                async with http.post(f"{server.url}/api/v2/alerts", json=alerts) as answer:
                    assert answer.status == 200, await answer.text()

            assert time.time() < edge - 2, "the machine took too long to start Alertmanager"
            await post(*muting.windows)
            returned = False
            while time.time() < edge + 2.5:
                told.note()
                if time.time() > edge + 0.5 and not returned:
                    returned = True
                    await post("returns", ends=True)
                await asyncio.sleep(0.02)
    for name in muting.windows:
        times = told.times.get(name, [])
        wrong = [at - edge for at in times if muting.muted(name, at) and not edge <= at < edge + 0.3]
        assert wrong == [], f"{name}: told in its window"
        if name == "returns":
            continue
        for begin, end in ((edge - 1.5, edge - 0.1), (edge + 1.0, edge + 2.4)):
            if not muting.muted(name, (begin + end) / 2):
                assert [at for at in times if begin <= at <= end], (
                    f"{name}: not told from {begin - edge} to {end - edge}"
                )
    assert "returns" not in told.resolved, (
        "Alertmanager forgets a return in a window: docs/notifications.md says so"
    )
    events = [
        (alert["labels"]["svc"], alert["status"]) for body in sentinel.heard for alert in body["alerts"]
    ]
    assert {svc for svc, status in events if status == "firing"} == set(muting.windows)
    assert [svc for svc, status in events if status == "resolved"] == ["returns"]


def test_a_service_that_has_windows_of_its_own_and_of_its_team_is_muted_in_both() -> None:
    night, noon = (Weekly((0,), start, start + 60, "UTC") for start in (120, 720))
    of = truth(
        service("rss_agg", team="blue", maintenance=(night,)),
        service("mesh", team="blue"),
        service("a.b", maintenance=(noon,)),
        service("a|c", maintenance=(noon,)),
        service("free"),
        teams=(Team("blue", (noon,)),),
    )
    everyone = People(hooks=(Hook(Webhook.SLACK, "/url"),))
    settings = Settings(people=replace(everyone, teams={"BLUE": everyone}), autoheals=("127.0.0.1:9009",))
    config = yaml.safe_load(render(of, settings)["alertmanager/alertmanager.yml"])
    routes = {route["receiver"]: route for route in config["route"]["routes"]}

    def mutes(receiver: str) -> list[tuple[str, list[str]]]:
        return [(route["matchers"][0], route["mute_time_intervals"]) for route in routes[receiver]["routes"]]

    own = ('svc=~"a\\\\.b|a\\\\|c"', ["service a.b and 1 more"])
    blue = [('svc="rss_agg"', ["service rss_agg", "team blue"]), ('team="blue"', ["team blue"])]
    assert mutes("people") == [own]
    assert mutes("people-blue") == blue
    assert mutes("autoheal") == [own, *blue]
    assert "routes" not in routes["sentinel"]
    assert {each["name"] for each in config["time_intervals"]} == {
        "service a.b and 1 more",
        "service rss_agg",
        "team blue",
    }


def test_a_truth_without_windows_names_no_time_intervals() -> None:
    assert "time_intervals" not in render(truth(service("mesh")), Settings())["alertmanager/alertmanager.yml"]


@pytest.mark.parametrize("window", [Weekly((5, 6), 1320, 240, "Europe/Berlin"), Once(CHANGES[0], CHANGES[1])])
def test_windows_are_valid_to_amtool(window: Window, servers: Servers, tmp_path: Path) -> None:
    import subprocess

    write(render(truth(service("mesh", maintenance=(window,))), Settings()), tmp_path)
    done = subprocess.run(
        [servers.amtool.path, "check-config", tmp_path / "alertmanager/alertmanager.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
