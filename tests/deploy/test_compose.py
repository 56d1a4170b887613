"""docker-compose.yml is one that Compose takes, gives away nothing, and starts what exists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healer.cli import main
from healer.truth.load import load_file

ROOT = Path(__file__).parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
ONE_SHOT = "bootstrap"


def config(**environment: str) -> dict[str, Any]:
    """Return the file as Compose understands it, with every profile."""
    command = [COMPOSE, "--profile", "*", "config", "--format", "json"]
    given = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


WHOLE = config()
SERVICES: dict[str, Any] = WHOLE["services"]
DEMO = {name for name, each in SERVICES.items() if each.get("profiles") == ["demo"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["mem_limit"]) > 0
    assert "privileged" not in service
    assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))
    assert re.fullmatch(r"[a-z/-]+:(v?\d+\.\d+\.\d+|local)", service["image"]), "an image without a version"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - DEMO - {ONE_SHOT}))
def test_a_service_that_stays_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", [name for name, each in SERVICES.items() if "build" in each])
def test_what_of_ours_is_run_exists_with_its_options(name: str) -> None:
    command = SERVICES[name]["command"]
    path = command[:2] if command[0] == "truth" else command[:1]
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (word for word in command if word.startswith("--")):
        assert option in shown.output


def test_the_demo_s_services_are_those_of_the_truth() -> None:
    truth = load_file(ROOT / "truth.json", {}).truth
    assert {service.name for service in truth.services} == DEMO
    assert {bus.name for bus in truth.buses} <= SERVICES.keys()


def test_the_network_of_others_is_used_by_one_variable() -> None:
    assert WHOLE["networks"]["default"]["name"] == "marketswarm-bus"
    assert "external" not in WHOLE["networks"]["default"]
    others = config(MARKETSWARM_BUS_EXTERNAL="true")["networks"]["default"]
    assert (others["name"], others["external"]) == ("marketswarm-bus", True)


def test_secrets_are_files_and_never_in_the_environment() -> None:
    told = config(
        WEBHOOK_URL_FILE="/secret/url",
        SMTP_PASS_FILE="/secret/pass",
        AUTOHEAL_TOKEN_FILE="/secret/tokens",
        SENTINEL_TOKEN_FILE="/secret/who",
        SENTINEL_CREDENTIALS_FILE="/secret/token",
        DEADMANSSWITCH_URL_FILE="/secret/switch",
    )
    sentinel = told["services"]["sentinel"]["environment"]
    assert sentinel["SENTINEL_TOKEN_FILE"] == "/run/secrets/sentinel_tokens"
    assert sentinel["DEADMANSSWITCH_URL_FILE"] == "/run/secrets/deadmansswitch_url"
    bundle = told["services"]["bundle"]["environment"]
    assert bundle["SENTINEL_CREDENTIALS_FILE"] == "/run/secrets/sentinel_credentials"
    assert {told["secrets"][name]["file"] for name in ("sentinel_tokens", "sentinel_credentials")} == {
        "/secret/who",
        "/secret/token",
    }
    environment = told["services"]["bundle"]["environment"]
    assert environment["WEBHOOK_URL_FILE"] == "/run/secrets/webhook_url"
    assert environment["SMTP_PASS_FILE"] == "/run/secrets/smtp_pass"
    assert told["secrets"]["webhook_url"]["file"] == "/secret/url"
    assert SERVICES["bundle"]["environment"]["WEBHOOK_URL_FILE"] == ""
    assert (
        told["services"]["autoheal"]["environment"]["AUTOHEAL_TOKEN_FILE"] == "/run/secrets/autoheal_tokens"
    )


@pytest.mark.parametrize("name", WHOLE["secrets"])
def test_a_secret_that_is_told_of_is_mounted_where_it_is_looked_for(name: str) -> None:
    looked_for = {
        each
        for each, service in config(
            **{f"{name.upper().removesuffix('S')}_FILE": "/x", f"{name.upper()}_FILE": "/x"}
        )["services"].items()
        if f"/run/secrets/{name}" in map(str, service.get("environment", {}).values())
    }
    mounted = {
        each
        for each, service in SERVICES.items()
        if name in {secret["source"] for secret in service.get("secrets", [])}
    }
    assert looked_for
    assert looked_for - {"bundle"} <= mounted


def test_autoheal_is_off_and_rehearses_unless_told() -> None:
    assert SERVICES["autoheal"]["profiles"] == ["autoheal"]
    assert SERVICES["autoheal"]["environment"]["AUTOHEAL_ENABLED"] == "false"
    assert SERVICES["autoheal"]["environment"]["AUTOHEAL_DRY_RUN"] == "true"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_pages_name_services_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for verb, line in re.findall(
        r"docker compose (ps|logs|restart|stop|start|exec|up -d) ([^#;\n`|]+)", text
    ):
        names = [word for word in line.split() if re.fullmatch(r"[a-z_]+(-redis)?", word)]
        for name in names[: 0 if "SVC" in line else 1] if verb == "exec" else names:
            assert name in SERVICES, line
