"""The subcommand `healer autoheal`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from healer.autoheal.app import StartError, run
from healer.autoheal.report import check as check_policy
from healer.cli.options import listen_option, web_config_option
from healer.runtime import process
from healer.web.blocks import WebConfigError
from healer.web.listen import ListenError

if TYPE_CHECKING:
    from healer.web.listen import Address


@click.command()
@listen_option("127.0.0.1:9009")
@web_config_option
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default="autoheal.yml",
    show_default=True,
    help="What may be done.",
)
@click.option("--check", is_flag=True, help="Only say what the file allows, or what is wrong with it.")
def autoheal(listen: Address, web_config: Path | None, config: Path, *, check: bool) -> None:
    """Act on Alertmanager's alerts as a policy file allows; disabled and a dry run unless told otherwise.

    Reads AUTOHEAL_ENABLED, AUTOHEAL_DRY_RUN, AUTOHEAL_TOKEN_FILE, AUTOHEAL_AUDIT_PATH,
    AUTOHEAL_DEFAULT_COOLDOWN_SEC, AUTOHEAL_CGROUP, AUTOHEAL_PUBLIC_URL and ALERTMANAGER_URL.
    """
    if check:
        sys.exit(check_policy(config))
    try:
        sys.exit(process.run(run(listen, config, os.environ, web_config)))
    except (ListenError, StartError, WebConfigError) as error:
        raise click.ClickException(str(error)) from None
