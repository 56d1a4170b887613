"""The subcommand `healer demo`."""

from __future__ import annotations

import sys

import click

from healer.demo.command import demo as play


@click.command()
@click.option("--once", is_flag=True, help="End after the story, with a verdict as exit status.")
@click.option(
    "--release",
    metavar="NAME",
    help="Take Prometheus and Alertmanager from this Debian release, not from PATH.",
)
def demo(*, once: bool, release: str | None) -> None:
    """Watch the whole story on real servers: a service dies, is missed, returns; then the monitor itself."""
    sys.exit(play(once=once, release=release))
