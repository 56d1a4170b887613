"""Recent errors in a log file at one look: by the lines' own times, over rotation, and without anybody's cursor."""

from __future__ import annotations

import gzip
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from healer.host import recent
from healer.host.probe import Probe
from healer.host.recent import errors_since
from healer.host.tail import ProbeError
from healer.truth.machines import Host, Log

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
SINCE = NOW - 900


def of(path: Path) -> Log:
    return Log(str(path), None, str(path), "ERROR", 0, 900.0)


def line(age: float, text: str = "ERROR", form: str = "%Y-%m-%d %H:%M:%S,123") -> str:
    return f"{datetime.fromtimestamp(NOW - age, UTC).astimezone().strftime(form)} {text}\n"


def write(path: Path, *lines: str, age: float = 0) -> None:
    path.write_text("".join(lines))
    os.utime(path, (NOW - age, NOW - age))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def test_only_what_is_within_the_window_counts(log: Path) -> None:
    write(log, line(2000), line(901), line(899), line(5, "fine"), line(1))
    assert errors_since(of(log), SINCE) == 2


@pytest.mark.parametrize(
    "form", ["%Y-%m-%dT%H:%M:%S.000001", "[%Y-%m-%d %H:%M:%S]", '{"ts": "%Y-%m-%dT%H:%M:%S"}']
)
def test_times_are_read_as_programs_write_them(log: Path, form: str) -> None:
    write(log, line(2000, form=form), line(10, form=form))
    assert errors_since(of(log), SINCE) == 1


@pytest.mark.parametrize(("zone", "shift"), [("Z", 0), ("+00:00", 0), (" +0200", 7200), ("-05:30", -19_800)])
def test_a_zone_counts(log: Path, zone: str, shift: float) -> None:
    def at(age: float) -> str:
        return datetime.fromtimestamp(NOW - age + shift, UTC).strftime(f"%Y-%m-%d %H:%M:%S{zone} ERROR\n")

    write(log, at(901), at(899))
    assert errors_since(of(log), SINCE) == 1


def test_a_line_without_a_time_belongs_to_the_one_before(log: Path) -> None:
    write(log, line(2000), "ERROR of then\n", line(10, "trace"), "ERROR of now\n", "ERROR too\n")
    assert errors_since(of(log), SINCE) == 2


def test_a_file_that_nobody_wrote_to_has_no_recent_errors_whatever_is_in_it(log: Path) -> None:
    write(log, "ERROR\n", age=1000)
    assert errors_since(of(log), SINCE) == 0


def test_an_empty_file_has_none(log: Path) -> None:
    write(log)
    assert errors_since(of(log), SINCE) == 0


def test_a_rotation_within_the_window_is_read_over(log: Path) -> None:
    write(log.with_name("a.log.2"), line(3000), age=2900)
    write(log.with_name("a.log.1"), line(2000), line(500), line(400), age=400)
    write(log, line(300), line(100))
    assert errors_since(of(log), SINCE) == 4
    write(log)
    assert errors_since(of(log), SINCE) == 2


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda log: None, "no such file"),
        (lambda log: log.mkdir(), "not a file"),
        (lambda log: write(log, "ERROR without a time\n"), "bear no time"),
        (lambda log: (write(log, line(10)), _compressed(log)), "which is compressed"),
        (
            lambda log: [write(log.with_name(f"a.log{n}"), line(10), age=9) for n in ("", ".1", ".2")],
            "2 times",
        ),
    ],
)
def test_what_nobody_can_tell_is_said_so(log: Path, prepare, why: str) -> None:
    prepare(log)
    with pytest.raises(ProbeError, match=re.escape(why)):
        errors_since(of(log), SINCE)


def _compressed(log: Path) -> None:
    path = log.with_name("a.log.1.gz")
    path.write_bytes(gzip.compress(line(20).encode()))
    os.utime(path, (NOW - 20, NOW - 20))


def test_more_than_can_be_looked_at_is_unknown(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_BYTES", 2000)
    write(log, *[line(2000)] * 100, *[line(10)] * 20)
    assert errors_since(of(log), SINCE) == 20
    write(log, *[line(10)] * 100)
    with pytest.raises(ProbeError, match="too much"):
        errors_since(of(log), SINCE)


def test_noise_hurts_nobody(log: Path) -> None:
    log.write_bytes(bytes(range(256)) * 50 + b"\n" + line(10).encode() + b"9999-99-99 99:99:99 ERROR\n")
    os.utime(log, (NOW, NOW))
    assert errors_since(of(log), SINCE) == 2


def test_the_cursor_of_healer_host_stays_where_it_is(log: Path, tmp_path: Path) -> None:
    write(log, line(10))
    probe = Probe(Host("vm", "vm:9100", logs=(of(log),)), tmp_path / "state")
    probe.look()
    (state,) = (tmp_path / "state").iterdir()
    before = state.read_bytes()
    with log.open("a") as file:
        file.write(line(5))
    os.utime(log, (NOW, NOW))
    assert errors_since(of(log), SINCE) == 2
    assert state.read_bytes() == before
    assert probe.look().errors == {str(log): 1}
