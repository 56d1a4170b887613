"""Writing the bundle: only what changed, nothing left over, nothing of others touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from healer.bundle import stale, write
from healer.bundle.render import HEADER

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"rules/a.yml": f"{HEADER}1\n", "prometheus/b.yml": f"{HEADER}1\n"}


def test_what_is_missing_or_different_is_stale_and_gets_written(tmp_path: Path) -> None:
    assert stale(FILES, tmp_path) == ["prometheus/b.yml", "rules/a.yml"]
    assert write(FILES, tmp_path) == ["prometheus/b.yml", "rules/a.yml"]
    (tmp_path / "rules/a.yml").write_text("edited")
    assert write(FILES, tmp_path) == ["rules/a.yml"]
    assert (tmp_path / "rules/a.yml").read_text() == FILES["rules/a.yml"]


def test_what_is_right_is_not_touched(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    before = (tmp_path / "rules/a.yml").stat()
    assert write(FILES, tmp_path) == []
    assert (tmp_path / "rules/a.yml").stat() == before


def test_what_an_earlier_truth_left_is_removed_and_what_others_wrote_stays(tmp_path: Path) -> None:
    write({**FILES, "rules/old.yml": f"{HEADER}0\n"}, tmp_path)
    (tmp_path / "rules/mine.yml").write_text("groups: []\n")
    assert stale(FILES, tmp_path) == ["rules/old.yml"]
    assert write(FILES, tmp_path) == ["rules/old.yml"]
    assert sorted(path.name for path in (tmp_path / "rules").iterdir()) == ["a.yml", "mine.yml"]


def test_a_written_file_can_be_read_by_the_servers_user(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    assert (tmp_path / "rules/a.yml").stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    with pytest.raises(UnicodeEncodeError):
        write({**FILES, "rules/a.yml": "half \ud800"}, tmp_path)
    assert (tmp_path / "rules/a.yml").read_text() == FILES["rules/a.yml"]
    assert [path.name for path in (tmp_path / "rules").iterdir()] == ["a.yml"]
