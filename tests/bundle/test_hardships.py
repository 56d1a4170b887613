"""The unit tests that the bundle has for the user's own hosts: they pass, and they can fail."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.bundle.mutants import Mutant

from healer.bundle import Settings, render
from healer.bundle.hardships import SEVERITY
from healer.truth.load import load_file

if TYPE_CHECKING:
    from healer.stack.servers import Servers

HOSTS = load_file(Path(__file__).parent / "golden/hosts/truth.json", {}).truth
RULES = "rules/host.rules.yml"
MUTANTS = (
    Mutant("units that are active", "HostUnitInactive", r"== 0", "== 1"),
    Mutant("at as many restarts as allowed", "HostUnitCrashLoop", r"> (\d)", r">= \1"),
    Mutant("filling when it is full", "HostDiskFilling", r"> [\d.]+", "> 91"),
    Mutant("full when it fills up", "HostDiskFull", r"> [\d.]+", "> 70"),
    Mutant("memory at once", "HostMemoryHigh", r"> (\d+)", r"> 0.9 * \1"),
    Mutant("files that are there", "HeartbeatFileMissing", "== 0", "== 1"),
    Mutant("a second of patience", "HeartbeatFileStale", r"> (\d+)", r"> 1 + \1"),
    Mutant("at as many errors as allowed", "HostLogErrors", r"> (\d)", r">= \1"),
    Mutant("probes that succeed", "HostProbeFailed", r"(host_probe_success\S+) == 0", r"\1 == 1"),
)
MORE = (
    Mutant("a unit that systemd forgot", "host_unit:active:bool", r"0 \* max", "1 * max"),
    Mutant("no memory of units", "host_unit:active:bool", r"or host_unit:active:bool\S+", ""),
    Mutant("one restart too late", "HostUnitCrashLoop", r"> (\d)", r"> 1 + \1"),
    Mutant("restarts never forgotten", "HostUnitCrashLoop", r"\[(10m|1h)\]", "[1d]"),
    Mutant("what is reserved counts as free", "host_mountpoint:disk_used:percent", r"_avail_", "_free_"),
    Mutant("filling too early", "HostDiskFilling", r"> (\d+)", r"> 0.9 * \1"),
    Mutant("memory that is free", "host:memory_used:percent", r"1 - ", ""),
    Mutant("no memory of files", "host_path:heartbeat_file_present:bool", r"or host_path:\S+", ""),
    Mutant("a second too early", "HeartbeatFileStale", r"> (\d+)", r"> \1 - 1"),
    Mutant("errors never forgotten", "HostLogErrors", r"\[\d+m\]", "[1d]"),
    Mutant("collectors not asked", "HostProbeFailed", "filesystem[|]meminfo[|]systemd", "filesystem"),
    Mutant("no mount missed", "HostProbeFailed", "node_filesystem_size_bytes", "up"),
    Mutant("a warning instead of a page", "HostUnitInactive", "critical", "warning", "labels.severity"),
    Mutant("a page late", "HostDiskFull", "1m", "30m", "for"),
    Mutant("nobody's", "HostMemoryHigh", '"vms"', '""'),
)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The part of the bundle that is about hosts."""
    return {name: text for name, text in render(HOSTS, Settings()).items() if "host" in name}


@pytest.mark.parametrize(
    "mutant",
    [*MUTANTS, *(pytest.param(each, marks=pytest.mark.long) for each in MORE)],
    ids=lambda mutant: mutant.what.replace(" ", "-"),
)
def test_a_fault_in_the_rules_of_hosts_is_caught(
    mutant: Mutant, servers: Servers, tmp_path: Path, files: dict[str, str]
) -> None:
    files = {**files, RULES: mutant.apply(files[RULES], branches=True)}
    done = replayed(files, tmp_path, servers)
    assert done.returncode == 1
    assert "FAILED" in done.stdout + done.stderr, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_to_be_gone(
    servers: Servers, tmp_path: Path, files: dict[str, str]
) -> None:
    done = replayed(files, tmp_path, servers)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = files["promtool-tests/hosts.yml"] + files["promtool-tests/hosts-counted.yml"]
    for name in SEVERITY:
        check = f'expr: ALERTS{{alertname="{name}", alertstate="firing"}}\n        exp_samples:'
        ends = {after.partition("\n")[0] for after in tests.split(check)[1:]}
        assert ends == {"", " []"}, name


def replayed(files: dict[str, str], folder: Path, servers: Servers) -> subprocess.CompletedProcess[str]:
    """Have promtool run the tests among `files`."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    tests = [folder / name for name in files if name.startswith("promtool-tests/")]
    command = [servers.promtool.path, "test", "rules", *tests]
    return subprocess.run(command, capture_output=True, text=True, check=False)
