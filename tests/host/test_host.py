"""`healer host` as a process, on real files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.patience import stopwatch

from healer.host.probe import Probe
from healer.truth.machines import Host, Log

if TYPE_CHECKING:
    from pathlib import Path


async def metrics(port: int, wanted: str) -> str:
    """Return /metrics once it holds `wanted`."""
    text = ""
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = await answer.text()
            except aiohttp.ClientError:
                text = ""
            if wanted in text:
                return text
            await asyncio.sleep(0.1)
    pytest.fail(f"never saw {wanted}:\n{text}")


async def test_shows_files_and_errors_and_counts_on_over_a_restart(tmp_path: Path, free_port: int) -> None:
    beat, gone, log = tmp_path / "beat", tmp_path / "gone", tmp_path / "a.log"
    beat.touch()
    os.utime(beat, (1000, 1000))
    log.write_text("ERROR of yesterday\n")
    files = [{"path": str(beat)}, {"path": str(gone)}, {"path": str(tmp_path)}]
    hosts = {"vm-1": {"heartbeat_files": files, "logs": [{"path": str(log)}]}}
    healer = {"access_points": {"subscribe_to": [{"bus": "system-redis", "key": "w:heartbeat"}]}}
    services = {
        "healer": healer,
        "w": {"access_points": {"publish_to": [{"bus": "system-redis", "key": "w:heartbeat"}]}},
    }
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"services": services, "hosts": hosts}))

    async def start() -> asyncio.subprocess.Process:
        command = ["-m", "healer", "host", "--host", "vm-1", "--truth", str(truth)]
        place = ["--state", str(tmp_path / "state"), "--listen", f"127.0.0.1:{free_port}"]
        return await asyncio.create_subprocess_exec(sys.executable, *command, *place)

    async def stop(process: asyncio.subprocess.Process) -> None:
        with stopwatch(process.pid) as watch:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert watch.seconds < 2.5

    first = await start()
    try:
        text = await metrics(free_port, f'host_log_errors_total{{host="vm-1",log="{log}"}} 0.0')
        assert f'host_heartbeat_file_present{{host="vm-1",path="{beat}"}} 1.0' in text
        modified = "host_heartbeat_file_modified_timestamp_seconds"
        assert f'{modified}{{host="vm-1",path="{beat}"}} 1000.0' in text
        assert f'host_heartbeat_file_present{{host="vm-1",path="{gone}"}} 0.0' in text
        assert f'{modified}{{host="vm-1",path="{gone}"' not in text
        assert f'host_heartbeat_file_present{{host="vm-1",path="{tmp_path}"' not in text
        target = f'host_probe_success{{host="vm-1",probe="heartbeat_file",target="{tmp_path}"}}'
        assert f"{target} 0.0" in text
        assert f'host_log_skipped_bytes_total{{host="vm-1",log="{log}"}} 0.0' in text
    finally:
        await stop(first)
    with log.open("a") as file:
        file.write("ERROR while nobody looked\n")
    second = await start()
    try:
        await metrics(free_port, f'host_log_errors_total{{host="vm-1",log="{log}"}} 1.0')
    finally:
        await stop(second)


def test_counts_the_errors_of_a_journal_from_now_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that answers as journalctl does stands in for it: no systemd runs where the tests do."""
    journal = tmp_path / "journal"
    journal.write_text('{"__CURSOR": "c1"}\n')
    fake = tmp_path / "journalctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {journal} || exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    unit = Log("w.service", "w.service", None, "", 0, 900.0)
    probe = Probe(Host("vm-1", "vm-1:9100", logs=(unit,)), tmp_path / "state")
    assert probe.look().errors == {"w.service": 0}
    journal.write_text('{"__CURSOR": "c2"}\n{"__CURSOR": "c3"}\n')
    assert probe.look().errors == {"w.service": 2}
    journal.write_text('{"__CURSOR": "c3"}\n')
    again = Probe(probe.host, tmp_path / "state")
    assert again.look().errors == {"w.service": 2}
    assert "-u w.service -p err --cursor=c3" in (tmp_path / "asked").read_text().splitlines()[-1]
    journal.unlink()
    found = again.look()
    assert found.success == {("log", "w.service"): False}
    assert found.errors == {"w.service": 2}
