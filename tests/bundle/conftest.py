"""A small language for time lines: what exporters showed at each scrape, and what the rules must make of it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.bundle.replay import RULES, frugal, lagging, many_services

from healer.bundle import Settings, render, write
from healer.bundle.scenarios import notation
from healer.truth.model import Bus, Monitor, Service, Truth

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.servers import Servers

Sample = float | str | None
Column = Callable[[float], Sample] | float

SHA = "ab" * 32
ORDER = [
    "heartbeat-truth",
    "heartbeat",
    "heartbeat-memory",
    "heartbeat-status",
    "heartbeat-slow",
    "heartbeat-slo-hourly",
    "heartbeat-slo",
]
"""How the groups follow each other within an instant; without it, promtool throws dice."""
FORMS = ("few", "many")
"""Rules of few services, and of so many that their memory is a group of its own, one evaluation behind."""
LATE_FORM = "late"
"""Rules of many services, of which nothing is remembered before `RELOADED`, when that of a new truth is written down."""
RELOADED = 65.0
MISSES = 'ALERTS{alertname="HeartbeatMiss"}'
LATE = "time() - max by (svc) (svc:heartbeat_silent_since_timestamp_seconds:latched)"


def service(name: str, bus: str = "system-redis", **given: Any) -> Service:
    """A service that beats every 10 s and may be silent for 30."""
    return Service(
        **{"name": name, "bus": bus, "channel": f"{name}:heartbeat", "interval": 10.0, "timeout": 30.0}
        | given
    )


def truth(*services: Service, **given: Any) -> Truth:
    """A truth of these services on the buses they name."""
    buses = sorted({each.bus for each in services} | {"system-redis"})
    return Truth(
        **{
            "services": tuple(sorted(services, key=lambda each: each.name)),
            "buses": tuple(Bus(name, f"redis://{name}:6379") for name in buses),
            "monitor": Monitor(),
            "version": "1",
            "sha256": SHA,
        }
        | given
    )


EXAMPLE = truth(
    service("rss_agg"),
    service("vexy_ai", "market-redis", interval=40.0, timeout=120.0, severity="warning", team="ai"),
)


class Timeline:
    """Samples every `step` seconds from 0 to `end`, and expectations at given times."""

    def __init__(self, rules: Sequence[Path], promtool: Path, *, step: float, end: float) -> None:
        self.rules = rules
        self.promtool = promtool
        self.step = step
        self.times = [index * step for index in range(int(end / step) + 1)]
        self.evaluation = 5.0
        self.series: list[dict[str, str]] = []
        self.expressions: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []

    def add(self, series: str, column: Column) -> None:
        """One series, by a function of time (None: no sample) or a number."""
        values = [column(time) if callable(column) else float(column) for time in self.times]
        self.series.append({"series": series, "values": notation(values)})

    def exporter(
        self, name: str, *, up: Column = 1.0, loopback: Column | None = None, bus: str = "system-redis"
    ) -> None:
        """A replica as a whole; a `loopback` of None leaves that series out."""
        self.add(f'up{{job="heartbeat", instance="{name}"}}', up)
        if loopback is not None:
            self.add(
                f'heartbeat_bus_loopback_timestamp_seconds{{job="heartbeat", instance="{name}", bus="{bus}"}}',
                loopback,
            )

    def service(
        self, name: str, *, watch: Column, seen: Column, replica: str = "a", bus: str = "system-redis"
    ) -> None:
        """What one replica shows of one service."""
        labels = f'{{job="heartbeat", instance="{replica}", svc="{name}", bus="{bus}"}}'
        self.add(f"heartbeat_watch_start_timestamp_seconds{labels}", watch)
        self.add(f"heartbeat_last_seen_timestamp_seconds{labels}", seen)

    def expect(self, at: float, expr: str, samples: dict[str, float]) -> None:
        """An expression's value at a time."""
        self.expressions.append(
            {
                "eval_time": f"{round(at * 1000)}ms",
                "expr": expr,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
        )

    def missing(self, at: float, *names: str) -> None:
        """Exactly these services are missing, and their alerts fire."""
        self.expect(at, f"max by (svc) ({MISSES})", {f'{{svc="{name}"}}': 1.0 for name in names})

    def late(self, at: float, name: str, seconds: float) -> None:
        """A service's silence so far."""
        self.expect(at, f'{LATE[:-1]}{{svc="{name}"}})', {f'{{svc="{name}"}}': seconds})

    def never_missing(self, until: float) -> None:
        """No service was missing at any evaluation so far."""
        self.expect(until, f"max_over_time(svc:heartbeat_missing:bool[{int(until)}s]) > 0", {})

    def firing(self, at: float, alert: str, *labels: str) -> None:
        """An alert fires with exactly these label sets, written `{svc="a"}` and without the severity."""
        expr = f'max without (alertname, alertstate, severity) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
        self.expect(at, expr, dict.fromkeys(labels, 1.0))

    def alert(self, at: float, name: str, labels: dict[str, str], annotations: dict[str, str]) -> None:
        """An alert exactly as Alertmanager gets it."""
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
        self.alerts.append({"eval_time": f"{round(at * 1000)}ms", "alertname": name, "exp_alerts": expected})

    def hold(self) -> None:
        """Replay it, and fail with promtool's words if the rules see it otherwise."""
        document = {
            "rule_files": [str(path) for path in self.rules],
            "group_eval_order": ORDER,
            "evaluation_interval": f"{round(self.evaluation * 1000)}ms",
            "tests": [
                {
                    "interval": f"{round(self.step * 1000)}ms",
                    "input_series": self.series,
                    "promql_expr_test": self.expressions,
                    "alert_rule_test": self.alerts,
                }
            ],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
            yaml.safe_dump(document, file, sort_keys=False)
            file.flush()
            command = [self.promtool, "test", "rules", file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=frugal())
        assert done.returncode == 0, done.stdout + done.stderr


def example(form: str) -> dict[str, str]:
    """The bundle of EXAMPLE in the `form` that it has, `few`, or would have if services were `many`."""
    with nullcontext() if form == "few" else many_services():
        files = render(EXAMPLE, Settings())
    return {**files, RULES: lagging(files[RULES], RELOADED)} if form == LATE_FORM else files


@pytest.fixture(scope="session")
def example_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle of EXAMPLE in all forms, written."""
    folders = {form: tmp_path_factory.mktemp(form) for form in (*FORMS, LATE_FORM)}
    for form, folder in folders.items():
        write(example(form), folder)
    return folders


@pytest.fixture(scope="session")
def example_bundle(example_bundles: dict[str, Path]) -> Path:
    """The bundle of EXAMPLE as it is, written."""
    return example_bundles["few"]


@pytest.fixture
def form() -> str:
    """Which rules a time line is about."""
    return "few"


@pytest.fixture
def timeline(example_bundles: dict[str, Path], form: str, servers: Servers) -> Callable[..., Timeline]:
    """Starts a time line: `timeline(end=120)`, with scrapes every 5 s, or `timeline(end=120, step=30)`.

    `counted=True` has the rules that add up what happened, which makes it slower.
    """
    folder = example_bundles[form] / "rules"

    def start(*, end: float, step: float = 5.0, counted: bool = False) -> Timeline:
        names = ("heartbeat.rules.yml", "heartbeat-slo.rules.yml")[: 1 + counted]
        return Timeline([folder / name for name in names], servers.promtool.path, step=step, end=end)

    return start
