"""The log reader, on real files: rotation, truncation, partial and long lines, noise, and a simple model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.host.tail import Cursor, ProbeError, Tail

ERROR = "ERROR"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "worker.log"
    path.write_bytes(b"ERROR before we came\n")
    return path


@pytest.fixture
def tail(log: Path) -> Tail:
    tail = Tail(str(log), ERROR, None)
    tail.look()
    return tail


def count(tail: Tail) -> int:
    tail.look()
    return tail.cursor.errors


def test_begins_at_the_end_and_counts_what_comes(tail: Tail, log: Path) -> None:
    assert tail.cursor.errors == 0
    append(log, b"fine\nERROR one\nERROR two\n")
    assert count(tail) == 2
    assert count(tail) == 2


def test_a_partial_line_is_judged_once_it_is_whole(tail: Tail, log: Path) -> None:
    append(log, b"ERR")
    assert count(tail) == 0
    append(log, b"OR\n")
    assert count(tail) == 1


def test_a_rotated_file_is_read_to_its_end_first(tail: Tail, log: Path) -> None:
    append(log, b"ERROR old\nERROR unfinished")
    log.rename(log.with_suffix(".log.1"))
    log.write_bytes(b"ERROR new\n")
    assert count(tail) == 3


def test_a_rotated_file_that_was_compressed_and_deleted_is_still_read(tail: Tail, log: Path) -> None:
    append(log, b"ERROR old\n")
    log.unlink()
    log.write_bytes(b"ERROR new\n")
    assert count(tail) == 2


def test_a_rotation_during_a_restart_loses_nothing(tail: Tail, log: Path) -> None:
    append(log, b"ERROR old\n")
    tail.close()
    log.rename(log.with_name("worker.log.1"))
    log.write_bytes(b"ERROR new\n")
    assert count(Tail(str(log), ERROR, Cursor(**vars(tail.cursor)))) == 2


def test_a_truncated_file_is_read_from_its_beginning(tail: Tail, log: Path) -> None:
    log.write_bytes(b"ERROR a\n")
    assert count(tail) == 1


def test_a_truncated_file_that_has_grown_beyond_what_was_read_is_known(tail: Tail, log: Path) -> None:
    log.write_bytes(b"written anew\n" + b"ERROR a\n" * 10)
    assert count(tail) == 10


def test_of_a_long_line_only_the_beginning_counts_and_noise_hurts_nobody(tail: Tail, log: Path) -> None:
    append(log, b"x" * 5000 + b"ERROR\n" + bytes(range(256)) * 100 + b"\nERROR " + b"y" * 9000)
    assert count(tail) == 1
    append(log, b" ERROR, the same line\nERROR next\n")
    assert count(tail) == 2


def test_a_backlog_beyond_the_bound_is_skipped_and_counted(log: Path) -> None:
    tail = Tail(str(log), ERROR, None, most=1000)
    tail.look()
    append(log, b"ERROR xxx\n" * 500)
    assert count(tail) == 99
    assert tail.cursor.skipped == 4000


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "late.log"
    tail = Tail(str(path), ERROR, None)
    with pytest.raises(ProbeError, match="no such file"):
        tail.look()
    path.write_bytes(b"ERROR\n")
    assert count(tail) == 1


def test_what_is_no_file_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="not a file"):
        Tail(str(tmp_path), ERROR, None).look()


PIECES = st.sampled_from([b"ERROR", b"\n", b"fine", b"\x00\xff", b"z" * 5000])


@given(st.lists(st.one_of(PIECES, st.sampled_from(["look", "rotate", "restart"])), max_size=40))
def test_counts_as_a_reader_of_everything_would(steps: list[bytes | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.log"
        path.touch()
        files, tail = [b""], Tail(str(path), ERROR, None)
        tail.look()
        for step in steps:
            if isinstance(step, bytes):
                append(path, step)
                files[-1] += step
            elif step == "look":
                tail.look()
            elif step == "rotate":
                tail.look()
                path.rename(path.with_name(f"a.log.{len(files)}"))
                path.touch()
                files.append(b"")
                tail.look()
            else:
                tail.close()
                tail = Tail(str(path), ERROR, Cursor(**vars(tail.cursor)))
        append(path, b"\n")
        files[-1] += b"\n"
        expected = sum(b"ERROR" in line[:4096] for file in files for line in file.split(b"\n"))
        assert count(tail) == expected
        tail.close()
