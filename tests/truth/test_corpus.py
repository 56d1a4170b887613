"""Documents of every kind, each with what is said about it beside it.

After a wanted change of wording: HEALER_WRITE_GOLDEN=1 pytest tests/truth/test_corpus.py, then read the diff.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from healer.truth import report

CORPUS = Path(__file__).parent / "corpus"
BAD = sorted((CORPUS / "bad").glob("*.json"))
GOOD = sorted((CORPUS / "good").glob("*.json"))


def said(command, path):
    """What a command says about a document: its exit status, then both streams, with the folder left out."""
    out, err = io.StringIO(), io.StringIO()
    status = command(str(path), {}, out, err)
    return status, (err.getvalue() + out.getvalue()).replace(f"{path.parent}/", "")


def compare(path, text):
    golden = path.with_suffix(".txt")
    if os.environ.get("HEALER_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_document_is_refused_with_what_is_wrong_and_what_to_do(path):
    status, text = said(report.check, path)
    assert status == 1
    assert all(line.startswith(path.name) for line in text.splitlines())
    assert "hunter2" not in text
    compare(path, text)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_document_says_what_it_means(path):
    status, text = said(report.show, path)
    assert status == 0
    assert "hunter2" not in text
    assert said(report.check, path)[0] == 0
    compare(path, text)


def test_every_expectation_has_its_document():
    assert {path.with_suffix(".json") for path in CORPUS.glob("*/*.txt")} == {*BAD, *GOOD}
