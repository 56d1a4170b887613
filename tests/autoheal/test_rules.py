"""With an autoheal configured, the bundle is valid, alerts go where they should, and no token is in a file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from healer.bundle import Settings, render, write
from healer.bundle.validate import validate
from healer.truth.load import parse

TRUTH = parse((Path(__file__).parents[2] / "truth.json").read_bytes(), env={}).truth
SETTINGS = Settings(autoheals=("a:9009", "b:9009"), autoheal_credentials="/run/autoheal/token")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("bundle")
    write(render(TRUTH, SETTINGS), made)
    return made


def test_the_tools_have_nothing_to_say(folder, servers) -> None:
    assert validate(folder, servers.promtool.path, servers.amtool.path) == []


@pytest.mark.parametrize(
    ("alertname", "receivers"),
    [
        ("Watchdog", "watchdog,watchdog-autoheal"),
        ("AutohealNoEvents15m", "autoheal-notify"),
        ("HeartbeatMiss", "sentinel,autoheal,people"),
        ("TcpEndpointDownFast", "autoheal,people"),
    ],
)
def test_alerts_go_where_they_should(folder, servers, alertname, receivers) -> None:
    config = folder / "alertmanager/alertmanager.yml"
    command = [
        servers.amtool.path,
        "config",
        "routes",
        "test",
        f"--config.file={config}",
        f"alertname={alertname}",
    ]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == receivers


def test_every_autoheal_is_scraped_and_told_with_the_token_from_its_file(folder) -> None:
    prometheus = yaml.safe_load((folder / "prometheus/prometheus.yml").read_text())
    (job,) = (job for job in prometheus["scrape_configs"] if job["job_name"] == "autoheal")
    assert job["authorization"] == {"credentials_file": "/run/autoheal/token"}
    receivers = yaml.safe_load((folder / "alertmanager/alertmanager.yml").read_text())["receivers"]
    (autoheal,) = (each for each in receivers if each["name"] == "autoheal")
    assert [hook["url"] for hook in autoheal["webhook_configs"]] == [
        "http://a:9009/alert",
        "http://b:9009/alert",
    ]
    assert all(hook["send_resolved"] and hook["http_config"] for hook in autoheal["webhook_configs"])


def test_without_an_autoheal_nothing_is_scraped_or_told() -> None:
    files = render(TRUTH, Settings())
    assert "autoheal" not in files["prometheus/prometheus.yml"]
    assert "/alert" not in files["alertmanager/alertmanager.yml"]
