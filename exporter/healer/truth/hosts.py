"""Reads the `hosts` section: which machines are watched, and what of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from healer.truth.blocks import LONGEST_TEXT, text_fault
from healer.truth.document import Members
from healer.truth.machines import HeartbeatFile, Host, Log
from healer.truth.problems import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from healer.truth.blocks import Block
    from healer.truth.problems import Problems

KEY: Final = "hosts"
HOST_KEYS = (
    "node_exporter",
    "healer_host",
    "units",
    "mounts",
    "disk",
    "memory",
    "restarts",
    "heartbeat_files",
    "logs",
    "team",
)
NODE_EXPORTER_PORT = 9100
LAST_PORT = 65_535
PROBE_PORT = 9880
"""Where `healer host` listens."""
MOST_OF_A_KIND = 100
"""Units, mounts, files or logs of one host: each is a series or a probe."""
WHOLE = 100
"""Percent."""
MOST_COUNTED = 1_000_000
LONGEST_WINDOW = 86_400.0
FILE_TIMEOUT = 300.0
LOG_WINDOW = 900.0
ERRORS = r"(?i)\b(error|critical|fatal|panic|traceback)\b"
"""What an error looks like in a log file of which the truth does not say."""

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target|mount|path|slice|scope|swap|device)")
_ABSOLUTE = "an absolute path"


def hosts(root: Block, problems: Problems) -> tuple[Host, ...]:
    """Return the hosts that are watched, sorted by name; what is wrong with them is noted.

    `hosts` may also hold what is others' business, in any shape: one is ours if it has any key that is ours.
    """
    if not isinstance(root.members.get(KEY), Members):
        return ()
    block = root.block(KEY)
    found = []
    for name, value in block.members.items():
        if isinstance(value, Members) and any(key in value for key in HOST_KEYS if key != "team"):
            fault = text_fault(name)
            if fault is not None:
                block.wrong(name, "a name", fault, found=shown(name))
            else:
                found.append(_host(name, block.block(name), problems))
    return tuple(sorted(found, key=lambda host: host.name))


def _host(name: str, block: Block, problems: Problems) -> Host:
    for key, meant in block.misspelt(HOST_KEYS):
        problems.warn(
            block.at(key), "an unknown key", meant, "Rename it if that is what it is; it has no effect so."
        )
    files = _files(block)
    logs = _logs(block)
    probe = _address(block, "healer_host", f"{name}:{PROBE_PORT}")
    disk = block.block("disk")
    disk.only(("warning_percent", "critical_percent"))
    warning, critical = _percent(disk, "warning_percent", 80.0), _percent(disk, "critical_percent", 90.0)
    if disk.sound and warning >= critical:
        key = "warning_percent" if "warning_percent" in disk else "critical_percent"
        disk.wrong(
            key,
            f"a warning below what is critical ({critical:g})"
            if key[0] == "w"
            else "more than the warning (80)",
        )
    memory = block.block("memory")
    memory.only(("warning_percent",))
    restarts = block.block("restarts")
    restarts.only(("more_than", "window_sec"))
    team = block.text("team", "the name of a team")
    window = restarts.seconds("window_sec", LONGEST_WINDOW)
    return Host(
        name=name,
        node_exporter=_address(block, "node_exporter", f"{name}:{NODE_EXPORTER_PORT}"),
        probe=probe if files or logs else None,
        units=_texts(block, "units", _unit_fault, "a systemd unit such as faucet_worker.service", ()),
        mounts=_texts(block, "mounts", _path_fault, f"{_ABSOLUTE} such as /data", ("/",)),
        disk_warning=warning,
        disk_critical=critical,
        memory_warning=_percent(memory, "warning_percent", 90.0),
        restarts=_count(restarts, "more_than", 5),
        restarts_window=window.value if window else 3600.0,
        files=files,
        logs=logs,
        team=team.value if team else None,
    )


def _address(block: Block, key: str, default: str) -> str:
    """Return `host:port`; the default leans on the name of the host, which then has to be one."""
    value = block.members.get(key, default)
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < int(found[2]) <= LAST_PORT:
        expected = f"an address such as 10.0.0.5:{default.rpartition(':')[2]}"
        if key in block:
            block.wrong(key, expected)
        elif key == "node_exporter":
            block.wrong(key, expected, "The name of the host is no address.", found="nothing")
    return str(value)


def _percent(block: Block, key: str, default: float) -> float:
    if key not in block:
        return default
    value = block.members[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < WHOLE:
        block.wrong(key, "a number of percent above 0 and below 100", "Write a number such as 80.")
        return default
    return float(value)


def _count(block: Block, key: str, default: int) -> int:
    if key not in block:
        return default
    value = block.members[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNTED:
        block.wrong(key, f"a whole number from 0 to {MOST_COUNTED}", "Write a number such as 5.")
        return default
    return value


def _texts(
    block: Block, key: str, fault_of: Callable[[object], str | None], expected: str, default: tuple[str, ...]
) -> tuple[str, ...]:
    if key not in block:
        return default
    values = block.members[key]
    if not isinstance(values, list):
        block.wrong(key, f"a list, each {expected}")
        return default
    if not _bounded(block, key, values):
        return default
    for index, value in enumerate(values):
        fault = fault_of(value)
        if fault is None and value in values[:index]:
            fault = "It is in the list twice."
        if fault is not None:
            block.wrong_in(key, index, expected, fault, found=shown(value))
    return tuple(sorted(value for value in values if isinstance(value, str)))


def _bounded(block: Block, key: str, values: Collection[object]) -> bool:
    if len(values) > MOST_OF_A_KIND:
        block.wrong(key, f"at most {MOST_OF_A_KIND}", found=f"{len(values)}")
        return False
    return True


def _unit_fault(value: object) -> str | None:
    fault = text_fault(value)
    if fault is None and not _UNIT.fullmatch(str(value)):
        return (
            f"Did you mean {value}.service?"
            if _UNIT.fullmatch(f"{value}.service")
            else "Name it as systemctl does."
        )
    return fault


def _path_fault(value: object) -> str | None:
    fault = text_fault(value, LONGEST_TEXT)
    if fault is None and (not str(value).startswith("/") or "/../" in f"{value}/"):
        return "Begin at /, without .. in it."
    return fault


def _files(block: Block) -> tuple[HeartbeatFile, ...]:
    example = '{"path": "/var/lib/worker/heartbeat.txt", "timeout_sec": 300}'
    found: dict[str, HeartbeatFile] = {}
    listed = block.blocks("heartbeat_files", f"a list like [{example}]", f"an object like {example}")
    if not _bounded(block, "heartbeat_files", listed):
        return ()
    for entry in listed:
        entry.only(("path", "timeout_sec"))
        path = _path(entry)
        timeout = entry.seconds("timeout_sec", 30 * LONGEST_WINDOW)
        if path in found:
            entry.wrong("path", "each file once")
        elif path is not None:
            found[path] = HeartbeatFile(path, timeout.value if timeout else FILE_TIMEOUT)
    return tuple(found[path] for path in sorted(found))


def _logs(block: Block) -> tuple[Log, ...]:
    example = '{"unit": "faucet_worker.service"}'
    found: dict[str, Log] = {}
    listed = block.blocks("logs", f"a list like [{example}]", f"an object like {example}")
    if not _bounded(block, "logs", listed):
        return ()
    for entry in listed:
        log = _log(entry)
        if log is not None and log.name in found:
            entry.wrong("unit" if log.unit else "path", "each log once")
        elif log is not None:
            found[log.name] = log
    return tuple(found[name] for name in sorted(found))


def _log(entry: Block) -> Log | None:
    entry.only(("unit", "path", "pattern", "more_than", "window_sec"))
    errors = _count(entry, "more_than", 0)
    window = entry.seconds("window_sec", LONGEST_WINDOW)
    seconds = window.value if window else LOG_WINDOW
    if ("unit" in entry) == ("path" in entry):
        entry.wrong("unit", "either `unit` or `path`", found="both" if "unit" in entry else "neither")
        return None
    if "unit" in entry:
        fault = _unit_fault(entry.members["unit"])
        if fault is not None:
            entry.wrong("unit", "a systemd unit such as faucet_worker.service", fault)
        if "pattern" in entry:
            entry.wrong(
                "pattern", "no pattern with a unit", "Of a journal, entries of priority err and above count."
            )
        return Log(unit := str(entry.members["unit"]), unit, None, "", errors, seconds)
    path = _path(entry)
    pattern = _pattern(entry)
    return None if path is None or pattern is None else Log(path, None, path, pattern, errors, seconds)


def _path(entry: Block) -> str | None:
    if "path" not in entry:
        entry.wrong("path", _ABSOLUTE, found="nothing")
        return None
    fault = _path_fault(entry.members["path"])
    if fault is not None:
        entry.wrong("path", _ABSOLUTE, fault)
        return None
    return str(entry.members["path"])


def _pattern(entry: Block) -> str | None:
    given = entry.text("pattern", "a regular expression", LONGEST_TEXT)
    if given is None:
        return None if "pattern" in entry else ERRORS
    try:
        re.compile(given.value)
    except (re.error, RecursionError, OverflowError) as error:
        entry.wrong("pattern", "a regular expression", f"{error}."[:200].capitalize())
        return None
    return given.value
