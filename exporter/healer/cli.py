"""The command `healer`: every subcommand reads its options and calls one function."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from healer import __version__
from healer.runtime import log
from healer.truth.store import Location, StoreError, location
from healer.web.listen import Address, ListenError, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Listen(click.ParamType[Address]):
    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _listen_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--listen",
        type=_Listen(),
        default=default,
        show_default=True,
        help="Where to serve HTTP; :PORT is every interface.",
    )


def _location() -> Location:
    try:
        return location(os.environ)
    except StoreError as error:
        raise click.UsageError(str(error)) from None


def _daemon(start: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a daemon to its end; a failure to start is one line, not a traceback."""
    try:
        status = asyncio.run(start)
    except ListenError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="healer")
@click.option(
    "--log-level",
    type=click.Choice(log.LEVELS, case_sensitive=False),
    envvar="LOG_LEVEL",
    default="INFO",
    show_default=True,
    help="The least level logged, to standard error. [env: LOG_LEVEL]",
)
def main(log_level: str) -> None:
    """Prometheus-native heartbeat monitoring for services on a Redis bus."""
    log.configure(log_level.upper())


@main.command()
@_listen_option("127.0.0.1:9877")
def exporter(listen: Address) -> None:
    """Hear heartbeats and expose them to Prometheus.

    The truth is read from Redis: TRUTH_REDIS_URL, else REDIS_URL, else redis://system-redis:6379, key TRUTH_REDIS_KEY
    (default truth:doc).
    """
    from healer.exporter.app import run

    place = _location()
    _daemon(run(listen, place.url, place.key, os.environ))


@main.command()
@_listen_option("127.0.0.1:9878")
def sentinel(listen: Address) -> None:
    """Turn Alertmanager's webhooks into events on Redis, and notice when they stop.

    The truth is read from Redis, as `healer exporter --help` says.
    """
    from healer.sentinel.app import run

    place = _location()
    _daemon(run(listen, place.url, place.key, os.environ))
