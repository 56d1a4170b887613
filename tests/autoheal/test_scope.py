"""Which systemd-run is trusted with commands: what it does in a trial, not that it is there.

What happens inside of scopes is shown by tests/systemd, with a real systemd.
"""

from __future__ import annotations

import pytest

from healer.autoheal.scope import Cgroup, ScopeError, Scopes, find

from .conftest import policy

# Runs what follows --, as a scope does.
HONEST = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
FAULTS = {
    "no_systemd": ("echo Failed to connect to bus: Host is down >&2; exit 1", "Host is down"),
    "says_nothing": ("exit 7", "exit status 7"),
    "expands": ("echo /root", "it changes arguments"),
}


@pytest.fixture
def program(tmp_path):
    def make(text):
        path = tmp_path / "systemd-run"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


def test_a_scope_is_asked_for_without_expansion(program) -> None:
    path = program(HONEST)
    scopes = find(Cgroup.AUTO, path)
    assert scopes is not None
    assert scopes.wrap("ab12", ("/bin/echo", "${x}", "--unit=y")) == (
        *(str(path), "--scope", "--quiet", "--collect", "--no-ask-password", "--expand-environment=no"),
        *("--unit=healer-action-ab12.scope", "--", "/bin/echo", "${x}", "--unit=y"),
    )


def test_an_older_one_that_does_not_know_of_expansion_is_taken_as_it_is(program) -> None:
    old = 'case "$*" in *--expand*) exit 1;; esac; ' + HONEST
    scopes = find(Cgroup.AUTO, program(old))
    assert isinstance(scopes, Scopes)
    assert scopes.prefix[-1] == "--no-ask-password"


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_makes_no_scope_is_not_used_and_refused_if_it_has_to_be(program, fault) -> None:
    text, said = FAULTS[fault]
    path = program(text)
    assert find(Cgroup.AUTO, path) is None
    with pytest.raises(ScopeError, match=said):
        find(Cgroup.SYSTEMD, path)


def test_one_that_is_not_there_or_hangs_is_not_used(program, tmp_path, monkeypatch) -> None:
    assert find(Cgroup.AUTO, tmp_path / "nowhere") is None
    monkeypatch.setattr("healer.autoheal.scope.PROBE_SECONDS", 0.2)
    with pytest.raises(ScopeError, match="no answer in time"):
        find(Cgroup.SYSTEMD, program("exec sleep 60"))


def test_none_does_not_even_try(program, tmp_path) -> None:
    assert find(Cgroup.NONE, program(f"touch {tmp_path}/tried")) is None
    assert not (tmp_path / "tried").exists()


async def test_a_choice_that_is_none_is_an_error_at_the_start(autoheal) -> None:
    with pytest.raises(AssertionError, match=r"AUTOHEAL_CGROUP: found 'maybe', expected auto, systemd, none"):
        await autoheal(policy(["/bin/true"]), AUTOHEAL_CGROUP="maybe")
