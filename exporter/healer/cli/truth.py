"""The subcommands of `healer truth`."""

from __future__ import annotations

import os
import sys

import click

from healer.truth import report


@click.group()
def truth() -> None:
    """Check, show and seed the wiring document, truth.json."""


@truth.command("check")
@click.argument("source", metavar="FILE")
def truth_check(source: str) -> None:
    """Say whether FILE (- for standard input) loads, and everything that is wrong with it."""
    sys.exit(report.check(source, os.environ, sys.stdout, sys.stderr))


@truth.command("show")
@click.argument("source", metavar="[FILE]", required=False)
@click.option("--json", is_flag=True, help="For programs.")
def truth_show(source: str | None, *, json: bool) -> None:
    """Show what FILE (- for standard input), or the truth in Redis, means, and where each value comes from."""
    sys.exit(report.show(source, os.environ, sys.stdout, sys.stderr, json=json))


@truth.command("seed")
@click.argument("source", metavar="FILE")
def truth_seed(source: str) -> None:
    """Write FILE (- for standard input) to every bus that it names; running daemons take it up by themselves."""
    sys.exit(report.seed(source, os.environ, sys.stdout, sys.stderr))
