"""Options that daemons have in common, and how a daemon is run from the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from healer.runtime import process
from healer.truth.store import StoreError, location
from healer.web.blocks import WebConfigError
from healer.web.listen import Address, ListenError, parse_address
from healer.web.tokens import TokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    Daemon = Callable[[Address, str, str, Mapping[str, str], Path | None], Coroutine[Any, Any, int]]


class ListenAddress(click.ParamType[Address]):
    """An address to serve at."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Return the address that `value` writes."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def listen_option(
    default: str, text: str = "Where to serve HTTP; :PORT is every interface."
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the decorator that adds `--listen`."""
    return click.option("--listen", type=ListenAddress(), default=default, show_default=True, help=text)


def web_config_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--web.config.file` to a command."""
    text = "TLS, users and headers, in exporter-toolkit's format; read again when it changes."
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--web.config.file", "web_config", type=kind, metavar="FILE", help=text)(command)


def run_daemon(run: Daemon, listen: Address, web_config: Path | None) -> NoReturn:
    """Run a daemon to its end; a failure to start is one line, not a traceback."""
    try:
        place = location(os.environ)
        sys.exit(process.run(run(listen, place.url, place.key, os.environ, web_config)))
    except (ListenError, StoreError, WebConfigError, TokenError) as error:
        raise click.ClickException(str(error)) from None
