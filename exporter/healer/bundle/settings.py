"""What the bundle has to know besides the truth: where things run, how often, and whom to tell."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

from healer.bundle.azure import Azure
from healer.bundle.errors import BundleError
from healer.notify.people import RUNBOOK_BASE, People, PeopleError

if TYPE_CHECKING:
    from collections.abc import Mapping


_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):[0-9]{1,5}")
"""A host's name, IPv4 or bracketed IPv6 address, and a port."""

MOST_SHARDS = 256
"""More rule groups than any Prometheus has processors."""
SHORTEST_SECONDS = 0.001
"""The resolution of durations in Prometheus' and Alertmanager's files."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts run and how fast they turn. All durations are seconds.

    Attributes:
        exporters: Scrape targets of job `heartbeat`.
        sentinels: Scrape targets of job `sentinel`; each also receives webhooks at `http://TARGET/webhook`.
        autoheals: Scrape targets of job `autoheal`; each also receives webhooks at `http://TARGET/alert`. None: no
            autoheal runs.
        sentinel_credentials: The file that holds the token for the sentinels, as Alertmanager sees it; empty: they
            take no token.
        autoheal_credentials: The file that holds the token for autoheals, as Prometheus and Alertmanager see it; empty:
            they take no token.
        alertmanagers: Where Prometheus sends alerts; also scrape targets of job `alertmanager`.
        node_exporters: Scrape targets of job `node`. None: no host is watched.
        prometheus: Where Prometheus scrapes itself.
        scrape_interval: Time between two scrapes.
        evaluation_interval: Time between two evaluations of the rules.
        rule_shards: Over how many rule groups, which Prometheus evaluates side by side, the services share out.
        resend_delay: Prometheus' `--rules.alert.resend-delay`, which is a flag and has to be passed to it as
            well: how old a Watchdog can be when Alertmanager sends it on.
        group_interval: Alertmanager's, of the sentinel's routes: how long a recovery waits at most.
        runbook_base: Pattern of the runbooks' URLs; `{alert}` becomes the alert's name.
        dashboard: URL of a service's dashboard, linked from messages; `{svc}` becomes its name. Empty: no link.
        alertmanager_version: The oldest Alertmanager that has to read the file: `(major, minor)`.
        prometheus_version: The oldest Prometheus that has to read its file: `(major, minor)`.
        azure: The Azure Monitor workspace that gets the `health_*` series, or None.
        inline_secrets: Whether a webhook's URL that this Alertmanager cannot read from a file is written into the
            configuration, which then is a secret itself.
        people: Whom to tell.
    """

    exporters: tuple[str, ...] = ("127.0.0.1:9877",)
    sentinels: tuple[str, ...] = ("127.0.0.1:9878",)
    sentinel_credentials: str = ""
    autoheals: tuple[str, ...] = ()
    autoheal_credentials: str = ""
    alertmanagers: tuple[str, ...] = ("127.0.0.1:9093",)
    node_exporters: tuple[str, ...] = ()
    prometheus: tuple[str, ...] = ("127.0.0.1:9090",)
    scrape_interval: float = 5.0
    evaluation_interval: float = 5.0
    rule_shards: int = 1
    resend_delay: float = 10.0
    group_interval: float = 5.0
    runbook_base: str = RUNBOOK_BASE
    dashboard: str = ""
    alertmanager_version: tuple[int, int] = (0, 25)
    prometheus_version: tuple[int, int] = (2, 42)
    azure: Azure | None = None
    inline_secrets: bool = False
    people: People = field(default_factory=People)

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}: expected at least {SHORTEST_SECONDS} seconds."
            for name in ("scrape_interval", "evaluation_interval", "resend_delay", "group_interval")
            if not SHORTEST_SECONDS <= getattr(self, name) < float("inf")
        ]
        problems += [
            f"{name} is empty: expected at least one host:port."
            for name in ("exporters", "sentinels", "alertmanagers", "prometheus")
            if not getattr(self, name)
        ]
        problems += [
            f"{name}: found {target!r}, expected HOST:PORT, such as 127.0.0.1:9877."
            for name in (
                "exporters",
                "sentinels",
                "autoheals",
                "alertmanagers",
                "node_exporters",
                "prometheus",
            )
            for target in getattr(self, name)
            if not _ADDRESS.fullmatch(target)
        ]
        if not 1 <= self.rule_shards <= MOST_SHARDS:
            problems.append(f"rule_shards is {self.rule_shards!r}: expected 1 to {MOST_SHARDS}.")
        if "{alert}" not in self.runbook_base:
            problems.append(
                f"runbook_base is {self.runbook_base!r}: expected the placeholder {{alert}} in it."
            )
        if self.dashboard and not self.dashboard.startswith(("http://", "https://")):
            problems.append(
                f"dashboard is {self.dashboard!r}: expected a URL such as https://grafana.example/d/x."
            )
        if self.azure is not None:
            problems += self.azure.unknown_to(self.prometheus_version)
        if problems:
            raise BundleError(problems)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Return the settings of `env`, with those `given` that are not None put over them.

        Raises:
            BundleError: Something in `env` or in what was given cannot be used; all problems at once.
            TypeError: A name in `given` is no setting.
        """
        unknown = sorted(set(given) - {each.name for each in fields(cls)})
        if unknown:
            raise TypeError(f"no such setting: {', '.join(unknown)}")
        values: dict[str, object] = {}
        problems: list[str] = []
        for name, read in (("people", People.from_env), ("azure", Azure.from_env)):
            try:
                values[name] = read(env)
            except (PeopleError, BundleError) as error:
                problems += error.problems
        if problems:
            raise BundleError(problems)
        for part in ("sentinel", "autoheal"):
            if path := env.get(f"{part.upper()}_CREDENTIALS_FILE"):
                values[f"{part}_credentials"] = path
        for name, variable in (
            ("runbook_base", "HEALER_RUNBOOK_BASE"),
            ("dashboard", "HEALER_DASHBOARD_URL"),
        ):
            if env.get(variable):
                values[name] = env[variable]
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)  # type: ignore[arg-type]  # names are checked above, values by whoever gives them

    @property
    def private(self) -> tuple[str, ...]:
        """The files that may hold secrets, so that nobody else may read them."""
        return ("alertmanager/alertmanager.yml",) if self.inline_secrets else ()

    def runbook(self, alert: str) -> str:
        """Return the URL of `alert`'s runbook."""
        return self.runbook_base.replace("{alert}", alert)
