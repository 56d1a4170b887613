"""What `healer truth` does: checks, shows and seeds a document, and says so in text with an exit status."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from healer.runtime.redact import safe_url
from healer.truth.load import parse, read_file
from healer.truth.problems import Severity, TruthError
from healer.truth.seed import Outcome, Seeded
from healer.truth.seed import seed as seed_buses
from healer.truth.show import as_json, tables
from healer.truth.store import StoreError, fetch, location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from healer.truth.load import Loaded
    from healer.truth.problems import Problem

OK = 0
BAD = 1
STANDARD_INPUT = "-"
WIDE = 10_000
"""Columns enough for any table in a file or pipe, where nothing has to wrap."""


def read(source: str | None, env: Mapping[str, str]) -> tuple[bytes, Loaded]:
    """Return a document as it stands and as it loaded.

    Args:
        source: A file, `-` for standard input, or None for the document in Redis.
        env: Environment variables.

    Raises:
        TruthError: It cannot be read or used.
        StoreError: Redis does not hand it out.
    """
    if source is None:
        place = location(env)
        raw, name = asyncio.run(fetch(*place)), repr(place)
    elif source == STANDARD_INPUT:
        raw, name = sys.stdin.buffer.read(), "standard input"
    else:
        name = source
        raw = read_file(Path(source))
    return raw, parse(raw, env=env, source=name)


def check(source: str | None, env: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Say whether a document loads, and everything that is wrong or doubtful; return the exit status."""
    loaded = _read_or_say(source, env, err)
    if loaded is None:
        return BAD
    truth = loaded[1].truth
    services, buses = _count(len(truth.services), "service"), _count(len(truth.buses), "bus")
    doubts = f", {_count(len(loaded[1].warnings), 'warning')}" if loaded[1].warnings else ""
    print(f"{loaded[1].source}: ok: {services} on {buses}, sha256 {truth.sha256[:12]}{doubts}", file=out)
    return OK


def show(source: str | None, env: Mapping[str, str], out: TextIO, err: TextIO, *, json: bool = False) -> int:
    """Show what a document means and where each value comes from; return the exit status."""
    loaded = _read_or_say(source, env, err)
    if loaded is None:
        return BAD
    if json:
        print(as_json(loaded[1]), file=out)
        return OK
    if out.isatty():
        console = Console(file=out, highlight=False)
        for part in tables(loaded[1].truth, plain=False):
            console.print(part)
        return OK
    text = io.StringIO()
    console = Console(file=text, width=WIDE, color_system=None, highlight=False)
    for part in tables(loaded[1].truth, plain=True):
        console.print(part, soft_wrap=True)
        console.print()
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip(), file=out)
    return OK


def seed(source: str, env: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Write a document that loads to every bus it names, say what changed there; return the exit status."""
    loaded = _read_or_say(source, env, err)
    if loaded is None:
        print("nothing was seeded", file=err)
        return BAD
    try:
        key = location(env).key
    except StoreError as error:
        print(error, file=err)
        return BAD
    results = asyncio.run(seed_buses(*loaded, key, env))
    for result in results:
        print(_line(result, key), file=err if result.outcome is Outcome.FAILED else out)
    return BAD if any(result.outcome is Outcome.FAILED for result in results) else OK


def _line(result: Seeded, key: str) -> str:
    head = f"{result.bus.name}: {key} {result.outcome} at {safe_url(result.bus.url)}"
    if result.outcome is Outcome.FAILED:
        return f"{result.bus.name}: {key} not written: {result.details[0]}"
    return "\n".join([head, *(f"  {detail}" for detail in result.details)])


def _read_or_say(source: str | None, env: Mapping[str, str], err: TextIO) -> tuple[bytes, Loaded] | None:
    """Return what `read` does, or None after saying what is wrong; warnings are said in either case."""
    try:
        raw, loaded = read(source, env)
    except StoreError as error:
        print(error, file=err)
        return None
    except TruthError as error:
        print(error, file=err)
        print(f"{error.source}: {_summary(error.problems)}", file=err)
        return None
    for problem in loaded.warnings:
        print(problem.render(loaded.source), file=err)
    return raw, loaded


def _summary(problems: Sequence[Problem]) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = f", {_count(len(problems) - errors, 'warning')}" if len(problems) > errors else ""
    return f"{_count(errors, 'error')}{warnings}"


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{number} {what}{'' if number == 1 else plural}"
