"""Looks at a whole host once: units, disks, memory, heartbeat files and recent errors in logs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from healer.host import space, units
from healer.host.findings import KINDS, Item, Judge, Measured, spoken
from healer.host.probe import FILE, LOG, modified
from healer.host.recent import errors_since
from healer.host.tail import ProbeError
from healer.runtime.tasks import aside
from healer.truth.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from healer.host.findings import Report
    from healer.runtime.clock import Clock
    from healer.truth.machines import HeartbeatFile, Host, Log

LONGEST_LOOK = 15.0
"""Seconds that looking at one thing may take, a disk that hangs for example; longer than any program asked for it."""

Look = tuple["Callable[[], list[Item]]", "Callable[[str], list[Item]]"]
"""What looks, in a thread, and what says that it could not, given why."""


class Check:
    """Looks at one host, again and again; nothing that hangs is asked a second time meanwhile."""

    def __init__(self, clock: Clock, longest: float = LONGEST_LOOK) -> None:
        """Make a check.

        Args:
            clock: Its time.
            longest: Seconds that looking at one thing may take.
        """
        self._clock = clock
        self._longest = longest
        self._hanging: dict[str, asyncio.Task[list[Item]]] = {}

    async def look(self, host: Host, only: Collection[str] = tuple(KINDS)) -> Report:
        """Return how `host` is; of what hangs, in time, that it is unknown.

        Args:
            host: This machine, as the truth has it.
            only: The keys of `KINDS` that are looked at.
        """
        judge = Judge(host)
        looks = _Looks(host, judge, self._clock).all(only)
        found = await asyncio.gather(*(self._ask(name, *look) for name, look in looks.items()))
        return judge.report([item for items in found for item in items], self._clock.wall())

    async def _ask(
        self, name: str, work: Callable[[], list[Item]], unknown: Callable[[str], list[Item]]
    ) -> list[Item]:
        hanging = self._hanging.pop(name, None)
        task = hanging if hanging is not None and not hanging.done() else asyncio.create_task(aside(work))
        done, _ = await asyncio.wait({task}, timeout=self._longest)
        if not done:
            self._hanging[name] = task
            return unknown(f"no answer within {self._longest:g} s")
        try:
            return task.result()
        except ProbeError as error:
            return unknown(str(error))
        except OSError as error:
            return unknown((error.strerror or "an error").lower())


class _Looks:
    """What there is to look at on a host."""

    def __init__(self, host: Host, judge: Judge, clock: Clock) -> None:
        self._host, self._judge, self._clock = host, judge, clock

    def all(self, only: Collection[str]) -> dict[str, Look]:
        """Return every look, by a name that tells it from the others."""
        host, looks = self._host, dict[str, Look]()
        if "units" in only and host.units:
            looks["units"] = (self._units, partial(self._unknown, "unit", host.units, {"probe": "systemd"}))
        for path in host.mounts if "mounts" in only else ():
            unknown = partial(self._unknown, "mount", (path,), {"probe": "mountpoint", "target": path})
            looks[f"mount {path}"] = (partial(self._mount, path), unknown)
        if "memory" in only:
            unknown = partial(self._unknown, "memory", ("memory",), {"probe": "meminfo"})
            looks["memory"] = (self._memory, unknown)
        for file in host.files if "heartbeat_files" in only else ():
            unknown = partial(self._unknown, FILE, (file.path,), {"probe": FILE, "target": file.path})
            looks[f"file {file.path}"] = (partial(self._file, file), unknown)
        for log in host.logs if "logs" in only else ():
            unknown = partial(self._unknown, LOG, (log.name,), {"probe": LOG, "target": log.name})
            looks[f"log {log.name}"] = (partial(self._log, log), unknown)
        return looks

    def _unknown(self, kind: str, names: Collection[str], probe: Mapping[str, str], why: str) -> list[Item]:
        return [self._judge.unknown(kind, name, why, probe) for name in names]

    def _epoch(self, instant: float | None) -> float | None:
        """Return the epoch second of a monotonic instant; whole, for it has to be the same at every look."""
        return None if instant is None else round(self._clock.wall() - self._clock.monotonic() + instant)

    def _units(self) -> list[Item]:
        items = []
        for name, unit in units.show(self._host.units).items():
            active = Measured(LIMITS.unit_inactive, float(unit.active), self._host, self._epoch(unit.changed))
            items.append(
                self._judge.known(
                    "unit", name, unit.text, active.value, active, label="unit", probe={"probe": "systemd"}
                )
            )
            if unit.restarts is not None:
                items.append(self._restarts(name, unit))
        return items

    def _restarts(self, name: str, unit: units.Unit) -> Item:
        host = self._host
        enough = LIMITS.unit_crash_loop.threshold(host)
        try:
            count = units.restarts_within(name, unit, enough, host.restarts_window, self._clock)
        except ProbeError as error:
            return self._judge.unknown("restarts", name, str(error), {"probe": "restarts", "target": name})
        text = f"restarts: {count}, well up to {enough:g} in {spoken(host.restarts_window, 'duration')}"
        return self._judge.known(
            "restarts", name, text, count, Measured(LIMITS.unit_crash_loop, count, host), label="unit",
            probe={"probe": "restarts", "target": name},
        )  # fmt: skip

    def _mount(self, path: str) -> list[Item]:
        if path not in space.mounted():
            raise ProbeError("nothing is mounted there")
        used = space.disk_used(path)
        limits = (LIMITS.disk_full, LIMITS.disk_filling)
        item = self._judge.known(
            "mount", path, f"{used:.1f} % used, full above {self._host.disk_critical:g} %", used,
            *(Measured(limit, used, self._host) for limit in limits),
            label="mountpoint", probe={"probe": "mountpoint", "target": path},
        )  # fmt: skip
        return [item]

    def _memory(self) -> list[Item]:
        used = space.memory_used()
        text = f"{used:.1f} % in use, high above {self._host.memory_warning:g} %"
        measured = Measured(LIMITS.memory_high, used, self._host)
        return [self._judge.known("memory", "memory", text, used, measured, probe={"probe": "meminfo"})]

    def _file(self, file: HeartbeatFile) -> list[Item]:
        written = modified(file.path)
        age = None if written is None else self._clock.wall() - written
        measured = (
            Measured(LIMITS.file_missing, float(written is not None), file),
            # A file that is missing is not stale.
            Measured(LIMITS.file_stale, age or 0.0, file, written and written + file.timeout),
        )
        stale = spoken(file.timeout, "duration")
        text = "missing" if age is None else f"{spoken(age, 'duration')} old, stale after {stale}"
        probe = {"probe": FILE, "target": file.path}
        return [self._judge.known(FILE, file.path, text, age, *measured, label="path", probe=probe)]

    def _log(self, log: Log) -> list[Item]:
        errors = errors_since(log, self._clock.wall() - log.window)
        text = f"errors in {spoken(log.window, 'duration')}: {errors}, well up to {log.errors}"
        item = self._judge.known(
            LOG, log.name, text, errors, Measured(LIMITS.log_errors, errors, log), label="log",
            probe={"probe": LOG, "target": log.name},
        )  # fmt: skip
        return [item]
