"""Policies of every kind, each with what is said about it beside it.

After a wanted change of wording: HEALER_WRITE_GOLDEN=1 pytest tests/autoheal/test_corpus.py, then read the diff.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from healer.autoheal import policyfile, report

CORPUS = Path(__file__).parent / "corpus"
BAD = sorted((CORPUS / "bad").glob("*.yml"))
GOOD = sorted((CORPUS / "good").glob("*.yml"))


def said(path):
    """What a check says about a policy: its exit status, then both streams, with the folder left out."""
    out, err = io.StringIO(), io.StringIO()
    status = report.check(path, out=out, err=err)
    return status, (err.getvalue() + out.getvalue()).replace(f"{path.parent}/", "")


def compare(path, text):
    golden = path.with_suffix(".txt")
    if os.environ.get("HEALER_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_policy_is_refused_with_what_is_wrong_and_what_to_do(path):
    status, text = said(path)
    assert status == 1
    assert all(line.startswith(path.name) for line in text.splitlines())
    assert "hunter2" not in text
    compare(path, text)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_policy_says_what_it_allows(path):
    status, text = said(path)
    assert status == 0
    compare(path, text)


def test_every_expectation_has_its_policy():
    assert {path.with_suffix(".yml") for path in CORPUS.glob("*/*.txt")} == {*BAD, *GOOD}


def test_the_example_is_a_good_policy():
    status, text = said(Path(__file__).parents[2] / "autoheal.example.yml")
    assert status == 0, text
    assert "no rule leads" not in text


def test_a_policy_that_anybody_may_write_is_refused(tmp_path):
    path = tmp_path / "autoheal.yml"
    path.write_bytes((CORPUS / "good/minimal.yml").read_bytes())
    path.chmod(0o666)
    with pytest.raises(policyfile.PolicyError, match="chmod o-w"):
        policyfile.load(path)


def test_a_policy_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(policyfile.PolicyError, match=r"absent\.yml.*No such file"):
        policyfile.load(tmp_path / "absent.yml")
