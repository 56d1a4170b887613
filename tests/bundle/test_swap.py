"""A set of files is replaced as one, and comes back if it is not confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from healer.bundle.errors import BundleError
from healer.bundle.render import HEADER
from healer.bundle.swap import FOLDER, LockedError, Swap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def bundle(**bodies: str) -> dict[str, str]:
    """Files of a bundle: `rules_a="x"` is rules/a.yml, generated, with `x` in it."""
    return {f"{name.replace('_', '/')}.yml": f"{HEADER}of a test\n{body}\n" for name, body in bodies.items()}


def put(swap: Swap, files: Mapping[str, str]) -> list[str]:
    swap.stage(files)
    return swap.commit(files)


def on_disk(output: Path) -> dict[str, str]:
    return {
        path.relative_to(output).as_posix(): path.read_text()
        for path in output.rglob("*.yml")
        if FOLDER not in path.parts
    }


OLD = bundle(rules_a="old", rules_gone="old", prometheus_prometheus="same")
NEW = bundle(rules_a="new", rules_come="new", prometheus_prometheus="same")


def test_what_changed_is_replaced_added_and_removed(tmp_path: Path) -> None:
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        swap.confirm()
        assert put(swap, NEW) == ["rules/a.yml", "rules/come.yml", "rules/gone.yml"]
        swap.confirm()
        assert on_disk(tmp_path) == NEW
        assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["lock"]


def test_undo_brings_back_what_was_confirmed_however_often_it_was_replaced(tmp_path: Path) -> None:
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        swap.confirm()
        put(swap, NEW)
        put(swap, bundle(rules_a="newer"))
        swap.undo()
        assert on_disk(tmp_path) == OLD
        assert swap.undo() == []


def test_who_is_killed_before_the_confirmation_finds_the_old_files_at_the_next_start(tmp_path: Path) -> None:
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        swap.confirm()
        put(swap, NEW)
    with Swap(tmp_path):
        assert on_disk(tmp_path) == OLD


def test_a_file_that_cannot_be_replaced_leaves_all_as_they_were(tmp_path: Path) -> None:
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        swap.confirm()
        swap.stage(NEW)
        (tmp_path / "rules" / "come.yml").mkdir()
        with pytest.raises(IsADirectoryError):
            swap.commit(NEW)
        (tmp_path / "rules" / "come.yml").rmdir()
        assert on_disk(tmp_path) == OLD


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yml").write_text("groups: []\n")
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        put(swap, NEW)
        swap.undo()
    assert (tmp_path / "rules" / "mine.yml").read_text() == "groups: []\n"


def test_a_file_of_others_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text("groups: []\n")
    with Swap(tmp_path) as swap:
        with pytest.raises(BundleError, match=r"rules/a\.yml is not a file that `healer bundle` made"):
            put(swap, OLD)
        assert on_disk(tmp_path) == {"rules/a.yml": "groups: []\n"}


def test_a_first_line_that_differs_changes_no_meaning(tmp_path: Path) -> None:
    with Swap(tmp_path) as swap:
        put(swap, OLD)
        other = {name: text.replace("of a test", "of another") for name, text in OLD.items()}
        assert swap.stale(other) == sorted(OLD)
        assert swap.differing(other) == []
        assert swap.differing({**other, **bundle(rules_a="new")}) == ["rules/a.yml"]


def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with Swap(tmp_path), pytest.raises(LockedError, match=r"kept by another .*, pid \d+\. Stop that one"):
        Swap(tmp_path)
    with Swap(tmp_path):
        pass
