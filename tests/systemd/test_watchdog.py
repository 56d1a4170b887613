"""The example of a worker under a real systemd: its watchdog is fed while its loop turns, and restarts it when that stalls."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .manager import systemd

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/examples/faucet_worker.service"
WATCHDOG_SECONDS = 6
WORKER = """
import pathlib, sys, time
from healer.beat import Heartbeat

beat, stall = map(pathlib.Path, sys.argv[1:])
with Heartbeat("faucet_worker", beat.as_uri(), stall_after=1, watchdog=True) as heart:
    while not stall.exists():
        time.sleep(0.1)
        heart.alive()
    stall.unlink()
    time.sleep(1000)
"""
DROP_IN = """
[Unit]
Wants=
After=
DefaultDependencies=no
[Service]
User=
WatchdogSec={seconds}
Environment=PYTHONPATH={path} PYTHONSAFEPATH=1
ExecStart=
ExecStart={python} {folder}/worker.py {folder}/heartbeat {folder}/stall
"""


def until(condition: Callable[[], object], seconds: float) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.2)


def test_a_loop_that_stalls_is_restarted_by_the_watchdog(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    drop_in = DROP_IN.format(
        seconds=WATCHDOG_SECONDS, path=ROOT / "exporter", python=sys.executable, folder=tmp_path
    )
    with systemd("mount -t tmpfs tmpfs /var/lib") as inside:
        unit = "/run/systemd/system/faucet_worker.service"
        inside.shell(f"cp {UNIT} {unit}; mkdir {unit}.d")
        inside.run("/bin/sh", "-c", f"cat > {unit}.d/short.conf", input=drop_in)
        inside.shell("systemctl daemon-reload; systemctl start faucet_worker")

        def shown(*names: str) -> list[str]:
            lines = inside.shell(f"systemctl show faucet_worker --property={','.join(names)}").splitlines()
            return sorted(lines)

        time.sleep(2 * WATCHDOG_SECONDS)  # the watchdog would have bitten by then
        assert shown("ActiveState", "NRestarts") == ["ActiveState=active", "NRestarts=0"]
        assert time.time() - (tmp_path / "heartbeat").stat().st_mtime < WATCHDOG_SECONDS
        limits = [
            "CPUQuotaPerSecUSec=2s",
            f"MemoryMax={4 << 30}",
            "StartLimitBurst=5",
            "StartLimitIntervalUSec=5min",
        ]
        assert shown("MemoryMax", "CPUQuotaPerSecUSec", "StartLimitBurst", "StartLimitIntervalUSec") == limits

        (tmp_path / "stall").touch()
        until(lambda: shown("NRestarts") == ["NRestarts=1"], 60)
        until(lambda: shown("ActiveState", "SubState") == ["ActiveState=active", "SubState=running"], 60)
