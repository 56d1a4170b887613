"""The command `healer`: one module for each subcommand, which reads its options and calls one function."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from healer import __version__
from healer.runtime import log, process

COMMANDS = {
    "exporter": "healer.cli.exporter",
    "sentinel": "healer.cli.sentinel",
    "host": "healer.cli.host",
    "check": "healer.host.command",
    "autoheal": "healer.cli.autoheal",
    "beat": "healer.cli.beat",
    "truth": "healer.cli.truth",
    "bundle": "healer.cli.bundle",
    "shadow": "healer.shadow.command",
    "demo": "healer.cli.demo",
    "stack": "healer.cli.stack",
}
"""The subcommands, each with the module that has it, under the same name."""


class _Late(click.Group):
    """A group that imports a subcommand when it is asked for: each needs a part of the package and of its libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", getattr(import_module(COMMANDS[cmd_name]), cmd_name))


@click.group(cls=_Late, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="healer")
@click.option(
    "--log-level",
    type=click.Choice(log.LEVELS, case_sensitive=False),
    envvar="LOG_LEVEL",
    default="INFO",
    show_default=True,
    show_envvar=True,
    help="The least level logged, to standard error.",
)
def main(log_level: str) -> None:
    """Prometheus-native heartbeat monitoring for services on a Redis bus.

    The truth in Redis is read at TRUTH_REDIS_URL, else REDIS_URL, else redis://system-redis:6379, under the key
    TRUTH_REDIS_KEY, by default truth:doc.
    """
    process.end_on_hangup()
    process.heed_interrupt()
    log.configure(log_level.upper())
