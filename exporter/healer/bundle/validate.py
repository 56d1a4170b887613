"""What Prometheus' and Alertmanager's own tools say about a written bundle."""

from __future__ import annotations

import asyncio
import contextlib
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
    commands = _checks(files_dir, promtool, amtool)
    tests = sorted((files_dir / "promtool-tests").glob("*.yml"))
    if promtool and tests:
        commands.append([promtool, "test", "rules", *tests])
    return [problem for command in commands if (problem := _run(command))]


async def check(files_dir: Path, promtool: Path | None, amtool: Path | None) -> list[str]:
    """Do what `validate` does beside other work, without the unit tests: they take a minute for 1,000 services."""
    commands = _checks(files_dir, promtool, amtool)
    return [problem for command in commands if (problem := await _run_beside(command))]


def _checks(files_dir: Path, promtool: Path | None, amtool: Path | None) -> list[Sequence[str | Path]]:
    checks: list[Sequence[str | Path]] = []
    if promtool:
        rules = sorted((files_dir / "rules").glob("*.yml"))
        checks += [
            [promtool, "check", "rules", "--lint=all", "--lint-fatal", *rules],
            # Syntax only: files that it names, such as a token's, are where Prometheus runs, and perhaps not here.
            [promtool, "check", "config", "--syntax-only", files_dir / "prometheus" / "prometheus.yml"],
        ]
    if amtool:
        checks.append([amtool, "check-config", files_dir / "alertmanager" / "alertmanager.yml"])
    return checks


def _run(command: Sequence[str | Path]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except OSError as error:
        return f"{_shown(command)}: cannot be run: {error}"
    except subprocess.TimeoutExpired:
        return f"{_shown(command)}: no answer within {_SECONDS:.0f} s"
    return _verdict(command, done.returncode, done.stdout + done.stderr)


async def _run_beside(command: Sequence[str | Path]) -> str | None:
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        return f"{_shown(command)}: cannot be run: {error}"
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await child.communicate()
    except TimeoutError:
        return f"{_shown(command)}: no answer within {_SECONDS:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    return _verdict(command, await child.wait(), said.decode(errors="replace"))


def _verdict(command: Sequence[str | Path], status: int, said: str) -> str | None:
    return None if status == 0 else f"{_shown(command)}: exit {status}\n{said.strip()}"


def _shown(command: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in command)
