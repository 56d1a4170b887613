"""The subcommand `healer host`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from healer.bundle.command import REDIS
from healer.bundle.source import FileSource, RedisSource
from healer.cli.options import listen_option, web_config_option
from healer.host.app import run, state_folder
from healer.runtime import process
from healer.truth.limits import Level
from healer.truth.store import StoreError, location
from healer.web.blocks import WebConfigError
from healer.web.listen import ListenError

if TYPE_CHECKING:
    from healer.web.listen import Address


@click.command()
@click.option(
    "--host",
    "name",
    default=socket.gethostname,
    show_default="this machine's hostname",
    metavar="NAME",
    help="This host, as the truth calls it.",
)
@click.option(
    "--truth", "source", default=REDIS, show_default=True, metavar="FILE", help="truth.json, or redis."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the logs were left.  [default: $STATE_DIRECTORY, else ~/.local/state/healer]",
)
@click.option(
    "--unhealthy-at",
    "unhealthy",
    type=click.Choice([Level.WARNING, Level.UNKNOWN, Level.CRITICAL], case_sensitive=False),
    multiple=True,
    default=(Level.CRITICAL,),
    show_default=True,
    help="At which level of anything /health answers 503, CRITICAL always; repeatable.",
)
@listen_option("127.0.0.1:9880")
@web_config_option
def host(
    name: str,
    source: str,
    state: Path | None,
    listen: Address,
    web_config: Path | None,
    *,
    unhealthy: tuple[Level, ...],
) -> None:
    """Look at this host: show Prometheus its heartbeat files and logs, and say at /health whether all is well."""
    try:
        truth = RedisSource(location(os.environ)) if source == REDIS else FileSource(Path(source))
        folder = state or state_folder(os.environ)
        running = run(listen, name, truth, folder, unhealthy=unhealthy, env=os.environ, web_config=web_config)
        sys.exit(process.run(running))
    except (ListenError, StoreError, WebConfigError) as error:
        raise click.ClickException(str(error)) from None
