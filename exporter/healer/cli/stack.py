"""The subcommands of `healer stack`."""

from __future__ import annotations

import click

from healer.stack.servers import MissingServersError
from healer.stack.servers import find as find_servers


@click.group()
def stack() -> None:
    """The servers that the demo and the tests run on."""


@stack.command("fetch")
@click.option(
    "--release", metavar="NAME", help="The Debian release to fetch from; by default PATH, else this system's."
)
def stack_fetch(release: str | None) -> None:
    """Find redis-server, Prometheus, Alertmanager, promtool and amtool, or fetch them into a private cache."""
    try:
        servers = find_servers(release, say=click.echo)
    except MissingServersError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"stack: {servers}")
