"""Whole bundles for six truths, kept to be read.

After a wanted change of the output: HEALER_WRITE_GOLDEN=1 pytest tests/bundle/test_golden.py, then read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from healer.bundle import Settings, render, stale, validate, write
from healer.bundle.kubernetes import Placement, manifests
from healer.truth.load import load_file

if TYPE_CHECKING:
    from healer.stack.servers import Servers

GOLDEN = sorted(path.parent for path in (Path(__file__).parent / "golden").glob("*/truth.json"))
CLUSTER = Placement("monitoring", (("release", "kube-prometheus-stack"),))


def rendered(folder: Path) -> dict[str, str]:
    files = render(load_file(folder / "truth.json", {}).truth, Settings())
    # Dashboards are the same for every truth: the committed ones can be read, and that of hosts here.
    files = {
        name: text
        for name, text in files.items()
        if not name.startswith("grafana/") or name.endswith("/hosts.json")
    }
    return files | manifests(files, Settings(), CLUSTER) if folder.name == "user_guide" else files


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_a_truth_gives_the_bundle_that_was_read_and_found_good(folder: Path) -> None:
    files = rendered(folder)
    if os.environ.get("HEALER_WRITE_GOLDEN"):
        write(files, folder)
    assert stale(files, folder) == [], "see the head of this file"


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_what_was_found_good_is_good_to_the_servers_own_tools_too(folder: Path, servers: Servers) -> None:
    assert validate(folder, servers.promtool.path, servers.amtool.path) == []


def test_there_are_six() -> None:
    assert len(GOLDEN) == 6
