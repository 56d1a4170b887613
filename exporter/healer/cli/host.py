"""The subcommand `healer host`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from healer.bundle.command import REDIS
from healer.bundle.source import FileSource, RedisSource
from healer.cli.options import listen_option, web_config_option
from healer.host.app import run, state_folder
from healer.runtime import process
from healer.truth.store import StoreError, location
from healer.web.blocks import WebConfigError
from healer.web.listen import ListenError

if TYPE_CHECKING:
    from healer.web.listen import Address


@click.command()
@click.option("--host", "name", required=True, metavar="NAME", help="This host, as the truth calls it.")
@click.option(
    "--truth", "source", default=REDIS, show_default=True, metavar="FILE", help="truth.json, or redis."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the logs were left.  [default: $STATE_DIRECTORY, else ~/.local/state/healer]",
)
@listen_option("127.0.0.1:9880")
@web_config_option
def host(name: str, source: str, state: Path | None, listen: Address, web_config: Path | None) -> None:
    """Look at the heartbeat files and logs of this host, and expose what is found to Prometheus."""
    try:
        truth = RedisSource(location(os.environ)) if source == REDIS else FileSource(Path(source))
        folder = state or state_folder(os.environ)
        sys.exit(process.run(run(listen, name, truth, folder, env=os.environ, web_config=web_config)))
    except (ListenError, StoreError, WebConfigError) as error:
        raise click.ClickException(str(error)) from None
