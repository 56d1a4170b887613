"""The mutants still fit the rules: a fault that is not there cannot be caught."""

from __future__ import annotations

import json

import promql_parser
import pytest
from tests.bundle.conftest import example
from tests.bundle.mutants import MUTANTS, Mutant, MutationError
from tests.bundle.replay import RULES, Batch
from tests.bundle.test_differential import PATIENT, generated
from tests.bundle.world import USUAL


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "-"))
def test_a_mutant_changes_the_rules_in_exactly_one_place(mutant: Mutant) -> None:
    changed = json.loads(mutant.apply(example(mutant.form)[RULES]))
    for rule in (rule for group in changed["groups"] for rule in group["rules"]):
        if mutant.rule in {rule.get("alert"), rule.get("record")}:
            promql_parser.parse(
                rule["expr"]
            )  # a fault that Prometheus cannot load is caught by no test of ours


def test_mutants_about_misses_change_the_rules_of_worlds() -> None:
    usually = Batch(generated(USUAL, 20), closed=True).rules()
    lags = Batch(generated(PATIENT, 20), closed=True, many=True).rules()
    for mutant in MUTANTS:
        if mutant.about_misses:
            mutant.apply(usually if mutant.form == "few" else lags, branches=True)


def test_no_two_mutants_are_the_same() -> None:
    assert (
        len({mutant.apply(example(mutant.form)[RULES]) for mutant in MUTANTS})
        == len({each.what for each in MUTANTS})
        == len(MUTANTS)
    )


def test_a_mutation_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MutationError, match="fits 0 places"):
        Mutant("nothing", "HeartbeatMiss", "no such text", "").apply(example("few")[RULES])
