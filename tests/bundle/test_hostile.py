"""Whatever loads as a truth comes out as files that every reader takes, with every name as it was."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import promql_parser
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from healer.bundle import Settings, render, write
from healer.bundle.kubernetes import Placement, manifests
from healer.bundle.scenarios import LONGEST_SECONDS
from healer.truth.load import parse
from healer.truth.problems import TruthError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from healer.stack.servers import Servers
    from healer.truth.model import Truth

TRUTHS = int(os.environ.get("HEALER_TEST_TRUTHS", "10"))
"""How many truths are made; `make test-worlds` makes more."""

REPLAYED = TRUTHS // 5
"""So many of them go through `promtool test rules`, which takes longest, too."""

PIECES = [
    '"',
    "'",
    "\\",
    "{{",
    "}}",
    "$1",
    "${x}",
    "%",
    "# ",
    ": ",
    "- ",
    "|",
    "[[",
    "]]",
    "[%",
    "\\n",
    "`",
    "é",
    "🫀",
    "\ufffe",
]
names = (
    st.lists(
        st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
        min_size=1,
        max_size=6,
    )
    .map("".join)
    .map(str.strip)
    .filter(bool)
)
paces = st.sampled_from([(1, 3), (10, 30), (7.5, 22.5), (0.1, 0.3), (10, 100 / 3), (3600, 1e6)])
services = st.fixed_dictionaries(
    {"bus": names, "pace": paces, "severity": st.sampled_from(["critical", "warning", "info"])},
    optional={"team": names, "runbook_url": names.map(lambda name: f"https://{name.replace(' ', '')}/")},
)


def load(text: str) -> Any:
    """Read YAML with libyaml where it is there: the tests read a few thousand lines of it."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A truth of a few services whose names, buses, teams and runbooks are meant to break out of their quotes."""
    drawn = draw(st.dictionaries(names, services, min_size=1, max_size=4))
    blocks: dict[str, Any] = {}
    watched = []
    for index, (name, each) in enumerate(drawn.items()):
        interval, timeout = each.pop("pace")
        channel = f"c{index}:heartbeat"
        watched.append({"bus": each.pop("bus"), "key": channel})
        beat = {"channel": channel, "interval_sec": interval, "timeout_sec": timeout}
        blocks[name] = {"heartbeat": {**beat, "redis_url": f"redis://r{index}"}, **each}
    healer = {"access_points": {"subscribe_to": watched}}
    return json.dumps({"services": {**blocks, "healer": healer}})


def loaded(document: str) -> Truth:
    """What a document means; those that are refused are no concern of the bundle."""
    try:
        return parse(document, env={}).truth
    except TruthError:
        assume(False)
        raise


def selectors(node: Any) -> Iterator[dict[str, str]]:
    """The matchers of every selector in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield {matcher.name: matcher.value for matcher in node.matchers.matchers}
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


def rules(files: dict[str, str]) -> list[dict[str, Any]]:
    documents = [load(text) for name, text in files.items() if name.startswith("rules/")]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def assert_labels_survived(files: dict[str, str], truth: Truth) -> None:
    """Each service stands in exactly one branch of the constants, with its own labels and timeout."""
    constants = [rule for rule in rules(files) if rule.get("record") == "svc:heartbeat_timeout_seconds:truth"]
    for service in truth.services:
        (rule,) = (
            rule
            for rule in constants
            if any(
                re.fullmatch(found["svc"], service.name)
                for found in selectors(promql_parser.parse(rule["expr"]))
            )
        )
        wanted = {
            "bus": service.bus,
            "severity": service.severity,
            "team": service.team,
            "runbook": service.runbook,
        }
        assert rule["labels"] == {name: value for name, value in wanted.items() if value}


def assert_tests_name_them(files: dict[str, str], truth: Truth) -> None:
    """The promtool tests feed series with exactly the names of the truth, but for endless timeouts."""
    fed = {
        (found["svc"], found["bus"])
        for name, text in files.items()
        if name.startswith("promtool-tests/")
        for group in load(text)["tests"]
        for series in group["input_series"]
        for found in selectors(promql_parser.parse(series["series"]))
        if "svc" in found
    }
    assert fed == {(each.name, each.bus) for each in truth.services if each.timeout <= LONGEST_SECONDS}


def assert_manifests_mean_the_same(files: dict[str, str]) -> None:
    made = manifests(files, Settings(), Placement("monitoring"))
    for name in ("heartbeat", "heartbeat-slo"):
        manifest = load(made[f"kubernetes/{name}.prometheusrule.yml"])
        assert manifest["spec"] == load(files[f"rules/{name}.rules.yml"])
    secret = load(made["kubernetes/alertmanager.secret.yml"])
    there = files["alertmanager/alertmanager.yml"].replace("- templates/*", "- /etc/alertmanager/config/*")
    assert secret["stringData"]["alertmanager.yaml"] == there


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_no_truth_yields_a_file_that_any_reader_rejects(servers: Servers, tmp_path: Path) -> None:
    bundles: list[dict[str, str]] = []

    @settings(
        max_examples=TRUTHS,
        deadline=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(documents())
    def collect(document: str) -> None:
        truth = loaded(document)
        files = render(truth, Settings())
        for rule in rules(files):
            promql_parser.parse(rule["expr"])
        assert_labels_survived(files, truth)
        assert_tests_name_them(files, truth)
        assert_manifests_mean_the_same(files)
        bundles.append(files)

    collect()
    folders = [tmp_path / str(index) for index in range(len(bundles))]
    for folder, files in zip(folders, bundles, strict=True):
        write(files, folder)
    promtool, amtool = servers.promtool.path, servers.amtool.path
    every = [path for folder in folders for path in sorted((folder / "rules").iterdir())]
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *every)
    run(amtool, "check-config", *(folder / "alertmanager" / "alertmanager.yml" for folder in folders))
    tests = [path for folder in folders[-REPLAYED:] for path in sorted((folder / "promtool-tests").iterdir())]
    run(promtool, "test", "rules", *tests)
