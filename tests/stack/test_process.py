import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from healer.stack.process import Command, Process, ProcessError

SCRIPT = "import time; print('here I am', flush=True); time.sleep(60)"


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator:
    processes: list[Process] = []

    def process(script: str = SCRIPT, *, ready: str = "here I am", **more) -> Process:
        async def probe() -> bool:
            return ready in made.tail()

        made = Process(Command("child", [sys.executable, "-c", script], probe, **more), tmp_path)
        processes.append(made)
        return made

    yield process
    for each in processes:
        await each.kill()


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_process_is_started_awaited_and_stopped(make) -> None:
    process = make()
    await process.start()
    await process.wait_ready()
    pid = process.pid
    assert process.running
    assert alive(pid)
    await process.stop()
    assert not process.running
    assert not alive(pid)


async def test_it_runs_in_the_folder_it_needs_and_in_no_environment_but_its_own(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_ID", "a setting of some other program")
    script = "import os; print(*(os.environ.get(n) for n in ('GREETING', 'SERVICE_ID')), os.getcwd(), 'PATH' in os.environ)"
    process = make(script, ready="True", environment={"GREETING": "hello"}, directory=tmp_path)
    await process.start()
    await process.wait()
    assert process.tail() == f"hello None {tmp_path} True"


async def test_one_that_ends_at_once_shows_how_and_its_last_words(make) -> None:
    process = make(
        "import sys; print('\\n'.join(map(str, range(100))), flush=True); sys.exit('no such table')"
    )
    await process.start()
    with pytest.raises(
        ProcessError, match=r"(?s)child ended with exit status 1 before it was ready.*99\nno such"
    ) as error:
        await process.wait_ready()
    assert "\n50\n" not in str(error.value)


async def test_one_that_never_gets_ready_is_given_up_after_the_timeout(make) -> None:
    process = make(ready="something else")
    await process.start()
    with pytest.raises(ProcessError, match=r"not ready within 0\.4 s"):
        await process.wait_ready(0.4)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = Process(Command("ghost", ["/nowhere/ghost"], never), tmp_path)
    await process.start()
    with pytest.raises(ProcessError, match=r"cannot run /nowhere/ghost: .*No such file"):
        await process.wait_ready()


async def test_one_that_ignores_sigterm_is_killed_after_the_bound(make) -> None:
    process = make("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SCRIPT)
    await process.start()
    await process.wait_ready()
    assert 0.3 <= await process.stop(0.3) < 2
    assert not process.running


async def test_a_paused_process_can_still_be_stopped_politely(make) -> None:
    process = make()
    await process.start()
    await process.wait_ready()
    await process.pause()
    assert await process.stop() < 2


async def test_it_can_be_started_again_and_keeps_its_log(make) -> None:
    process = make(f"import os; print('I am', os.getpid()); {SCRIPT}")
    await process.start()
    await process.wait_ready()
    first = process.pid
    await process.kill()
    await process.restart()
    assert process.pid != first
    assert f"I am {first}" not in process.tail()
    assert f"I am {first}" in process.log.read_text()


async def test_a_second_start_is_refused(make) -> None:
    process = make()
    await process.start()
    with pytest.raises(ProcessError, match="runs already"):
        await process.start()


async def test_stopping_what_has_ended_or_never_began_does_nothing(make) -> None:
    process = make()
    await process.stop()
    await process.start()
    await process.kill()
    await process.stop()
    await process.kill()
    process.send_signal(signal.SIGHUP)


async def test_ctrl_c_in_the_terminal_does_not_reach_it(make) -> None:
    process = make()
    await process.start()
    await process.wait_ready()
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent_even_if_that_is_killed(tmp_path: Path, end: signal.Signals) -> None:
    parent = f"""
import asyncio, pathlib, sys
from healer.stack.process import Command, Process
async def ready(): return "here" in process.tail()
async def main():
    await process.start()
    await process.wait_ready()
    print(process.pid, flush=True)
    await asyncio.sleep(60)
process = Process(Command("child", [sys.executable, "-c", {SCRIPT!r}], ready), pathlib.Path({str(tmp_path)!r}))
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        child = int(popen.stdout.readline())
        assert alive(child)
        popen.send_signal(end)
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


async def test_a_signal_to_one_that_has_just_ended_loses_no_exit_status(
    make, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        process = make("import sys; print('here I am', flush=True); sys.exit(7)")
        await process.start()
        while process.running:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0)
        assert await process.wait() == 7
    assert caplog.text == ""
