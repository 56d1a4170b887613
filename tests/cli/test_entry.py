"""The command as a Unix tool: interrupted while it starts, on a full disk, before a pipe that nobody reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TRUTH = str(Path(__file__).parents[2] / "truth.json")
HEALER = [sys.executable, "-m", "healer"]
INTERRUPTED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["healer", {command!r}, "--help"]
from healer.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "command"), [("healer.cli", "truth"), ("click", "truth"), ("jinja2", "bundle")]
)
def test_ctrl_c_while_it_starts_is_a_death_without_words(module: str, command: str) -> None:
    code = INTERRUPTED.format(module=module, command=command)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # A shell calls it 130.
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_later_can_be_cleaned_up_after() -> None:
    code = INTERRUPTED.format(module="nothing", command="truth").replace('"--help"', '"check", "-"')
    code = code.replace("from healer.__main__", "sys.stdin = None\nfrom healer.__main__")
    code = code.replace(
        "\nmain()", "\nimport atexit; atexit.register(lambda: print(signal.getsignal(2)))\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "default_int_handler" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["bundle", "--help"], ["truth", "show", TRUTH], ["truth", "show", "--json", TRUTH]],
)
def test_a_full_disk_is_said_in_a_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*HEALER, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "healer: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [["bundle", "--help"], ["truth", "show", TRUTH]])
def test_who_reads_no_further_hears_nothing(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*HEALER, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
