"""Looks at the heartbeat files and logs of one host, and keeps where the logs were left."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from healer.host.journal import Journal, Mark
from healer.host.tail import Cursor, ProbeError, Tail

if TYPE_CHECKING:
    from pathlib import Path

    from healer.truth.machines import Host, Log

FILE, LOG = "heartbeat_file", "log"


@dataclass(frozen=True)
class Readings:
    """What one look found.

    Attributes:
        modified: When each heartbeat file last changed (epoch seconds), None for one that is not there; one
            that could not be looked at is absent.
        errors: Of each log, ever.
        skipped: Bytes of each log file that were not looked at, ever.
        success: Whether each (probe, target) could be looked at.
    """

    modified: dict[str, float | None] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    success: dict[tuple[str, str], bool] = field(default_factory=dict)


class Probe:
    """One host; for one thread at a time."""

    def __init__(self, host: Host, folder: Path) -> None:
        """Go on where the state in `folder` says the logs were left."""
        self._path = folder / f"host-{quote(host.name, safe='')}.json"
        self._log = structlog.get_logger(component="host")
        self._saved = self._load()
        self.host = host
        self._logs: dict[str, Tail | Journal] = {log.name: self._open(log) for log in host.logs}

    def look(self) -> Readings:
        """Look at everything once; what cannot be looked at is said in `success`."""
        found = Readings()
        for file in self.host.files:
            try:
                found.modified[file.path] = modified(file.path)
                found.success[FILE, file.path] = True
            except (OSError, ProbeError):
                found.success[FILE, file.path] = False
        for name, log in self._logs.items():
            try:
                log.look()
                found.success[LOG, name] = True
            except ProbeError:
                found.success[LOG, name] = False
            if isinstance(log, Tail):
                found.errors[name], found.skipped[name] = log.cursor.errors, log.cursor.skipped
            else:
                found.errors[name] = log.mark.errors
        self._save()
        return found

    def close(self) -> None:
        """Let go of the files."""
        for log in self._logs.values():
            log.close()

    def _open(self, log: Log) -> Tail | Journal:
        saved = self._saved.get(log.name)
        try:
            if log.path is None:
                return Journal(str(log.unit), Mark(**saved) if saved else None)
            return Tail(log.path, log.pattern, Cursor(**saved) if saved else None)
        except TypeError:
            self._log.warning("state of a log cannot be used, beginning at its end", log=log.name)
        return Journal(str(log.unit), None) if log.path is None else Tail(log.path, log.pattern, None)

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            saved = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self._log.warning(
                "state cannot be read, logs begin at their end", file=str(self._path), error=str(error)
            )
            return {}
        if not isinstance(saved, dict):
            return {}
        return {name: value for name, value in saved.items() if isinstance(value, dict)}

    def _save(self) -> None:
        state = {
            name: asdict(log.cursor if isinstance(log, Tail) else log.mark)
            for name, log in self._logs.items()
            if isinstance(log, Journal) or not log.fresh
        }
        if state == self._saved:
            return
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(state))
            draft.replace(self._path)
            self._saved = state
        except OSError as error:
            self._log.error("state cannot be written", file=str(self._path), error=str(error))


def modified(path: str) -> float | None:
    """Return when a file last changed (epoch seconds), or None if it is not there.

    Raises:
        OSError: Nobody can tell.
        ProbeError: It is no file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  # what is a str in the truth stays one
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ProbeError("not a file")
    return status.st_mtime
