"""What a panel counts in steps adds up to what happened, wherever between two scrapes that was."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from dashboards.promql import happened

from .conftest import filled

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.servers import Servers

SCRAPE, STEP = 5, 60
BESIDE = 2
"""Steps begin beside scrapes."""
TIMES = {"__interval_ms": str(1000 * STEP), "__rate_interval": f"{STEP + SCRAPE}s"}


@pytest.mark.parametrize("at", range(STEP - 2 * SCRAPE, STEP + 2 * SCRAPE + 1, SCRAPE))
@pytest.mark.parametrize(("before", "times"), [(0, 1), (0, 4), (1000, 1), (1000, 100)])
def test_what_happens_is_in_one_step(
    servers: Servers, tmp_path: Path, at: int, before: int, times: int
) -> None:
    queries = [
        {
            "expr": filled(happened("things_total", "svc", 'job="x"'), TIMES),
            "eval_time": f"{end + BESIDE}s",
            "exp_samples": [{"labels": '{svc="a"}', "value": times}] if end - STEP < at <= end else [],
        }
        for end in (STEP, 2 * STEP, 3 * STEP)
    ]
    values = f"{before}x{at // SCRAPE - 1} {before + times}x{4 * STEP // SCRAPE}"
    test = {
        "interval": f"{SCRAPE}s",
        "input_series": [{"series": 'things_total{job="x",svc="a"}', "values": values}],
        "promql_expr_test": queries,
    }
    (tmp_path / "counts.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    done = subprocess.run(
        [servers.promtool.path, "test", "rules", tmp_path / "counts.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
