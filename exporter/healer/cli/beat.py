"""The subcommand `healer beat`."""

from __future__ import annotations

import sys

import click

from healer.beat import command as beats


@click.command()
@click.argument("svc")
@click.option(
    "--every",
    type=click.FloatRange(min=0.0),
    is_flag=False,
    flag_value=0.0,
    metavar="[SEC]",
    help="Beat until stopped, every SEC seconds; without SEC, as often as the truth says.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The Redis server, or http://EXPORTER to post there; the truth is then not asked.",
)
@click.option("--channel", metavar="NAME", help="The channel.  [default: the truth's, or SVC:heartbeat]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def beat(
    svc: str, every: float | None, url: str | None, channel: str | None, command: tuple[str, ...]
) -> None:
    """Publish a heartbeat of SVC: one; one every SEC seconds; or, after --, while COMMAND runs.

    Where and how often is read from the truth in Redis. A COMMAND is handed our signals, and its exit status is ours.
    """
    look = beats.look_for(svc, url, channel, every or None)
    if command:
        sys.exit(beats.during(svc, look, command, sys.stderr))
    if every is not None:
        sys.exit(beats.forever(svc, look, sys.stderr))
    sys.exit(beats.once(svc, look, sys.stdout, sys.stderr))
