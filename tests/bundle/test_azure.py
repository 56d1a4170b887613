"""Azure Monitor: what is configured, what is recorded for it, and a write that survives every kind of outage."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from tests.bundle.conftest import EXAMPLE
from tests.bundle.test_hosts import HOST, NODE_DOWN, PROBE_DOWN, STAMP, WELL

from healer.bundle import BundleError, Settings, render, write
from healer.bundle.azure import SERIES
from healer.stack.stack import Server, prometheus
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

PATIENCE_SECONDS = 60.0
ID, TENANT = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
URL = (
    "https://ws-abcd.westus2-1.metrics.ingest.monitor.azure.com/dataCollectionRules/dcr-1"
    "/streams/Microsoft-PrometheusMetrics/api/v1/write?api-version=2023-04-24"
)
MANAGED = {"AZURE_MONITOR_URL": URL, "AZURE_MONITOR_CLIENT_ID": ID}
WORKLOAD = {**MANAGED, "AZURE_MONITOR_AUTH": "workload-identity", "AZURE_MONITOR_TENANT_ID": TENANT}
OAUTH2 = {**WORKLOAD, "AZURE_MONITOR_AUTH": "oauth2", "AZURE_MONITOR_CLIENT_SECRET_FILE": "/run/azure"}
SECRET = "hush-8f3a"


def section(env: dict[str, str], version: tuple[int, int]) -> dict[str, Any]:
    files = render(EXAMPLE, Settings.from_env(env, prometheus_version=version))
    (found,) = yaml.safe_load(files["prometheus/prometheus.yml"])["remote_write"]
    return dict(found)


def test_without_azure_nothing_is_recorded_or_written_for_it() -> None:
    files = render(EXAMPLE, Settings.from_env({}))
    assert "rules/azure.rules.yml" not in files
    assert "remote_write" not in files["prometheus/prometheus.yml"]


@pytest.mark.parametrize(
    ("env", "version", "key", "access"),
    [
        (MANAGED, (2, 45), "azuread", {"cloud": "AzurePublic", "managed_identity": {"client_id": ID}}),
        (
            {**MANAGED, "AZURE_MONITOR_CLOUD": "AzureChina"},
            (3, 7),
            "azuread",
            {"cloud": "AzureChina", "managed_identity": {"client_id": ID}},
        ),
        (WORKLOAD, (2, 52), "azuread", {"cloud": "AzurePublic", "sdk": {"tenant_id": TENANT}}),
        (
            WORKLOAD,
            (3, 7),
            "azuread",
            {"cloud": "AzurePublic", "workload_identity": {"client_id": ID, "tenant_id": TENANT}},
        ),
        (
            OAUTH2,
            (2, 42),
            "oauth2",
            {
                "client_id": ID,
                "client_secret_file": "/run/azure",
                "scopes": ["https://monitor.azure.com/.default"],
                "token_url": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
            },
        ),
    ],
)
def test_each_version_is_told_what_it_knows(
    env: dict[str, str], version: tuple[int, int], key: str, access: dict[str, Any]
) -> None:
    found = section(env, version)
    assert found[key] == access
    assert not {"azuread", "oauth2"} - {key} & set(found)
    (rule,) = found["write_relabel_configs"]
    assert rule["action"] == "keep"
    assert set(rule["regex"].split("|")) == set(SERIES)


def test_a_prometheus_that_does_not_know_a_way_is_not_told_it() -> None:
    for env, since in ((MANAGED, r"2\.45"), (WORKLOAD, r"2\.52")):
        with pytest.raises(BundleError, match=rf"--prometheus-version {since}.*AZURE_MONITOR_AUTH=oauth2"):
            Settings.from_env(env)
    without = {key: value for key, value in WORKLOAD.items() if not key.endswith("_ID")}
    Settings.from_env(without, prometheus_version=(2, 52))
    with pytest.raises(BundleError) as caught:
        Settings.from_env(without, prometheus_version=(3, 7))
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "AZURE_MONITOR_CLIENT_ID",
        "AZURE_MONITOR_TENANT_ID",
    ]


def test_all_that_is_wrong_is_said_at_once_and_no_secret_with_it() -> None:
    env = {
        "AZURE_MONITOR_URL": f"https://user:{SECRET}@x.example/write",
        "AZURE_MONITOR_TOKEN_URL": "http://login.example/token",
        "AZURE_MONITOR_AUTH": "oauth2",
        "AZURE_MONITOR_CLIENT_ID": "me",
        "AZURE_MONITOR_CLIENT_SECRET": SECRET,
        "AZURE_MONITOR_CLOUD": "AzureMoon",
        "AZURE_MONITOR_TENNANT_ID": TENANT,
        "RATE_LIMIT_SEC": "soon",
    }
    with pytest.raises(BundleError) as caught:
        Settings.from_env(env)
    said = [problem.split()[0] for problem in caught.value.problems]
    assert sorted(said) == sorted(name for name in env if name != "AZURE_MONITOR_AUTH")
    assert SECRET not in str(caught.value)


def test_what_belongs_to_another_way_is_refused() -> None:
    with pytest.raises(BundleError, match="AZURE_MONITOR_TOKEN_URL goes with AZURE_MONITOR_AUTH=oauth2 only"):
        Settings.from_env(
            {**MANAGED, "AZURE_MONITOR_TOKEN_URL": "https://x.example"}, prometheus_version=(3, 0)
        )


@pytest.mark.parametrize(("env", "version"), [(MANAGED, (2, 45)), (WORKLOAD, (2, 52)), (OAUTH2, (2, 42))])
def test_the_configuration_is_good_to_promtool(
    env: dict[str, str], version: tuple[int, int], servers: Servers, tmp_path: Path
) -> None:
    write(render(EXAMPLE, Settings.from_env(env, prometheus_version=version)), tmp_path)
    config = tmp_path / "prometheus" / "prometheus.yml"

    def said() -> str:
        command = [servers.promtool.path, "check", "config", "--syntax-only", config]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    if env is not OAUTH2 and "field azuread not found" in said():
        # 2.42 does not know it yet, and Debian builds newer ones without it. The rest must be right even so.
        document = yaml.safe_load(config.read_text())
        del document["remote_write"][0]["azuread"]
        config.write_text(yaml.safe_dump(document))
    assert said() == ""


@pytest.fixture
def recorded(servers: Servers, tmp_path: Path) -> Callable[[dict[str, float | None], dict[str, float]], None]:
    """Return a function: what a host shows for ten minutes, and the `health_*` series of the last."""

    def recorded(changes: dict[str, float | None], expected: dict[str, float]) -> None:
        wiring = {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]}
        document = {"services": {"healer": {"access_points": wiring}}, "hosts": {"vm": HOST}}
        settings = Settings.from_env(OAUTH2, scrape_interval=15, evaluation_interval=15)
        write(render(parse(json.dumps(document), env={}).truth, settings), tmp_path)
        columns = {
            series: ["stale" if value is None else str(value) for value in values]
            for series, values in {
                **{
                    series: [value] * 20 + [changes.get(series, value)] * 21 for series, value in WELL.items()
                },
                STAMP: [*range(0, 300, 15), *(changes.get(STAMP, at) for at in range(300, 615, 15))],
            }.items()
        }
        test = {
            "interval": "15s",
            "input_series": [{"series": key, "values": " ".join(value)} for key, value in columns.items()],
            "promql_expr_test": [
                {
                    "expr": '{__name__=~"health_.+", __name__!~".*_(critical|warning|missing)"}',
                    "eval_time": "600s",
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
                }
            ],
        }
        rules = [str(tmp_path / "rules" / f"{name}.rules.yml") for name in ("host", "azure")]
        (tmp_path / "test.yml").write_text(
            json.dumps(
                {
                    "rule_files": rules,
                    "group_eval_order": ["host", "azure"],
                    "evaluation_interval": "15s",
                    "tests": [test],
                }
            )
        )
        command = [servers.promtool.path, "test", "rules", tmp_path / "test.yml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return recorded


UNIT, FILE = '{host="vm",unit="worker.service"}', '{host="vm",path="/beat"}'
OF_NODE = {
    'health_disk_usage{host="vm",mountpoint="/data"}': 100 * (450 / 950),
    'health_memory_usage{host="vm"}': 60.0,
    f"health_service_active{UNIT}": 1.0,
    f"health_crash_count{UNIT}": 3.0,
}
OF_PROBE = {f"health_heartbeat_age{FILE}": 0.0}


def test_the_series_of_a_host_have_the_names_that_azure_knew(recorded) -> None:
    recorded({}, {**OF_NODE, **OF_PROBE})


def test_a_unit_that_is_down_is_0_and_not_absent(recorded) -> None:
    down = {each: 0.0 for each in WELL if 'state="active"' in each}
    assert down
    recorded(down, {**OF_NODE, **OF_PROBE, f"health_service_active{UNIT}": 0.0})


@pytest.mark.parametrize(("unknown", "left"), [(NODE_DOWN, OF_PROBE), (PROBE_DOWN, OF_NODE)])
def test_what_is_unknown_is_not_sent(recorded, unknown, left: dict[str, float]) -> None:
    recorded(unknown, left)


class Cloud:
    """Entra ID and a workspace's endpoint: gives out tokens, takes writes with them, and fails as told."""

    def __init__(self, receiver: str) -> None:
        self.tokens: list[str] = []
        self.refusals: list[int] = []
        self.token_troubles: list[int] = []
        self.troubles: list[int] = []
        self.accepted = 0
        self._receiver = receiver

    async def token(self, request: web.Request) -> web.Response:
        if self.token_troubles:
            return web.Response(status=self.token_troubles.pop())
        login = aiohttp.encode_basic_auth(ID, SECRET)
        form = await request.post()
        sent = request.headers.get("Authorization") == login or form.get("client_secret") == SECRET
        right = (
            sent
            and form["grant_type"] == "client_credentials"
            and form["scope"] == "https://monitor.azure.com/.default"
        )
        if not right:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens.append(f"token-{len(self.tokens)}-2b9d")
        # So short that none is used twice.
        return web.json_response({"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 1})

    async def write(self, request: web.Request) -> web.Response:
        status = await self._take(request)
        if status >= 300:
            self.refusals.append(status)
        else:
            self.accepted += 1
        return web.Response(status=status)

    async def _take(self, request: web.Request) -> int:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 403
        if self.troubles:
            return self.troubles.pop()
        wanted = ("Content-Encoding", "Content-Type", "X-Prometheus-Remote-Write-Version")
        headers = {name: request.headers[name] for name in wanted}
        # The body goes on as it came: compressed.
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(
                    f"{self._receiver}/api/v1/write", data=await request.read(), headers=headers
                ) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 502


class Sending:
    """A Prometheus that sends, a cloud in between, and a Prometheus that receives."""

    def __init__(self, sender: Server, receiver: Server, cloud: Cloud, log: Path) -> None:
        self.sender, self.receiver, self.cloud, self.log = sender, receiver, cloud, log

    async def samples(self, server: Server, at: float | None = None) -> dict[str, list[list[Any]]]:
        params = {"query": '{__name__=~".+"}[10m]', **({"time": str(at)} if at else {})}
        answer = json.loads(await get(f"{server.url}/api/v1/query", params))
        return {series["metric"]["__name__"]: series["values"] for series in answer["data"]["result"]}

    async def newest(self) -> float:
        """When the newest sample of health_critical was taken that the receiver has; 0 if none."""
        values = (await self.samples(self.receiver)).get("health_critical", [])
        return float(values[-1][0]) if values else 0.0


async def get(url: str, params: dict[str, str] | None = None) -> str:
    async with aiohttp.ClientSession() as session, session.get(url, params=params) as answer:
        return await answer.text()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def sending(servers: Servers, ports: Ports, tmp_path: Path) -> AsyncIterator[Sending]:
    (tmp_path / "receiver").mkdir()
    (tmp_path / "receiver.yml").write_text("global: {}\n")
    receiver = prometheus(
        servers.prometheus,
        tmp_path / "receiver",
        ports.take(),
        tmp_path / "receiver.yml",
        options=("--web.enable-remote-write-receiver",),
    )
    cloud = Cloud(receiver.url)
    app = web.Application()
    app.router.add_post("/token", cloud.token)
    app.router.add_post("/write", cloud.write)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", ports.take())
    await site.start()
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    env = {
        "AZURE_MONITOR_URL": f"{site.name}/write",
        "AZURE_MONITOR_TOKEN_URL": f"{site.name}/token",
        "AZURE_MONITOR_AUTH": "oauth2",
        "AZURE_MONITOR_CLIENT_ID": ID,
        "AZURE_MONITOR_CLIENT_SECRET_FILE": str(secret),
    }
    nobody = (f"127.0.0.1:{ports.take()}",)
    settings = Settings.from_env(
        env,
        exporters=nobody,
        sentinels=nobody,
        alertmanagers=nobody,
        scrape_interval=1,
        evaluation_interval=1,
    )
    files = render(EXAMPLE, settings)
    # A sample a minute would make this test an hour long.
    files["rules/azure.rules.yml"] = files["rules/azure.rules.yml"].replace("interval: 1m", "interval: 1s")
    write(files, tmp_path)
    sender = prometheus(
        servers.prometheus, tmp_path, ports.take(), tmp_path / "prometheus" / "prometheus.yml"
    )
    try:
        for server in (receiver, sender):
            await server.start()
            await server.wait_ready()
        yield Sending(sender, receiver, cloud, tmp_path / "prometheus.log")
    finally:
        for server in (sender, receiver):
            await server.kill()
        await runner.cleanup()


async def test_no_sample_is_lost_while_azure_fails_in_every_way(sending: Sending) -> None:
    cloud = sending.cloud
    await until(sending.newest)
    since = await sending.newest()
    cloud.token_troubles, cloud.troubles = [503], [500, 429]
    await until(lambda: not cloud.troubles and not cloud.token_troubles)
    await sending.receiver.kill()
    await until(lambda: 502 in cloud.refusals)
    await sending.receiver.start()
    await sending.receiver.wait_ready()
    assert {429, 500, 502} <= set(cloud.refusals)

    sent = await sending.samples(sending.sender)
    end = float(sent["health_critical"][-1][0])

    async def caught_up() -> bool:
        return await sending.newest() >= end

    await until(caught_up)
    received = await sending.samples(sending.receiver)
    assert set(received) <= set(SERIES)
    for name in ("health_critical", "health_warning"):
        expected = [value for value in sent[name] if since <= value[0] <= end]
        assert len(expected) > 3
        assert [value for value in received[name] if since <= value[0] <= end] == expected
    await no_secret_is_shown(sending)


async def no_secret_is_shown(sending: Sending) -> None:
    url = sending.sender.url
    shown = [
        await get(f"{url}/{path}") for path in ("metrics", "api/v1/status/config", "api/v1/status/flags")
    ]
    shown.append(sending.log.read_text())
    assert "client_secret_file" in shown[1]
    assert "prometheus_remote_storage_samples_total" in shown[0]
    for text in shown:
        assert SECRET not in text
        assert not [token for token in sending.cloud.tokens if token in text]


def test_the_alerts_of_the_page_tell_a_unit_that_is_down_from_one_that_is_not_heard(
    servers: Servers, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "azure.md").read_text()
    (shown,) = re.findall(r"<<'JSON'\n(.+?)^JSON", page, re.DOTALL | re.MULTILINE)
    rules = [{"alert": each["alert"], "expr": each["expression"]} for each in json.loads(shown)["rules"]]
    assert all(f"`{rule['expr']}`" in page for rule in rules)
    (tmp_path / "azure.yml").write_text(json.dumps({"groups": [{"name": "azure", "rules": rules}]}))
    series = {
        'health_service_active{unit="up"}': "1x60",
        'health_service_active{unit="down"}': "1x20 0x39",
        'health_service_active{unit="gone"}': "1x20 stale",
        'health_service_active{unit="blinks"}': "1x20 0 1x38",
        "health_critical": "0x40 stale",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": at,
                "alertname": name,
                "exp_alerts": [{"exp_labels": {"unit": unit} if unit else {}} for unit in firing],
            }
            for at, name, firing in [
                ("20m", "HealthServiceDown", []),
                ("27m", "HealthServiceDown", ["down"]),
                ("27m", "HealthServiceUnknown", ["gone"]),
                ("40m", "HealthSilent", []),
                ("50m", "HealthSilent", [""]),
            ]
        ],
    }
    document = {"rule_files": ["azure.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(document))
    command = [servers.promtool.path, "test", "rules", tmp_path / "test.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
