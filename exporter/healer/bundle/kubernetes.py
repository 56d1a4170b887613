"""The bundle as manifests for a cluster that runs the Prometheus Operator.

The rules stand in them word for word, comments included. Prometheus' own configuration and the promtool tests have
no place there: the operator writes the one, and the other are run before anything is applied.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from healer.bundle.errors import BundleError
from healer.bundle.text import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.bundle.settings import Settings

FOLDER = "kubernetes"
"""Where the manifests go, below the output folder."""

_MOUNTED = "/etc/alertmanager/config"
_JOBS = {"exporter": "heartbeat", "sentinel": "sentinel", "autoheal": "autoheal"}
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_NAME = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the manifests belong.

    Attributes:
        namespace: Their namespace, or empty for the one that they are applied to.
        labels: What the operator's selectors look for, such as `release: kube-prometheus-stack`.
    """

    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.namespace and not _NAMESPACE.fullmatch(self.namespace):
            problems.append(
                f"namespace is {self.namespace!r}: expected small letters, digits and dashes, 63 at most."
            )
        problems += [
            f"label {name}={value} is none that Kubernetes takes: expected name=value of letters, digits, '-', '_'"
            " and '.', 63 at most."
            for name, value in self.labels
            if not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(value)
        ]
        if problems:
            raise BundleError(problems)

    @classmethod
    def of(cls, namespace: str | None, labels: tuple[str, ...]) -> Placement:
        """Return the placement for labels written `name=value`.

        Raises:
            BundleError: Kubernetes would not take it.
        """
        if unset := [label for label in labels if "=" not in label]:
            raise BundleError(f"label {label!r} has no value: expected name=value." for label in unset)
        pairs = ((name, value) for name, _, value in (label.partition("=") for label in labels))
        return cls(namespace or "", tuple(sorted(pairs)))

    @property
    def sentinel(self) -> str:
        """Host and port of the Service `healer-sentinel`."""
        host = f"healer-sentinel.{self.namespace}.svc" if self.namespace else "healer-sentinel"
        return f"{host}:9878"


def manifests(files: Mapping[str, str], settings: Settings, placement: Placement) -> dict[str, str]:
    """Return `files` as manifests: path to text, sorted by path.

    `rules/` become PrometheusRules, `prometheus/` the ServiceMonitors of exporter, sentinel and, if there is one, autoheal, `alertmanager/`
    the Secret that an Alertmanager's `configSecret` names, `grafana/dashboards/` ConfigMaps.

    Raises:
        BundleError: Nothing in `files` has a place in a cluster.
    """
    made: dict[str, str] = {}
    secret: list[str] = []
    # All files of a bundle have the same; JSON has it inside.
    header = next((text.partition("\n")[0] for path, text in files.items() if path.endswith(".yml")), "")
    for path, text in files.items():
        folder, stem = path.partition("/")[0], PurePosixPath(path).name.partition(".")[0]
        body = text.partition("\n")[2]
        if folder == "rules":
            spec = f"spec:\n{textwrap.indent(body, '  ')}"
            made[f"{stem}.prometheusrule"] = f"{header}\n{_head('PrometheusRule', stem, placement)}{spec}"
        elif folder == "prometheus":
            for part, job in _JOBS.items():
                if part == "autoheal" and not settings.autoheals:
                    continue
                monitor = _head("ServiceMonitor", part, placement, spec=_monitor(part, job, settings))
                made[f"{part}.servicemonitor"] = f"{header}\n{monitor}"
        elif folder == "alertmanager":
            # The operator reads this very key. It mounts the Secret into one folder, what it makes of it into another.
            key = path.replace("alertmanager.yml", "alertmanager.yaml")
            secret.append(_entry(key, text.replace("- templates/*.tmpl", f"- {_MOUNTED}/*.tmpl")))
            made["alertmanager.secret"] = (
                f"{header}\n{_head('Secret', 'alertmanager', placement)}stringData:\n{''.join(secret)}"
            )
        elif path.startswith("grafana/dashboards/"):
            name = f"dashboard-{stem}"
            grafana = Placement(placement.namespace, (*placement.labels, ("grafana_dashboard", "1")))
            made[f"{name}.configmap"] = (
                f"{header}\n{_head('ConfigMap', name, grafana)}{_text('data', path, text)}"
            )
    if not made:
        raise BundleError(
            ["nothing of this has a place in a cluster: choose rules, prometheus, alertmanager or grafana."]
        )
    return {f"{FOLDER}/{name}.yml": made[name] for name in sorted(made)}


def _head(kind: str, name: str, placement: Placement, **more: Any) -> str:
    core = kind in {"Secret", "ConfigMap"}
    metadata: dict[str, Any] = {"name": f"healer-{name}"}
    if placement.namespace:
        metadata["namespace"] = placement.namespace
    metadata["labels"] = {"app.kubernetes.io/name": "healer", **dict(placement.labels)}
    document = {
        "apiVersion": "v1" if core else "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": metadata,
        **more,
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _monitor(part: str, job: str, settings: Settings) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "port": "http",
        "interval": duration(settings.scrape_interval),
        # The operator would name the job after the Service; the rules know it by this name.
        "relabelings": [{"targetLabel": "job", "replacement": job}],
    }
    if part == "autoheal" and settings.autoheal_credentials:
        endpoint["bearerTokenFile"] = settings.autoheal_credentials
    return {
        "selector": {
            "matchLabels": {"app.kubernetes.io/name": "healer", "app.kubernetes.io/component": part}
        },
        "endpoints": [endpoint],
    }


def _text(section: str, path: str, text: str) -> str:
    return f"{section}:\n{_entry(path, text)}"


def _entry(path: str, text: str) -> str:
    return f"  {PurePosixPath(path).name}: |\n{textwrap.indent(text, '    ')}"
