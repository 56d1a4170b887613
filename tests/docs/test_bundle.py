"""docs/bundle.md shows every option, and what it shows works."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from healer.bundle.settings import People
from healer.cli import main
from healer.cli.bundle import bundle

ROOT = Path(__file__).parents[2]
NOTIFICATIONS = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()
PAGE = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (healer .+)$", PAGE, re.MULTILINE)


@pytest.fixture(autouse=True)
def beside_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder that holds the truth, and nothing else."""
    shutil.copy(ROOT / "truth.json", tmp_path)
    monkeypatch.chdir(tmp_path)


def run(line: str) -> tuple[int, str]:
    """Run a command line as a shell would, without what comes after a pipe."""
    command, _, source = line.partition("|")[0].partition("<")
    given = Path(source.strip()).read_text(encoding="utf-8") if source else None
    done = CliRunner().invoke(main, shlex.split(command)[1:], input=given)
    return done.exit_code, done.stdout


@pytest.mark.parametrize("line", [line for line in COMMANDS if "--check" not in line])
def test_every_command_works(line: str) -> None:
    status, _ = run(line)
    assert status == (1 if "--diff" in line else 0)


def test_the_check_passes_once_the_bundle_is_there() -> None:
    (line,) = (line for line in COMMANDS if "--check" in line)
    assert run(line)[0] == 1
    assert run(line.replace(" --check", ""))[0] == 0
    assert run(line)[0] == 0


def test_the_explanation_is_the_one_that_is_printed() -> None:
    (line,) = (line for line in COMMANDS if "--explain" in line)
    assert f"```\n{run(line)[1]}```\n" in PAGE


def test_every_option_is_shown_and_exists() -> None:
    offered = {option for each in bundle.params for option in each.opts}
    shown = set(re.findall(r"(?<=`)--[a-z][a-z.-]+", PAGE))
    assert shown - {"--rules.alert.resend-delay"} == offered


def test_every_file_that_is_written_is_listed() -> None:
    run("healer bundle --truth truth.json --output out")
    run("healer bundle --truth truth.json --output out --format kubernetes")
    listed = re.findall(
        r"`((?:rules|promtool-tests|prometheus|alertmanager|grafana|kubernetes)/[^`]+)`", PAGE
    )
    for path in [*Path("out").rglob("*.yml"), *Path("out").rglob("*.json")]:
        assert any(path.relative_to("out").match(pattern) for pattern in listed), path


@pytest.mark.parametrize(
    "name", re.findall(r"`((?:SLACK|DISCORD|WEBHOOK|RATE|SMTP)_[A-Z_]+)`", NOTIFICATIONS)
)
def test_every_variable_is_read(name: str) -> None:
    asked: list[str] = []

    class Environment(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            asked.append(key)
            return super().get(key, default)

    People.from_env(Environment(WEBHOOK_URL_FILE="/run/url", WEBHOOK_KIND="slack"))
    assert name in asked
