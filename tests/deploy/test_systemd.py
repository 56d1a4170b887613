"""The units start what exists, and watch it. What systemd makes of them is in tests/systemd."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from healer.cli import main

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))


def value(unit: Path, key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, key
    return str(found[0])


def test_there_is_one_for_every_daemon() -> None:
    assert [unit.stem for unit in UNITS] == [
        "healer-autoheal",
        "healer-bundle",
        "healer-exporter",
        "healer-host",
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
