"""The mutants still fit the rules: a fault that is not there cannot be caught."""

from __future__ import annotations

import json

import promql_parser
import pytest
from tests.bundle.conftest import EXAMPLE
from tests.bundle.mutants import MUTANTS, Mutant, MutationError
from tests.bundle.replay import RULES, Batch
from tests.bundle.test_differential import generated
from tests.bundle.world import USUAL

from healer.bundle import Settings, render


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "-"))
def test_a_mutant_changes_the_rules_in_exactly_one_place(mutant: Mutant) -> None:
    changed = json.loads(mutant.apply(render(EXAMPLE, Settings())[RULES]))
    for rule in (rule for group in changed["groups"] for rule in group["rules"]):
        if mutant.rule in {rule.get("alert"), rule.get("record")}:
            promql_parser.parse(
                rule["expr"]
            )  # a fault that Prometheus cannot load is caught by no test of ours


def test_mutants_about_misses_change_the_rules_of_worlds() -> None:
    rules = render(Batch(generated(USUAL, 20), closed=True).truth(), Settings())[RULES]
    for mutant in MUTANTS:
        if mutant.about_misses:
            mutant.apply(rules, branches=True)


def test_no_two_mutants_are_the_same() -> None:
    rules = render(EXAMPLE, Settings())[RULES]
    assert (
        len({mutant.apply(rules) for mutant in MUTANTS})
        == len({each.what for each in MUTANTS})
        == len(MUTANTS)
    )


def test_a_mutation_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MutationError, match="fits 0 places"):
        Mutant("nothing", "HeartbeatMiss", "no such text", "").apply(render(EXAMPLE, Settings())[RULES])
