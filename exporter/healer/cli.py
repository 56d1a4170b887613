"""The command `healer`: every subcommand reads its options and calls one function."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from healer import __version__
from healer.autoheal.app import StartError
from healer.autoheal.app import run as run_autoheal
from healer.autoheal.report import check as check_policy
from healer.beat import command as beats
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
from healer.demo.command import demo as play_demo
from healer.exporter.app import run as run_exporter
from healer.host.app import run as run_host
from healer.host.app import state_folder
from healer.runtime import log, process
from healer.sentinel.app import run as run_sentinel
from healer.sentinel.settings import SettingsError
from healer.shadow.command import shadow
from healer.stack.servers import MissingServersError
from healer.stack.servers import find as find_servers
from healer.truth import report
from healer.truth.store import StoreError, location
from healer.web.blocks import WebConfigError
from healer.web.listen import Address, ListenError, parse_address
from healer.web.tokens import TokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    Daemon = Callable[[Address, str, str, Mapping[str, str], Path | None], Coroutine[Any, Any, int]]


class _Listen(click.ParamType[Address]):
    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


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


def _listen_option(
    default: str, text: str = "Where to serve HTTP; :PORT is every interface."
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--listen", type=_Listen(), default=default, show_default=True, help=text)


def _web_config_option(command: Callable[..., None]) -> Callable[..., None]:
    text = "TLS, users and headers, in exporter-toolkit's format; read again when it changes."
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--web.config.file", "web_config", type=kind, metavar="FILE", help=text)(command)


def _daemon(run: Daemon, listen: Address, web_config: Path | None) -> NoReturn:
    """Run a daemon to its end; a failure to start is one line, not a traceback."""
    try:
        place = location(os.environ)
        sys.exit(process.run(run(listen, place.url, place.key, os.environ, web_config)))
    except (ListenError, StoreError, WebConfigError, SettingsError, TokenError) as error:
        raise click.ClickException(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    log.configure(log_level.upper())


main.add_command(shadow)


@main.command()
@_listen_option("127.0.0.1:9877")
@_web_config_option
def exporter(listen: Address, web_config: Path | None) -> None:
    """Hear the heartbeats that the truth in Redis wires up, and expose them to Prometheus.

    HEALER_PUSH_TOKENS_FILE names the file with the tokens of services that post their beats.
    """
    _daemon(run_exporter, listen, web_config)


@main.command()
@_listen_option("127.0.0.1:9878")
@_web_config_option
def sentinel(listen: Address, web_config: Path | None) -> None:
    """Turn Alertmanager's webhooks into events on Redis, and notice when they stop.

    Reads SENTINEL_TOKEN_FILE, the variables of docs/notifications.md for what it has to tell itself, SENTINEL_REPEAT_SEC,
    DEADMANSSWITCH_URL_FILE, DEADMANSSWITCH_BODY_FILE and DEADMANSSWITCH_INTERVAL_SEC.
    """
    _daemon(run_sentinel, listen, web_config)


@main.command()
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
@_listen_option("127.0.0.1:9879")
@_web_config_option
def host(name: str, source: str, state: Path | None, listen: Address, web_config: Path | None) -> None:
    """Look at the heartbeat files and logs of this host, and expose what is found to Prometheus."""
    try:
        truth = RedisSource(location(os.environ)) if source == REDIS else FileSource(Path(source))
        folder = state or state_folder(os.environ)
        sys.exit(process.run(run_host(listen, name, truth, folder, env=os.environ, web_config=web_config)))
    except (ListenError, StoreError, WebConfigError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@_listen_option("127.0.0.1:9009")
@_web_config_option
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
        sys.exit(process.run(run_autoheal(listen, config, os.environ, web_config)))
    except (ListenError, StartError, WebConfigError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("svc")
@click.option(
    "--every",
    type=click.FloatRange(min=0.0),
    is_flag=False,
    flag_value=0.0,
    metavar="[SEC]",
    help="Beat until stopped, every SEC seconds; without SEC, as often as the truth says.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The Redis server, or http://EXPORTER to post there; the truth is then not asked.",
)
@click.option("--channel", metavar="NAME", help="The channel.  [default: the truth's, or SVC:heartbeat]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def beat(
    svc: str, every: float | None, url: str | None, channel: str | None, command: tuple[str, ...]
) -> None:
    """Publish a heartbeat of SVC: one; one every SEC seconds; or, after --, while COMMAND runs.

    Where and how often is read from the truth in Redis. A COMMAND is handed our signals, and its exit status is ours.
    """
    look = beats.look_for(svc, url, channel, every or None)
    if command:
        sys.exit(beats.during(svc, look, command, sys.stderr))
    if every is not None:
        sys.exit(beats.forever(svc, look, sys.stderr))
    sys.exit(beats.once(svc, look, sys.stdout, sys.stderr))


@main.group()
def truth() -> None:
    """Check, show and seed the wiring document, truth.json."""


@truth.command("check")
@click.argument("source", metavar="FILE")
def truth_check(source: str) -> None:
    """Say whether FILE (- for standard input) loads, and everything that is wrong with it."""
    sys.exit(report.check(source, os.environ, sys.stdout, sys.stderr))


@truth.command("show")
@click.argument("source", metavar="[FILE]", required=False)
@click.option("--json", is_flag=True, help="For programs.")
def truth_show(source: str | None, *, json: bool) -> None:
    """Show what FILE (- for standard input), or the truth in Redis, means, and where each value comes from."""
    sys.exit(report.show(source, os.environ, sys.stdout, sys.stderr, json=json))


@truth.command("seed")
@click.argument("source", metavar="FILE")
def truth_seed(source: str) -> None:
    """Write FILE (- for standard input) to every bus that it names; running daemons take it up by themselves."""
    sys.exit(report.seed(source, os.environ, sys.stdout, sys.stderr))


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


@main.command()
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
@_listen_option("127.0.0.1:9879", "With --watch: where to serve metrics; :PORT is every interface.")
@_web_config_option
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
    and TEAM_*; see docs/notifications.md.

    With --watch it keeps doing so: a changed truth is rendered, checked, swapped in and reloaded; docs/bundle-watch.md.
    """
    given_modes = {"--check": check, "--diff": diff, "--explain": explain is not None, "--watch": watch}
    modes = [name for name, is_given in given_modes.items() if is_given]
    _refuse_misuse(
        modes, source, output, files=layout == "files", narrowed=bool(only), placed=bool(namespace or labels)
    )
    if watch:
        given["prometheus"] = [server.address for server in prometheus_urls]
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


@main.command()
@click.option("--once", is_flag=True, help="End after the story, with a verdict as exit status.")
@click.option(
    "--release",
    metavar="NAME",
    help="Take Prometheus and Alertmanager from this Debian release, not from PATH.",
)
def demo(*, once: bool, release: str | None) -> None:
    """Watch the whole story on real servers: a service dies, is missed, returns; then the monitor itself."""
    sys.exit(play_demo(once=once, release=release))


@main.group()
def stack() -> None:
    """The servers that the demo and the tests run on."""


@stack.command("fetch")
@click.option(
    "--release", metavar="NAME", help="The Debian release to fetch from; by default PATH, else this system's."
)
def stack_fetch(release: str | None) -> None:
    """Find redis-server, Prometheus, Alertmanager, promtool and amtool, or fetch them into a private cache."""
    try:
        servers = find_servers(release, say=click.echo)
    except MissingServersError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"stack: {servers}")
