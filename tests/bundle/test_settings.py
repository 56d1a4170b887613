"""Settings from the environment, and whom Alertmanager tells: secrets stay in files of their own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.bundle.conftest import EXAMPLE

from healer.bundle import BundleError, Settings, Webhook, render, write

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.servers import Servers

MAIL = {
    "SMTP_HOST": "mail.example",
    "SMTP_FROM": "healer@example.com",
    "SMTP_TO": "a@example.com, b@example.com",
}


def alertmanager(settings: Settings) -> str:
    return render(EXAMPLE, settings)["alertmanager/alertmanager.yml"]


def routed(config: Path, servers: Servers, *labels: str) -> str:
    command = [servers.amtool.path, "config", "routes", "test", f"--config.file={config}", *labels]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_alerts_reach_whom_they_are_for(example_bundle: Path, servers: Servers) -> None:
    config = example_bundle / "alertmanager" / "alertmanager.yml"
    assert routed(config, servers, "alertname=Watchdog") == "watchdog"
    assert routed(config, servers, "alertname=HeartbeatMiss", "svc=a") == "sentinel,people"
    assert routed(config, servers, "alertname=HealerMiss", "svc=healer") == "sentinel,people"
    for name in ("HeartbeatBusDown", "HeartbeatUnwatched"):
        assert routed(config, servers, f"alertname={name}") == "sentinel,people"
    assert routed(config, servers, "alertname=SentinelDown") == "people"


@pytest.mark.parametrize(("group_interval", "repeat"), [(5.0, "2s"), (2.0, "1s"), (0.5, "250ms")])
def test_the_watchdog_repeats_faster_than_its_group(group_interval: float, repeat: str) -> None:
    routes = yaml.safe_load(alertmanager(Settings(group_interval=group_interval)))["route"]["routes"]
    assert routes[0]["repeat_interval"] == repeat


def test_a_sentinel_is_told_how_often_it_is_told_again() -> None:
    config = yaml.safe_load(alertmanager(Settings(group_interval=0.5)))
    assert [route["repeat_interval"] for route in config["route"]["routes"][1:3]] == ["6s", "6s"]
    hooks = [each["webhook_configs"][0]["url"] for each in config["receivers"] if each["name"] == "sentinel"]
    assert hooks == ["http://127.0.0.1:9878/webhook?repeat=6"]


def test_every_sentinel_gets_every_event() -> None:
    receivers = yaml.safe_load(alertmanager(Settings(sentinels=("a:1", "b:2"))))["receivers"]
    urls = {each["name"]: [hook["url"] for hook in each.get("webhook_configs", [])] for each in receivers}
    assert urls == {
        "autoheal-notify": [],
        "people": [],
        "sentinel": ["http://a:1/webhook?repeat=60"],
        "sentinel-2": ["http://b:2/webhook?repeat=60"],
        "watchdog": ["http://a:1/webhook?repeat=60"],
        "watchdog-2": ["http://b:2/webhook?repeat=60"],
    }


def test_slack_and_mail_by_files_are_valid_everywhere(servers: Servers, tmp_path: Path) -> None:
    url = tmp_path / "slack"
    url.write_text("https://hooks.slack.com/services/X/Y/Z\n")
    url.chmod(0o600)
    env = {
        **MAIL,
        "WEBHOOK_URL_FILE": str(url),
        "SMTP_USER": "u",
        "SMTP_PASS_FILE": "/run/smtp",
        "RATE_LIMIT_SEC": "90",
    }
    text = alertmanager(Settings.from_env(env))
    assert "hooks.slack.com" not in text
    assert "group_interval: 1m30s" in text
    write(render(EXAMPLE, Settings.from_env(env)), tmp_path)
    config = tmp_path / "alertmanager" / "alertmanager.yml"
    subprocess.run([servers.amtool.path, "check-config", config], check=True, capture_output=True)
    assert text.count("send_resolved: true") == 5


@pytest.mark.parametrize("name", ["WEBHOOK_URL", "SMTP_PASS"])
def test_a_secret_given_inline_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(BundleError, match=f"{name}_FILE") as caught:
        Settings.from_env({name: "https://hooks.slack.com/hush"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("kind", "version"), [("discord", (0, 28)), ("generic", (0, 26))])
def test_a_webhook_that_needs_a_newer_alertmanager_says_so(kind: str, version: tuple[int, int]) -> None:
    env = {"WEBHOOK_URL_FILE": "/run/url", "WEBHOOK_KIND": kind}
    with pytest.raises(BundleError, match=rf"--alertmanager-version 0\.{version[1]}"):
        alertmanager(Settings.from_env(env))
    assert "/run/url" in alertmanager(Settings.from_env(env, alertmanager_version=version))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://hooks.slack.com/services/X", Webhook.SLACK),
        ("https://discord.com/api/webhooks/1", Webhook.DISCORD),
        ("https://slack.com.evil.example/", Webhook.GENERIC),
        ("https://hooks.example/x", Webhook.GENERIC),
    ],
)
def test_the_host_says_what_a_webhook_is(url: str, kind: Webhook) -> None:
    assert Webhook.of(url) is kind


def test_all_that_is_wrong_is_said_at_once() -> None:
    env = {
        "RATE_LIMIT_SEC": "soon",
        "WEBHOOK_TIMEOUT_SEC": "-1",
        "WEBHOOK_URL_FILE": "/nowhere/url",
        "SMTP_HOST": "mail.example",
        "SMTP_USER": "u",
    }
    with pytest.raises(BundleError) as caught:
        Settings.from_env(env)
    said = "\n".join(caught.value.problems)
    for name in (
        "RATE_LIMIT_SEC",
        "WEBHOOK_TIMEOUT_SEC",
        "WEBHOOK_KIND",
        "SMTP_FROM",
        "SMTP_TO",
        "SMTP_PASS_FILE",
    ):
        assert name in said


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(BundleError) as caught:
        Settings(scrape_interval=0, sentinels=(), runbook_base="https://wiki.example")
    assert len(caught.value.problems) == 3


def test_a_team_of_the_truth_is_told_by_its_own_ways_and_others_by_everyones(
    servers: Servers, tmp_path: Path
) -> None:
    env = {**MAIL, "TEAM_AI_SMTP_TO": "ai@example.com"}
    write(render(EXAMPLE, Settings.from_env(env)), tmp_path)
    config = tmp_path / "alertmanager" / "alertmanager.yml"
    assert (
        routed(config, servers, "alertname=HeartbeatMiss", "svc=vexy_ai", "team=ai") == "sentinel,people-ai"
    )
    assert routed(config, servers, "alertname=HeartbeatMiss", "svc=rss_agg") == "sentinel,people"
    assert routed(config, servers, "alertname=HeartbeatClockSkew", "team=ai") == "people-ai"
    receivers = {each["name"]: each for each in yaml.safe_load(config.read_text())["receivers"]}
    assert receivers["people-ai"]["email_configs"][0]["to"] == "ai@example.com"
    with pytest.raises(
        BundleError, match=r"TEAM_AL_… is set, and no service is of such a team\. There are: ai\."
    ):
        render(EXAMPLE, Settings.from_env({**MAIL, "TEAM_AL_SMTP_TO": "al@example.com"}))


def test_a_password_that_an_old_alertmanager_would_send_with_its_newline_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pass"
    path.write_text("hush\n")
    path.chmod(0o600)
    env = {**MAIL, "SMTP_USER": "u", "SMTP_PASS_FILE": str(path)}
    with pytest.raises(BundleError, match="ends in a newline") as caught:
        alertmanager(Settings.from_env(env))
    assert "hush" not in str(caught.value)
    alertmanager(Settings.from_env(env, alertmanager_version=(0, 27)))
    path.write_text("hush")
    alertmanager(Settings.from_env(env))


def test_an_address_needs_a_port() -> None:
    with pytest.raises(BundleError) as caught:
        Settings(exporters=("foo", "[::1]:9877"), node_exporters=("http://a:1",))
    assert list(caught.value.problems) == [
        "exporters: found 'foo', expected HOST:PORT, such as 127.0.0.1:9877.",
        "node_exporters: found 'http://a:1', expected HOST:PORT, such as 127.0.0.1:9877.",
    ]


def test_hosts_are_scraped_where_they_are_told_of() -> None:
    jobs = {
        each["job_name"]: each["static_configs"][0]["targets"]
        for each in yaml.safe_load(
            render(EXAMPLE, Settings(node_exporters=("a:9100", "b:9100")))["prometheus/prometheus.yml"]
        )["scrape_configs"]
    }
    assert jobs["node"] == ["a:9100", "b:9100"]


def test_rules_that_are_evaluated_more_seldom_than_beats_come_are_proven_too(
    servers: Servers, tmp_path: Path
) -> None:
    write(render(EXAMPLE, Settings(evaluation_interval=60.0)), tmp_path)
    tests = sorted((tmp_path / "promtool-tests").glob("*.yml"))
    done = subprocess.run(
        [servers.promtool.path, "test", "rules", *tests], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
