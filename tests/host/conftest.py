"""A host whose units, disks, memory, files, logs and time are as a test says."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
import pytest

from healer.host.check import Check
from healer.truth.machines import HeartbeatFile, Host, Log

if TYPE_CHECKING:
    from pathlib import Path

    from healer.host.findings import Item, Report

NOW = float(int(time.time()))
"""The tests' time stands still, at an instant that is the present for a real Alertmanager too."""
UPTIME = 100_000.0
SHOWN = """Id={id}
LoadState={load}
ActiveState={state}
SubState={sub}
Result={result}
NRestarts={restarts}
StateChangeTimestampMonotonic={changed}
ExecMainStartTimestampMonotonic={started}
"""


class Time:
    """A clock that stands still."""

    def wall(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return UPTIME


@dataclass
class Unit:
    """What systemd says of worker.service."""

    state: str = "active"
    sub: str = "running"
    result: str = "success"
    load: str = "loaded"
    restarts: int = 3
    id: str = "worker.service"
    changed: float = 60.0
    """Seconds ago."""
    started: float = 60.0


@dataclass
class Machine:
    """A host on which all is well, until a test says otherwise.

    No systemd runs where the tests do: programs that answer as systemctl and journalctl do stand in for it. Nor can
    a test fill a disk or the memory: what the kernel says of them comes from files and, for the space, from `space`.
    """

    folder: Path
    unit: Unit = field(default_factory=Unit)
    space: tuple[int, int, int] | None = (1000, 550, 500)
    """Of /data: blocks, free blocks, blocks that are free for everybody; None: the file system does not say."""
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.beat, self.log = self.folder / "beat", self.folder / "worker.log"
        self.host = Host(
            "vm",
            "vm:9100",
            units=("worker.service",),
            mounts=("/data",),
            files=(HeartbeatFile(str(self.beat), 300.0),),
            logs=(Log(str(self.log), None, str(self.log), "ERROR", 2, 900.0),),
            team="vms",
        )
        for name in ("bin", "proc/self"):
            (self.folder / name).mkdir(parents=True)
        self.touch(10)
        self.log.write_text("")
        self.meminfo(400)
        self.mounts("/", "/data")
        self.systemctl(None)
        self.journal()

    def touch(self, age: float) -> None:
        self.beat.touch()
        os.utime(self.beat, (NOW - age, NOW - age))

    def write(self, *lines: tuple[float, str]) -> None:
        """Append lines, each so many seconds old."""
        with self.log.open("a") as file:
            for age, text in lines:
                file.write(f"{datetime.fromtimestamp(NOW - age, UTC).isoformat()} {text}\n")
        os.utime(self.log, (NOW, NOW))

    def meminfo(self, available: int) -> None:
        names = ("MemFree", "Buffers", "Cached", "Active", "Inactive", "Shmem", "Slab", "SReclaimable")
        rest = "".join(f"{name}: 10 kB\n" for name in names)
        text = f"MemTotal: 1000 kB\nMemAvailable: {available} kB\n{rest}"
        (self.folder / "proc/meminfo").write_text(text)

    def mounts(self, *paths: str) -> None:
        text = "".join(f"/dev/sda1 {path} ext4 rw 0 0\n" for path in paths)
        (self.folder / "proc/self/mounts").write_text(text)

    def systemctl(self, complaint: str | None) -> None:
        """Have systemctl answer, or complain."""
        text = f'echo "{complaint}" >&2; exit 1' if complaint else f"exec cat {self.folder}/units"
        self._program("systemctl", text)

    def journal(self, *, entries: int = 1, newest: int = 1) -> None:
        """Have journalctl find so many entries of those asked for, and of those at all."""
        line = """printf '{"__CURSOR":"c"}\\n'"""
        text = f'count={entries}; [ "$*" = "${{*% -n 1}}" ] || count={newest}'
        loop = f'while [ "$count" -gt 0 ]; do {line}; count=$((count - 1)); done'
        self._program("journalctl", f'echo "$*" >> {self.folder}/asked; {text}; {loop}')

    def look(self, *only: str) -> Report:
        return asyncio.run(self.looked(*only))

    async def looked(self, *only: str) -> Report:
        unit = self.unit
        micro = {name: int((UPTIME - getattr(unit, name)) * 1e6) for name in ("changed", "started")}
        (self.folder / "units").write_text(SHOWN.format(**(vars(unit) | micro)))
        check = Check(Time())
        return await (check.look(self.host, only) if only else check.look(self.host))

    def item(self, kind: str) -> Item:
        (found,) = (item for item in self.look().items if item.kind == kind)
        return found

    def _program(self, name: str, text: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host on which all is well."""
    machine = Machine(tmp_path)
    real = os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        if path != "/data":
            return real(path)
        if machine.space is None:
            raise OSError(5, "Input/output error")
        blocks, free, available = machine.space
        return os.statvfs_result((1, 1, blocks, free, available, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return machine
