"""The subcommand `healer sentinel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from healer.cli.options import listen_option, run_daemon, web_config_option
from healer.sentinel.app import run
from healer.sentinel.settings import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from healer.web.listen import Address


@click.command()
@listen_option("127.0.0.1:9878")
@web_config_option
def sentinel(listen: Address, web_config: Path | None) -> None:
    """Turn Alertmanager's webhooks into events on Redis, and notice when they stop.

    Reads SENTINEL_TOKEN_FILE, the variables of docs/notifications.md for what it has to tell itself, SENTINEL_REPEAT_SEC,
    DEADMANSSWITCH_URL_FILE, DEADMANSSWITCH_BODY_FILE and DEADMANSSWITCH_INTERVAL_SEC.
    """
    try:
        run_daemon(run, listen, web_config)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
