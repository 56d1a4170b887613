"""Takes every mutant through the tests and prints who caught it: `python -m tests.bundle.mutate [--all]`.

Three nets: the scenarios of tests/bundle, collected from a run of pytest and replayed as one file; the tests that
the bundle brings for its own truth; and a sample of the worlds. The first that catches a mutant ends its way, unless
`--all` wants to know all of them. Exit status 1 if a mutant got through.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import click
import pytest
import yaml
from tests.bundle.conftest import FORMS, LATE_FORM, ORDER, example
from tests.bundle.mutants import MUTANTS, Mutant
from tests.bundle.replay import RULES, Batch, about_misses, frugal, judged
from tests.bundle.test_differential import FORGETFUL, HASTY, PATIENT, generated
from tests.bundle.world import BRISK, SLOW, USUAL, Pace

from healer.stack.servers import find

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
QUICK = ("test_memories.py", "test_states.py")
LENGTHY = ("test_alerts.py", "test_misses.py")
"""Scenarios that take promtool half a minute: after the first worlds."""
GENERATED = "promtool-tests/services.yml"
SAMPLE = 100
"""Worlds of each pace."""
NET = 20
"""Worlds in one net: most faults show in the first of them."""

_CAUGHT = re.compile(r"^ +(?:expr:|alertname:|rule:)", re.MULTILINE)
_NAMED = re.compile(r"# (test_\w+)")


class Collector:
    """A pytest plugin that keeps what a test would have replayed, and lets the test pass."""

    def __init__(self, rules: dict[str, str]) -> None:
        self.groups: list[tuple[str, str, str, str, dict[str, Any]]] = []
        self._forms = {text: form for form, text in rules.items()}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Stand in for promtool while the test runs."""

        def keep(command: list[Any], **_: object) -> subprocess.CompletedProcess[str]:
            document = yaml.safe_load(Path(command[3]).read_text())
            about = {Path(path).name: Path(path).read_text() for path in document["rule_files"]}
            form = self._forms[about[Path(RULES).name]]
            for group in document["tests"]:
                self.groups.append((item.path.name, item.name, form, document["evaluation_interval"], group))
            return subprocess.CompletedProcess(command, 0, "", "")

        with mock.patch("subprocess.run", keep):
            return (yield)


class Net:
    """One promtool test file about rules that lie beside it."""

    def __init__(
        self,
        name: str,
        document: dict[str, Any],
        bundle: dict[str, str],
        *,
        form: str = "few",
        worlds: bool = False,
    ) -> None:
        self.name = name
        self.form = form
        self._document = document
        self._bundle = bundle
        self.worlds = worlds

    def catch(self, promtool: Path, mutant: Mutant | None) -> list[str]:
        """Say which tests fail under `mutant`; a mutant that Prometheus cannot load is an error, not a catch."""
        with tempfile.TemporaryDirectory(prefix="healer-mutant-") as folder:
            for path, text in self._bundle.items():
                rules = mutant.apply(text, branches=self.worlds) if mutant and path == RULES else text
                (Path(folder) / Path(path).name).write_text(about_misses(rules) if self.worlds else rules)
            test = Path(folder) / "test.yml"
            names = [Path(path).name for path in self._bundle]
            test.write_text(json.dumps({**self._document, "rule_files": names}))
            command = [promtool, "test", "rules", test]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=frugal())
        said = done.stdout + done.stderr
        if done.returncode and not _CAUGHT.search(said):
            raise AssertionError(f"{mutant and mutant.what}: {said[:2000]}")
        return ([*Counter(_NAMED.findall(said))] or [self.name]) if done.returncode else []


def nets(*, closed: bool) -> list[Net]:
    """All nets, those that catch most in the least time first."""
    rules = {
        form: {path: text for path, text in example(form).items() if path.startswith("rules/")}
        for form in (*FORMS, LATE_FORM)
    }
    # Before any world is made: hypothesis wants its plugin loaded first.
    quick, slow = _scenarios(rules, QUICK), _scenarios(rules, LENGTHY)
    own = Net("the bundle's own tests", yaml.safe_load(example("few")[GENERATED]), rules["few"])
    made: list[Net] = []
    paces = [(pace.name, generated(pace, SAMPLE)) for pace in (BRISK, USUAL, SLOW)]
    for start in range(0, SAMPLE, NET):
        for name, some in paces:
            batch = Batch(some[start : start + NET], closed=closed)
            made.append(Net(f"{name} worlds", batch.document(), {RULES: batch.rules()}, worlds=True))
    first = len(paces)
    lag = [_lagging(pace, closed=closed) for pace in (HASTY, PATIENT)]
    return [own, *quick, *made[:first], *slow, *made[first:], *lag]


def _lagging(pace: Pace, *, closed: bool) -> Net:
    # Without those that the rules may see otherwise than the model does, for they heed scrapes between evaluations.
    every = [*generated(pace, SAMPLE), *[FORGETFUL] * (pace is PATIENT)]
    memory = Batch(every, closed=closed, many=True).memory
    some = [
        world
        for world in every
        if judged(world, closed=closed, memory=memory)
        == judged(world, closed=closed, memory=memory, attentive=True)
    ]
    batch = Batch(some, closed=closed, many=True)
    return Net(f"{pace.name} worlds", batch.document(), {RULES: batch.rules()}, form="many", worlds=True)


def _scenarios(rules: dict[str, dict[str, str]], names: tuple[str, ...]) -> list[Net]:
    collector = Collector({form: files[RULES] for form, files in rules.items()})
    files = [str(HERE / name) for name in names]
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*files, *options], plugins=[collector])
    assert status == 0, said.getvalue()
    documents: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for file, name, form, interval, group in collector.groups:
        for each in group["promql_expr_test"]:
            each["expr"] += f" # {name}"
        documents.setdefault((file, form, interval), []).append(group)
    return [
        Net(
            file,
            {"group_eval_order": ORDER, "evaluation_interval": interval, "tests": groups},
            rules[form],
            form=form,
        )
        for (file, form, interval), groups in documents.items()
    ]


def main(*, every_net: bool) -> int:
    """Print the table and return the exit status."""
    began = time.monotonic()
    program = find(os.environ.get("HEALER_TEST_RELEASE") or None).promtool
    promtool = program.path
    every = nets(closed=program.version.startswith("2."))
    for net in every:
        assert not net.catch(promtool, None), f"{net.name} fail without a mutant"

    def caught(mutant: Mutant) -> dict[str, list[str]]:
        able = [net for net in every if net.form == mutant.form and (mutant.about_misses or not net.worlds)]
        by: dict[str, list[str]] = {}
        for net in able:
            if found := net.catch(promtool, mutant):
                by.setdefault(net.name, []).extend(found)
                if not every_net:
                    break
        return by

    survivors = 0
    click.echo(f"{'rule':<52} {'mutant':<44} caught by")
    with ThreadPoolExecutor(2) as pool:
        for mutant, by in zip(MUTANTS, pool.map(caught, MUTANTS), strict=True):
            survivors += not by
            click.echo(f"{mutant.rule:<52} {mutant.what:<44} {_words(by)}")
    took = time.monotonic() - began
    click.echo(f"mutants: {len(MUTANTS)}, {survivors} survived, {took:.0f} s")
    return 1 if survivors else 0


def _words(by: dict[str, list[str]]) -> str:
    words = []
    for name, tests in by.items():
        named = [test for test in tests if test.startswith("test_")]
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        words.append(f"{named[0]}{more}" if named else name)
    return ", ".join(words) or "NOBODY"


if __name__ == "__main__":
    sys.exit(main(every_net="--all" in sys.argv))
