"""A subcommand imports what it needs, and nothing for the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click import Command, Context

from healer.cli import COMMANDS, main


def loaded(code: str) -> set[str]:
    """Return the top-level packages, and those of healer, that `code` has imported."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {
        ".".join(name.split(".")[: 2 if name.startswith("healer.") else 1]) for name in done.stdout.split()
    }


def test_the_command_itself_loads_no_subcommand() -> None:
    assert not loaded("import healer.cli") & {"aiohttp", "redis", "jinja2", "healer.exporter", "healer.truth"}


def test_a_daemon_loads_no_other() -> None:
    names = loaded("from healer.cli import main; main.get_command(None, 'sentinel')")
    assert "healer.sentinel" in names
    assert not names & {"healer.exporter", "healer.autoheal", "healer.bundle", "healer.demo", "promql_parser"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_subcommand_is_found_under_its_name(name) -> None:
    found = main.get_command(Context(main), name)
    assert isinstance(found, Command)
    assert (found.name, bool(found.help)) == (name, True)
