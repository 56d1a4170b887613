"""What is acknowledged is on the disk; what is not whole is not guessed at; what fails stops."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from healer.autoheal.events import Event, Kind
from healer.autoheal.journal import Journal, JournalError
from healer.autoheal.recovery import needed


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "audit.jsonl", needed)
    yield made
    made.close()


def event(number=0, kind=Kind.SELF_TEST, **given):
    return Event(kind, ts=1000.0 + number, **given)


def reopened(journal):
    journal.close()
    again = Journal(journal.path, needed)
    try:
        return again.open()
    finally:
        again.close()


@contextmanager
def full_disk(size):
    """Let no file of this process grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_events_are_numbered_in_order_across_restarts(journal):
    assert journal.open() == []
    assert [each.seq for each in await journal.append(event(1), event(2))] == [1, 2]
    journal.close()
    again = Journal(journal.path, needed)
    assert [each.ts for each in again.open()] == [1001.0, 1002.0]
    assert [each.seq for each in await again.append(event(3))] == [3]
    again.close()


async def test_those_that_come_together_share_a_write(journal):
    journal.open()
    batches = await asyncio.gather(*(journal.append(event(n), event(n)) for n in range(50)))
    assert sorted(each.seq for batch in batches for each in batch) == list(range(1, 101))
    assert [each.seq for each in reopened(journal)] == list(range(1, 101))


async def test_a_last_line_that_was_cut_off_never_counted(journal):
    journal.open()
    await journal.append(event(1), event(2))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"kind":"action_start","ts":1003')
    assert [each.seq for each in reopened(journal)] == [1, 2]
    assert journal.path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "broken", [b"nonsense", b"\0\0\0", b"5", b'{"ts":5}', b'{"kind":"x","ts":"soon"}', b"\xff"]
)
async def test_a_broken_line_stops_everything_and_is_named(journal, broken):
    journal.open()
    await journal.append(event(1))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(broken + b"\n" + b'{"kind":"self_test","ts":1,"seq":3}\n')
    with pytest.raises(JournalError, match=r"audit\.jsonl:2: this line is no event"):
        reopened(journal)


def test_a_second_process_is_refused(journal):
    journal.open()
    with pytest.raises(JournalError, match="another autoheal has it"):
        Journal(journal.path, needed).open()


def test_a_folder_that_cannot_be_written_is_refused():
    with pytest.raises(JournalError, match="/proc/nowhere"):
        Journal(Path("/proc/nowhere/audit.jsonl"), needed).open()


async def test_a_full_disk_is_a_fault_until_there_is_room(journal):
    journal.open()
    await journal.append(event(1, detail="x" * 500_000))  # larger than anything else that this process writes
    with full_disk(journal.path.stat().st_size + 20):
        with pytest.raises(JournalError, match="File too large"):
            await journal.append(event(2))
        assert journal.fault is not None
        with pytest.raises(JournalError):
            await journal.append(event(2))
        assert not await journal.heal()
    assert await journal.heal()
    assert [each.seq for each in await journal.append(event(3))] == [2]
    assert [each.ts for each in reopened(journal)] == [1001.0, 1003.0]


async def test_a_file_that_was_moved_away_is_a_fault(journal):
    journal.open()
    await journal.append(event(1))
    journal.path.rename(journal.path.with_name("moved"))
    with pytest.raises(JournalError, match="No such file"):
        await journal.append(event(2))
    journal.path.touch()
    assert not await journal.heal()
    assert "replaced by another file" in journal.fault


async def test_a_record_put_aside_leaves_a_new_one_that_still_holds_cooldowns(tmp_path):
    journal = Journal(tmp_path / "audit.jsonl", needed, rotate_bytes=4000)
    journal.open()
    await journal.append(
        event(0, Kind.ACTION_START, id="r1", action="restart", target="a", cooldown_sec=600.0),
        event(1, Kind.ACTION_OK, id="r1", action="restart", target="a"),
        event(2, Kind.BREAKER_OPEN),
    )
    for number in range(3, 200):
        await journal.append(event(number))
    events = reopened(journal)
    assert journal.path.stat().st_size < 5000
    assert (tmp_path / "audit.jsonl.1").exists()
    assert [each.kind for each in events[:3]] == ["action_start", "action_ok", "breaker_open"]
    assert events[-1].seq == 200


WRITER = """
import asyncio, sys
from pathlib import Path
from healer.autoheal.events import Event
from healer.autoheal.journal import Journal
async def main():
    journal = Journal(Path(sys.argv[1]), lambda events: events[-5:], rotate_bytes=int(sys.argv[2]))
    journal.open()
    while True:
        for event in await journal.append(*[Event("self_test", ts=1.0, detail="x" * 300)] * 3):
            print(event.seq, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("rotate", [1 << 30, 20_000])
def test_whatever_was_acknowledged_survives_a_kill_at_any_point(tmp_path, rotate):
    path, last = tmp_path / "audit.jsonl", 0
    for number in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(rotate)], stdout=subprocess.PIPE, text=True
        )
        seen = [int(writer.stdout.readline()) for _ in range(1 + 37 * number)]
        writer.send_signal(signal.SIGKILL)
        seen += [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
        writer.stdout.close()
        assert seen[0] == last + 1 or seen[0] > last
        journal = Journal(path, needed)
        events = journal.open()
        journal.close()
        numbers = [each.seq for each in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[-1] >= seen[-1]
        last = numbers[-1]
