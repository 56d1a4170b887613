"""Writing the bundle: only what changed, nothing left over, nothing of others touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from healer.bundle import BundleError, stale, write
from healer.bundle.files import difference, stream
from healer.bundle.render import HEADER

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"prometheus/b.yml": f"{HEADER}1\nb: 1\n", "rules/a.yml": f"{HEADER}1\na: 1\n"}
DASHBOARD = {"grafana/dashboards/d.json": f'{{"description": "{HEADER[2:]}1"}}\n'}


def test_what_is_missing_or_different_is_stale_and_gets_written(tmp_path: Path) -> None:
    assert stale(FILES, tmp_path) == ["prometheus/b.yml", "rules/a.yml"]
    assert write(FILES, tmp_path) == ["prometheus/b.yml", "rules/a.yml"]
    (tmp_path / "rules/a.yml").write_text(f"{HEADER}1\nedited: 1\n")
    assert write(FILES, tmp_path) == ["rules/a.yml"]
    assert (tmp_path / "rules/a.yml").read_text() == FILES["rules/a.yml"]


def test_what_is_right_is_not_touched(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    before = (tmp_path / "rules/a.yml").stat()
    assert write(FILES, tmp_path) == []
    after = (tmp_path / "rules/a.yml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_an_earlier_truth_left_is_removed_and_what_others_wrote_stays(tmp_path: Path) -> None:
    write({**FILES, "rules/old.yml": f"{HEADER}0\n"}, tmp_path)
    (tmp_path / "rules/mine.yml").write_text("groups: []\n")
    assert stale(FILES, tmp_path) == ["rules/old.yml"]
    assert write(FILES, tmp_path) == ["rules/old.yml"]
    assert sorted(path.name for path in (tmp_path / "rules").iterdir()) == ["a.yml", "mine.yml"]


def test_a_file_that_is_not_generated_is_never_overwritten_and_then_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.yml").write_text("groups: []\n")
    with pytest.raises(BundleError, match=r"rules/a\.yml is not a file that `healer bundle` made"):
        write(FILES, tmp_path)
    assert (tmp_path / "rules/a.yml").read_text() == "groups: []\n"
    assert not (tmp_path / "prometheus").exists()


def test_a_dashboard_says_in_its_first_value_that_it_is_generated(tmp_path: Path) -> None:
    write({**DASHBOARD, "grafana/dashboards/old.json": f'{{"description": "{HEADER[2:]}0"}}\n'}, tmp_path)
    (tmp_path / "grafana/dashboards/mine.json").write_text("{}\n")
    assert write(DASHBOARD, tmp_path) == ["grafana/dashboards/old.json"]
    with pytest.raises(BundleError, match=r"mine\.json is not"):
        write({**DASHBOARD, "grafana/dashboards/mine.json": "{}\n"}, tmp_path)


def test_a_difference_is_a_patch(tmp_path: Path) -> None:
    write({"rules/a.yml": f"{HEADER}1\na: 1\n", "rules/old.yml": f"{HEADER}0\nno\u2028break\n"}, tmp_path)
    (tmp_path / "rules/a.yml").write_text(f"{HEADER}1\na: 0")
    assert difference(FILES, tmp_path).splitlines() == [
        "--- /dev/null",
        "+++ b/prometheus/b.yml",
        "@@ -0,0 +1,2 @@",
        f"+{HEADER}1",
        "+b: 1",
        "--- a/rules/a.yml",
        "+++ b/rules/a.yml",
        "@@ -1,2 +1,2 @@",
        f" {HEADER}1",
        "-a: 0",
        "\\ No newline at end of file",
        "+a: 1",
        "--- a/rules/old.yml",
        "+++ /dev/null",
        "@@ -1,2 +0,0 @@",
        f"-{HEADER}0",
        *"-no\u2028break".splitlines(),
    ]
    write(FILES, tmp_path)
    assert difference(FILES, tmp_path) == ""


def test_a_stream_is_all_files_each_after_its_path() -> None:
    text = stream(FILES)
    assert [line for line in text.splitlines() if line.startswith("# file: ")] == [
        "# file: prometheus/b.yml",
        "# file: rules/a.yml",
    ]
    assert list(yaml.safe_load_all(text)) == [{"b": 1}, {"a": 1}]


def test_a_written_file_can_be_read_by_the_servers_user(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    assert (tmp_path / "rules/a.yml").stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    with pytest.raises(UnicodeEncodeError):
        write({**FILES, "rules/a.yml": "half \ud800"}, tmp_path)
    assert (tmp_path / "rules/a.yml").read_text() == FILES["rules/a.yml"]
    assert [path.name for path in (tmp_path / "rules").iterdir()] == ["a.yml"]
