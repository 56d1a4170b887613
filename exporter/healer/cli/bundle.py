"""The subcommand `healer bundle`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from healer.bundle.command import PARTS, REDIS, STANDARD_OUTPUT, Mode
from healer.bundle.command import bundle as make_bundle
from healer.bundle.errors import BundleError
from healer.bundle.explain import explain as explain_service
from healer.bundle.kubernetes import Placement
from healer.bundle.reload import Server
from healer.bundle.settings import Settings
from healer.bundle.source import FileSource, RedisSource
from healer.bundle.swap import LockedError
from healer.bundle.sync import Tools
from healer.bundle.watch import run as run_watch
from healer.cli.options import listen_option, web_config_option
from healer.runtime import process
from healer.truth.store import StoreError, location
from healer.web.blocks import WebConfigError
from healer.web.listen import ListenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.web.listen import Address


class _Version(click.ParamType[tuple[int, int]]):
    """The first two numbers of a version."""

    name = "x.y"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(\..*)?", str(value))
        if found is None:
            self.fail("expected a version such as 0.28", param, ctx)
        return int(found[1]), int(found[2])


class _ServerUrl(click.ParamType[Server]):
    """A server to reload, by its URL."""

    name = "url"

    def __init__(self, kind: Callable[[str], Server]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Server:
        server = value if isinstance(value, Server) else self._kind(value)
        if server.address is None:
            self.fail("expected a URL such as http://127.0.0.1:9090", param, ctx)
        return server


def _targets(name: str, default: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        f"--{name}",
        f"{name}s".replace("-", "_"),
        metavar="HOST:PORT",
        multiple=True,
        help=f"{text}; repeatable.  [default: {default}]",
    )


def _server_option(
    name: str, kind: Callable[[str], Server], default: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        f"--{name}-url",
        f"{name}_urls",
        type=_ServerUrl(kind),
        multiple=True,
        default=(default,),
        help=f"With --watch: where to reload {name.capitalize()}; repeatable.  [default: {default}]",
    )


@click.command()
@click.option(
    "--truth",
    "source",
    required=True,
    metavar="FILE",
    help="truth.json; - is standard input, redis the running system's.",
)
@click.option("--output", metavar="DIR", help="The folder of the bundle; - prints all files as one stream.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is stale.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change, and exit as diff does.")
@click.option("--explain", metavar="SVC", help="Only print how long a death and a return take to be known.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="This part alone; repeatable.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["files", "kubernetes"]),
    default="files",
    show_default=True,
    help="kubernetes: manifests for the Prometheus Operator.",
)
@click.option("--namespace", metavar="NAME", help="With kubernetes: the manifests' namespace.")
@click.option("--label", "labels", metavar="NAME=VALUE", multiple=True, help="With kubernetes; repeatable.")
@click.option(
    "--runbook-base",
    metavar="URL",
    help="Where the runbooks are, with {alert} for the alert's name.  [env var: HEALER_RUNBOOK_BASE]",
)
@click.option(
    "--dashboard-url",
    "dashboard",
    metavar="URL",
    help="A service's dashboard, with {svc} for its name; linked from messages.  [env var: HEALER_DASHBOARD_URL]",
)
@click.option(
    "--alertmanager-version",
    type=_Version(),
    help="The oldest Alertmanager that has to read the file.  [default: 0.25]",
)
@click.option(
    "--prometheus-version",
    type=_Version(),
    help="The oldest Prometheus that has to read the file.  [default: 2.42]",
)
@click.option(
    "--inline-secrets",
    is_flag=True,
    default=None,
    help="Write URLs that this Alertmanager cannot read from files into its configuration, readable by us alone.",
)
@_targets("exporter", "127.0.0.1:9877", "An exporter to scrape")
@_targets("sentinel", "127.0.0.1:9878", "A sentinel to scrape and to send webhooks to")
@_targets("autoheal", "none", "An autoheal to scrape and to send webhooks to")
@_targets("alertmanager", "127.0.0.1:9093", "An Alertmanager to send alerts to")
@_targets("node-exporter", "none", "A node_exporter to scrape")
@click.option(
    "--prometheus",
    metavar="HOST:PORT",
    multiple=True,
    help="A Prometheus to scrape, itself too; repeatable.  [default: 127.0.0.1:9090; with --watch, --prometheus-url's]",
)
@click.option("--scrape-interval", type=float, metavar="SEC", help="Time between two scrapes.  [default: 5]")
@click.option(
    "--evaluation-interval",
    type=float,
    metavar="SEC",
    help="Time between two evaluations of the rules.  [default: 5]",
)
@click.option(
    "--group-interval",
    type=float,
    metavar="SEC",
    help="How long an event may wait in Alertmanager.  [default: 5]",
)
@click.option(
    "--rule-shards",
    type=int,
    metavar="N",
    help="Share services out over N rule groups, evaluated side by side.  [default: 1]",
)
@click.option(
    "--resend-delay",
    type=float,
    metavar="SEC",
    help="What Prometheus is started with as --rules.alert.resend-delay.  [default: 10]",
)
@click.option("--watch", is_flag=True, help="Run on, and put each change of the truth in force.")
@listen_option("127.0.0.1:9879", "With --watch: where to serve metrics; :PORT is every interface.")
@web_config_option
@_server_option("prometheus", Server.prometheus, "http://127.0.0.1:9090")
@_server_option("alertmanager", Server.alertmanager, "http://127.0.0.1:9093")
def bundle(
    source: str,
    output: str | None,
    *,
    check: bool,
    diff: bool,
    explain: str | None,
    only: tuple[str, ...],
    layout: str,
    namespace: str | None,
    labels: tuple[str, ...],
    watch: bool,
    listen: Address,
    web_config: Path | None,
    prometheus_urls: tuple[Server, ...],
    alertmanager_urls: tuple[Server, ...],
    **given: Any,
) -> None:
    """Render the truth into Prometheus rules, their tests, and Prometheus' and Alertmanager's configuration.

    Whom Alertmanager tells is read from the environment: *WEBHOOK_URL_FILE, WEBHOOK_TIMEOUT_SEC, RATE_LIMIT_SEC, SMTP_*
    and TEAM_*; see docs/notifications.md. AZURE_MONITOR_* has Prometheus write to Azure Monitor; see docs/azure.md.

    With --watch it keeps doing so: a changed truth is rendered, checked, swapped in and reloaded; docs/bundle-watch.md.
    """
    given_modes = {"--check": check, "--diff": diff, "--explain": explain is not None, "--watch": watch}
    modes = [name for name, is_given in given_modes.items() if is_given]
    _refuse_misuse(
        modes, source, output, files=layout == "files", narrowed=bool(only), placed=bool(namespace or labels)
    )
    if watch:
        given["prometheus"] = given["prometheus"] or [server.address for server in prometheus_urls]
        given["alertmanagers"] = given["alertmanagers"] or [server.address for server in alertmanager_urls]
    try:
        cluster = Placement.of(namespace, labels) if layout == "kubernetes" else None
        if cluster is not None:
            given["sentinels"] = given["sentinels"] or [cluster.sentinel]
        settings = Settings.from_env(
            os.environ, **{name: _as_setting(value) for name, value in given.items()}
        )
    except BundleError as error:
        raise click.UsageError(str(error)) from None
    if settings.inline_secrets and (modes or layout != "files" or output == STANDARD_OUTPUT):
        raise click.UsageError(
            "--inline-secrets only writes files: it goes with no other mode, format or output."
        )
    if explain is not None:
        sys.exit(explain_service(source, explain, settings, os.environ, out=sys.stdout, err=sys.stderr))
    promtool, amtool = (
        Path(found) if (found := shutil.which(name)) else None for name in ("promtool", "amtool")
    )
    folder, tools = output or "", Tools(promtool, amtool)
    if watch:
        servers = (*prometheus_urls, *alertmanager_urls)
        _watch(listen, source, Path(folder), settings, servers=servers, tools=tools, web_config=web_config)
    mode = Mode.CHECK if check else Mode.DIFF if diff else Mode.WRITE
    sys.exit(
        make_bundle(
            source,
            folder,
            settings,
            os.environ,
            mode=mode,
            only=only,
            cluster=cluster,
            tools=tools,
            out=sys.stdout,
            err=sys.stderr,
        )
    )


def _refuse_misuse(
    modes: list[str], source: str, output: str | None, *, files: bool, narrowed: bool, placed: bool
) -> None:
    """Refuse options of `healer bundle` that do not go together."""
    if len(modes) > 1:
        raise click.UsageError(f"{' and '.join(modes)} do not go together: choose one.")
    if "--explain" not in modes and not output:
        raise click.UsageError("Missing option '--output'.")
    if output == STANDARD_OUTPUT and modes:
        raise click.UsageError(f"{modes[0]} needs a folder, not --output -.")
    if "--watch" in modes and (source == "-" or narrowed or not files):
        raise click.UsageError("--watch goes with neither --truth -, --only nor --format kubernetes.")
    if files and placed:
        raise click.UsageError("--namespace and --label go with --format kubernetes.")


def _as_setting(value: Any) -> Any:
    return tuple(value) or None if isinstance(value, list | tuple) else value


def _watch(
    listen: Address,
    source: str,
    output: Path,
    settings: Settings,
    *,
    servers: tuple[Server, ...],
    tools: Tools,
    web_config: Path | None,
) -> NoReturn:
    """Run `healer bundle --watch` to its end; a failure to start is one line, not a traceback."""
    try:
        truth = RedisSource(location(os.environ)) if source == REDIS else FileSource(Path(source))
        watching = run_watch(
            listen, truth, output, settings, servers, env=os.environ, tools=tools, web_config=web_config
        )
        sys.exit(process.run(watching))
    except (ListenError, StoreError, WebConfigError, LockedError, OSError) as error:
        raise click.ClickException(str(error)) from None
