"""The subcommand `healer check`: looks at this host once, says what it found, and hands it on if asked to."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from healer.bundle.settings import Settings
from healer.bundle.source import FileSource, RedisSource
from healer.host.ask import AskError, Server
from healer.host.check import Check
from healer.host.findings import KINDS
from healer.host.restart import ask_for_restarts
from healer.host.tell import tell
from healer.runtime import process, secrets
from healer.runtime.clock import SystemClock
from healer.truth.limits import Level
from healer.truth.load import parse
from healer.truth.problems import TruthError
from healer.truth.store import StoreError, location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.host.findings import Report
    from healer.host.restart import Decision
    from healer.truth.machines import Host

REDIS: Final = "redis"
EXIT: Final = {Level.HEALTHY: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}
"""Exit statuses by the convention of monitoring plugins."""

NOT_TOLD: Final = 4
"""Exit status if Alertmanager or autoheal could not be asked; the convention takes what it does not know for UNKNOWN."""

NARROWEST, WIDEST = 60, 120
_LEVEL = max(map(len, Level))


class _Check(click.Command):
    """A command whose misuse is UNKNOWN: click's own status for that would be CRITICAL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = EXIT[Level.UNKNOWN]  # type: ignore[misc]  # click declares it of the class
            raise


class _UnknownError(click.ClickException):
    exit_code = EXIT[Level.UNKNOWN]


@click.command("check", cls=_Check)
@click.option(
    "--host", "name", metavar="NAME", help="This host, as the truth calls it.  [default: its hostname]"
)
@click.option(
    "--truth", "source", default=REDIS, show_default=True, metavar="FILE", help="truth.json, or redis."
)
@click.option("--only", type=click.Choice(list(KINDS)), multiple=True, help="Look at this alone; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--alert", is_flag=True, help="Tell Alertmanager what was found, or that it is over.")
@click.option(
    "--alertmanager-url",
    envvar="ALERTMANAGER_URL",
    default="http://127.0.0.1:9093",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="With --alert.",
)
@click.option(
    "--alert-for",
    "stands",
    type=click.FloatRange(1.0),
    default=900.0,
    show_default=True,
    metavar="SEC",
    help="With --alert: alerts resolve by themselves after so long unless a check repeats them.",
)
@click.option("--restart", is_flag=True, help="Have autoheal decide about restarting what failed.")
@click.option(
    "--autoheal-url",
    envvar="AUTOHEAL_URL",
    default="http://127.0.0.1:9009",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="With --restart.",
)
@click.option(
    "--autoheal-token-file",
    "token_file",
    envvar="AUTOHEAL_CREDENTIALS_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    metavar="FILE",
    help="With --restart: holds autoheal's token.",
)
def check(
    name: str | None, source: str, only: tuple[str, ...], *, as_json: bool, alert: bool, alertmanager_url: str,
    stands: float, restart: bool, autoheal_url: str, token_file: Path | None,
) -> None:  # fmt: skip
    """Look at this host once: units, disks, memory, heartbeat files and recent errors in logs.

    Exits with 0 (HEALTHY), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN), or with 4 if Alertmanager or autoheal were to be
    asked and could not be. Needs no Prometheus.
    """
    sys.exit(
        process.run(
            _run(
                name,
                source,
                only or tuple(KINDS),
                as_json=as_json,
                manager=_Asked(alertmanager_url, stands=stands) if alert else None,
                autoheal=_Asked(autoheal_url, token_file) if restart else None,
            )
        )
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom to ask, and with what."""

    url: str
    token_file: Path | None = None
    stands: float = 0.0


async def _run(
    name: str | None,
    source: str,
    only: tuple[str, ...],
    *,
    as_json: bool,
    manager: _Asked | None,
    autoheal: _Asked | None,
) -> int:
    runbook = Settings.from_env({}, runbook_base=os.environ.get("HEALER_RUNBOOK_BASE") or None).runbook
    host = await _host(name, source, os.environ)
    report = await Check(SystemClock()).look(host, only)
    shown, said, errors = report.show(), list[str](), list[str]()
    if manager is not None:
        try:
            told = await tell(report, Server("Alertmanager", manager.url), runbook, stands=manager.stands)
            shown["alert"] = {"raised": told.raised, "resolved": told.resolved, "error": None}
            said.append(f"Alertmanager was told: {told.raised} raised, {told.resolved} resolved")
        except AskError as error:
            shown["alert"] = {"raised": 0, "resolved": 0, "error": str(error)}
            errors.append(f"nobody was alerted. {error}")
    if autoheal is not None:
        try:
            token = "" if autoheal.token_file is None else secrets.read(autoheal.token_file)
            decisions = await ask_for_restarts(report, Server("autoheal", autoheal.url, token), runbook)
            shown["restart"] = {"decisions": [decision.show() for decision in decisions], "error": None}
            said += [_decided(decision) for decision in decisions] or ["autoheal: nothing to restart"]
        except (AskError, secrets.SecretError) as error:
            shown["restart"] = {"decisions": [], "error": str(error)}
            errors.append(f"no restart was asked for. {error}")
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for line in [*lines(report, width())[:-1], *said, lines(report, width())[-1]]:
            click.echo(line)
    for text in errors:
        click.echo(f"Error: {text}", err=True)
    return NOT_TOLD if errors else EXIT[report.level]


def _decided(decision: Decision) -> str:
    parts = (decision.kind, decision.why, decision.command)
    return f"autoheal, {decision.alert} {decision.name}: {', '.join(part for part in parts if part)}"


async def _host(name: str | None, source: str, env: Mapping[str, str]) -> Host:
    """Return what the truth says of the host `name`, by default of this one."""
    try:
        truth = RedisSource(location(env)) if source == REDIS else FileSource(Path(source))
        hosts = parse(await truth.fetch(), env=env, source=truth.name).truth.hosts
    except (TruthError, StoreError) as error:
        raise _UnknownError(str(error)) from None
    wanted = socket.gethostname() if name is None else name
    found = next((host for host in hosts if host.name == wanted), None)
    if found is None:
        known = ", ".join(host.name for host in hosts) or "none"
        raise _UnknownError(
            f"the truth has no host {wanted!r}; it has: {known}. Name one of them with --host."
        )
    return found


def width() -> int:
    """Return how many columns a line may have."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size((80, 24)).columns))


def lines(report: Report, columns: int) -> list[str]:
    """Return a line for each item, the worst first, and one that sums up."""
    names = [_named(item.kind, item.name, columns * 9 // 20) for item in report.items]
    room = max(map(len, names), default=0)
    found = [
        _cut(f"{item.level:<{_LEVEL}}  {name:<{room}}  {item.text}", columns)
        for item, name in zip(report.items, names, strict=True)
    ]
    return [*found, f"{report.host} is {report.level}: {report.summary}"]


def _named(kind: str, name: str, most: int) -> str:
    """Return what an item is about, its name without the middle if it is too long: the ends tell paths apart."""
    word = "" if kind == name else f"{kind.replace('_', ' ')} "
    room = most - len(word)
    if len(name) <= room:
        return word + name
    head = room // 3
    return f"{word}{name[:head]}…{name[len(name) - (room - 1 - head) :]}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
