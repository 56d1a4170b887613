"""The units start what exists, watch it, and give it as little of the system as it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from healer.cli import main

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
LOOSEST = 15
"""The exposure that is allowed, in tenths of the ten points that systemd gives."""

with_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


def value(unit: Path, key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, key
    return str(found[0])


@pytest.fixture
def installed(unit: Path, tmp_path: Path) -> Path:
    """The unit, starting the healer of this Python instead of the one in /opt."""
    copy = tmp_path / unit.name
    healer = Path(sys.executable).with_name("healer")
    copy.write_text(unit.read_text(encoding="utf-8").replace("/opt/healer/bin/healer", str(healer)))
    return copy


def test_there_is_one_for_every_daemon() -> None:
    assert [unit.stem for unit in UNITS] == [
        "healer-autoheal",
        "healer-bundle",
        "healer-exporter",
        "healer-sentinel",
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_runs_what_exists_and_is_watched(unit: Path) -> None:
    program, command, *words = value(unit, "ExecStart").split()
    assert (program, f"healer-{command}") == ("/opt/healer/bin/healer", unit.stem)
    shown = CliRunner().invoke(main, [command, "--help"]).output
    assert all(word in shown for word in words if word.startswith("--"))
    assert value(unit, "Type") == "notify"
    assert int(value(unit, "WatchdogSec")) > 0
    assert int(value(unit, "StartLimitBurst")) > 0
    assert value(unit, "Restart") == "always"
    assert value(unit, "User") == "healer"


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, check=False
    )
    about_it = [line for line in done.stderr.splitlines() if installed.stem in line]
    assert (done.returncode, about_it) == (0, [])


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_exposure_is_small(installed: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={LOOSEST}", installed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]
