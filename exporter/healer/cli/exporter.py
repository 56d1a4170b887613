"""The subcommand `healer exporter`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from healer.cli.options import listen_option, run_daemon, web_config_option
from healer.exporter.app import run
from healer.truth.shard import MOST_SERVICES, Shard, parse_shard

if TYPE_CHECKING:
    from pathlib import Path

    from healer.web.listen import Address


class _Shard(click.ParamType[tuple[int, int]]):
    """A part of the services, `K/N`."""

    name = "k/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        try:
            return parse_shard(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@listen_option("127.0.0.1:9877")
@web_config_option
@click.option(
    "--shard",
    type=_Shard(),
    default="1/1",
    metavar="K/N",
    help="Watch the K-th of N parts of the services; each service is in one, by its name.",
)
@click.option(
    "--max-services",
    type=click.IntRange(min=1),
    default=MOST_SERVICES,
    show_default=True,
    help="Refuse a truth with more for this exporter.",
)
def exporter(listen: Address, web_config: Path | None, shard: tuple[int, int], max_services: int) -> None:
    """Hear the heartbeats that the truth in Redis wires up, and expose them to Prometheus.

    HEALER_PUSH_TOKENS_FILE names the file with the tokens of services that post their beats.
    """
    run_daemon(partial(run, shard=Shard(*shard, max_services)), listen, web_config)
