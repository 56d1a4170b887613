"""Real commands: what they get, and that autoheal is free in time whatever they do."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from healer.autoheal.execute import ENVIRONMENT, OUTPUT_BYTES, TAIL_BYTES, Executor
from healer.autoheal.policy import Action, Kind

ID = f"test-{os.getpid()}"
SHOW = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read(), os.getcwd(), os.getpgrp() == os.getpid()]))"


@pytest.fixture
def executor(tmp_path):
    return Executor(tmp_path / "output")


def action(timeout=10.0, grace=1.0, **given):
    return Action("restart", Kind.COMMAND, timeout=timeout, grace=grace, **given)


def shell(text):
    return ("/bin/sh", "-c", text)


def kept_of(outcome):
    return Path(outcome.output_file).read_bytes()


def end_all(outcome):
    for survivor in outcome.survivors:
        os.kill(int(survivor.split()[0]), signal.SIGKILL)


async def test_a_command_gets_its_exact_arguments_a_fixed_environment_and_the_alert(executor, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_TEST", "from outside")
    odd = ("$(id)", "a b", "*", "ü", "'\"`", "%s")
    argv = (sys.executable, "-I", "-c", SHOW, *odd)
    outcome = await executor.run(ID, action(env={"MODE": "warm"}), argv, b'{"labels":{}}')
    args, env, stdin, folder, leads = json.loads(outcome.output)
    assert args == list(odd)
    expected = {**ENVIRONMENT, "MODE": "warm", "HEALER_ACTION": "restart", "HEALER_ACTION_ID": ID}
    assert {name: env[name] for name in env if name != "LC_CTYPE"} == expected
    assert (stdin, folder, leads) == ('{"labels":{}}', "/", True)
    assert (outcome.error, outcome.exit_code, outcome.survivors) == ("", 0, ())


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (shell("echo no; exit 3"), "exit status 3"),
        (shell("kill -9 $$"), "ended by signal 9"),
        (("/nowhere/at-all",), "/nowhere/at-all: No such file or directory"),
        (("/etc/passwd",), "/etc/passwd: Permission denied"),
        (("/bin/echo", "x" * 200_000), "/bin/echo: Argument list too long"),
        (("/bin/echo", "\0"), "/bin/echo: embedded null byte"),
    ],
)
async def test_a_failure_says_what_failed(executor, argv, error):
    assert (await executor.run(ID, action(), argv, b"{}")).error == error


async def test_output_is_kept_with_its_beginning_and_its_end(executor):
    text = f"echo begin; head -c {OUTPUT_BYTES * 3} /dev/zero | tr '\\0' x; echo; echo the reason >&2"
    outcome = await executor.run(ID, action(), shell(text), b"{}")
    assert outcome.output.endswith("the reason")
    kept = kept_of(outcome)
    assert kept.startswith(b"begin\n")
    assert kept.endswith(b"the reason\n")
    assert len(kept) < OUTPUT_BYTES + TAIL_BYTES + 100


async def test_a_gigabyte_of_output_keeps_nobody_busy_and_fills_no_disk(executor):
    began = time.monotonic()
    outcome = await executor.run(ID, action(timeout=60.0), shell("head -c 1G /dev/zero"), b"{}")
    assert outcome.error == ""
    assert time.monotonic() - began < 60.0  # what it was given
    assert len(kept_of(outcome)) < OUTPUT_BYTES + TAIL_BYTES + 100


async def test_a_command_that_takes_too_long_is_asked_to_end_with_all_its_children(executor):
    began = time.monotonic()
    outcome = await executor.run(ID, action(timeout=0.5), shell("sleep 60 & sleep 60"), b"{}")
    assert outcome.error == "took longer than 0.5 s and was ended with TERM"
    assert outcome.survivors == ()
    assert time.monotonic() - began < 30.0  # half of what it would take


async def test_one_that_ignores_term_is_killed_after_its_grace_with_its_grandchildren(executor):
    began = time.monotonic()
    stubborn = 'trap "" TERM; (trap "" TERM; sleep 60; sleep 60) & while :; do sleep 1; done'
    outcome = await executor.run(ID, action(timeout=0.3, grace=0.5), shell(stubborn), b"{}")
    assert outcome.error == "took longer than 0.3 s, ignored TERM for 0.5 s and was killed"
    assert outcome.survivors == ()
    assert time.monotonic() - began < 30.0


async def test_a_child_that_left_the_group_is_named(executor):
    outcome = await executor.run(ID, action(timeout=0.5), shell("setsid sleep 60 & sleep 60"), b"{}")
    assert len(outcome.survivors) == 1
    assert outcome.survivors[0].endswith(" sleep")
    end_all(outcome)


async def test_what_a_command_leaves_running_is_named_and_not_waited_for(executor):
    began = time.monotonic()
    outcome = await executor.run(ID, action(), shell("sleep 60 & exit 0"), b"{}")
    assert (outcome.error, len(outcome.survivors)) == ("", 1)
    assert time.monotonic() - began < 30.0
    end_all(outcome)


async def test_the_folder_of_outputs_stays_small(executor, tmp_path):
    folder = tmp_path / "output"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number:03}.log").touch()
    (folder / "249.log").write_bytes(b"x" * (OUTPUT_BYTES * 2))
    executor.trim()
    assert len(list(folder.iterdir())) == 200
    assert (folder / "249.log").stat().st_size == OUTPUT_BYTES


@pytest.mark.parametrize(
    ("status", "error"), [(200, ""), (202, ""), (302, "HTTP status 302"), (500, "HTTP status 500")]
)
async def test_a_webhook_posts_the_alert_once_and_follows_nothing(executor, status, error):
    seen = []

    async def take(request):
        seen.append((request.headers["Idempotency-Key"], await request.json()))
        return web.Response(status=status, text="done", headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/restart", take)
    async with TestServer(app) as server:
        call = Action("call", Kind.WEBHOOK, url=str(server.make_url("/restart")))
        outcome = await executor.run(ID, call, (), b'{"status":"firing"}')
    assert (outcome.error, outcome.output) == (error, "done")
    assert seen == [(ID, {"status": "firing"})]


async def test_a_webhook_that_nobody_answers_is_a_failure(executor, free_port):
    call = Action("call", Kind.WEBHOOK, url=f"http://127.0.0.1:{free_port}/")
    assert "the request failed" in (await executor.run(ID, call, (), b"{}")).error
