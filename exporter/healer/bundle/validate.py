"""What Prometheus' and Alertmanager's own tools say about a written bundle."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SECONDS = 300.0


def validate(files_dir: Path, promtool: Path | None, amtool: Path | None) -> list[str]:
    """Check the bundle in `files_dir` and return the problems, empty if there are none.

    Args:
        files_dir: The folder given to `healer.bundle.write`.
        promtool: Prometheus' tool, or None to leave its checks (rules, unit tests, configuration) out.
        amtool: Alertmanager's tool, or None to leave its check out.
    """
    checks: list[Sequence[str | Path]] = []
    if promtool:
        rules = sorted((files_dir / "rules").glob("*.yml"))
        tests = sorted((files_dir / "promtool-tests").glob("*.yml"))
        checks += [
            [promtool, "check", "rules", "--lint=all", "--lint-fatal", *rules],
            [promtool, "check", "config", files_dir / "prometheus" / "prometheus.yml"],
        ]
        if tests:
            checks.append([promtool, "test", "rules", *tests])
    if amtool:
        checks.append([amtool, "check-config", files_dir / "alertmanager" / "alertmanager.yml"])
    return [problem for check in checks if (problem := _run(check))]


def _run(command: Sequence[str | Path]) -> str | None:
    shown = " ".join(str(word) for word in command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except OSError as error:
        return f"{shown}: cannot be run: {error}"
    except subprocess.TimeoutExpired:
        return f"{shown}: no answer within {_SECONDS:.0f} s"
    if done.returncode == 0:
        return None
    return f"{shown}: exit {done.returncode}\n{(done.stdout + done.stderr).strip()}"
