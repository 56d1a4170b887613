"""Commands in scopes of a real systemd: nothing that they start gets away. Run as root, by `make test-systemd`."""

from __future__ import annotations

import json
import sys

import pytest

from .manager import systemd

RUN = r"""
import asyncio, dataclasses, json, sys, time
from pathlib import Path
from healer.autoheal import scope
from healer.autoheal.execute import Executor
from healer.autoheal.policy import Action, Kind
asked = json.load(sys.stdin)
scopes = scope.find(scope.Cgroup.SYSTEMD)
action = Action("restart", Kind.COMMAND, timeout=asked["timeout"], grace=0.5)
began = time.monotonic()
outcome = asyncio.run(Executor(Path(asked["folder"]), scopes).run(asked["id"], action, tuple(asked["argv"]), b"{}"))
took = time.monotonic() - began
left = scope.members(asked["id"])
scope.signal_members(asked["id"], 9)
print(json.dumps([dataclasses.asdict(outcome), left, took]))
"""


@pytest.fixture(scope="module")
def inside():
    with systemd() as running:
        yield running


@pytest.fixture
def run(inside, tmp_path):
    """Run a command as autoheal does inside; return its outcome, who was left in its scope, and the seconds."""

    def run(*argv: str, id_: str, timeout: float = 10.0):
        asked = {"folder": str(tmp_path), "id": id_, "argv": argv, "timeout": timeout}
        done = inside.run(sys.executable, "-c", RUN, input=json.dumps(asked))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def shell(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


def test_arguments_come_through_byte_for_byte_and_the_environment_has_one_name_more(run) -> None:
    show = "import json,os,sys; print(json.dumps([sys.argv[1:], sorted(os.environ), open('/proc/self/cgroup').read()]))"
    odd = ["${PATH}", "$HOME", "$$", "%n", "a b", "--unit=x", "ü", "'\"`;", "\\x20"]
    outcome, left, _ = run(sys.executable, "-I", "-c", show, *odd, id_="argv")
    args, names, cgroup = json.loads(outcome["output"])
    assert args == odd
    expected = ["HEALER_ACTION", "HEALER_ACTION_ID", "HOME", "INVOCATION_ID", "LANG", "PATH"]
    assert [name for name in names if name != "LC_CTYPE"] == expected
    assert "/healer-action-argv.scope" in cgroup
    assert (outcome["error"], outcome["exit_code"], left) == ("", 0, [])


def test_an_exit_status_is_the_commands_own(run) -> None:
    outcome, _, _ = run(*shell("echo no; exit 3"), id_="status")
    assert (outcome["error"], outcome["output"]) == ("exit status 3", "no")


def test_nobody_survives_a_timeout_by_a_new_session_a_cleared_environment_or_deaf_ears(run) -> None:
    away = "env -i /usr/bin/setsid /bin/sh -c 'trap \"\" TERM; while :; do /bin/sleep 1; done' & sleep 60"
    outcome, left, took = run(*shell(away), id_="away", timeout=0.7)
    assert "ignored TERM" in outcome["error"]
    assert (outcome["survivors"], left) == ([], [])
    assert took < 5.0


def test_whom_a_command_leaves_running_is_named_even_with_a_cleared_environment(run) -> None:
    outcome, left, took = run(*shell("env -i /usr/bin/setsid /bin/sleep 60 & sleep 0.3"), id_="left")
    assert outcome["error"] == ""
    assert outcome["survivors"] == [f"{left[0]} sleep"]
    assert took < 5.0
