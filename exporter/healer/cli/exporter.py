"""The subcommand `healer exporter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from healer.cli.options import listen_option, run_daemon, web_config_option
from healer.exporter.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from healer.web.listen import Address


@click.command()
@listen_option("127.0.0.1:9877")
@web_config_option
def exporter(listen: Address, web_config: Path | None) -> None:
    """Hear the heartbeats that the truth in Redis wires up, and expose them to Prometheus.

    HEALER_PUSH_TOKENS_FILE names the file with the tokens of services that post their beats.
    """
    run_daemon(run, listen, web_config)
