"""What `healer bundle` does: render, prove the result with promtool and amtool where they are found, write."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from healer.bundle.errors import BundleError
from healer.bundle.files import stale, write
from healer.bundle.render import render
from healer.bundle.validate import validate
from healer.truth.problems import TruthError
from healer.truth.report import read
from healer.truth.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.bundle.settings import Settings

REDIS = "redis"
"""The source that means the truth of the running system."""


def bundle(
    source: str,
    output: Path,
    settings: Settings,
    env: Mapping[str, str],
    *,
    check: bool = False,
    promtool: Path | None = None,
    amtool: Path | None = None,
    out: TextIO = sys.stdout,
    err: TextIO = sys.stderr,
) -> int:
    """Bring the bundle in `output` in line with the truth, or with `check` only say whether it is.

    Nothing is written unless everything rendered and passed; what is written is replaced file by file,
    atomically.

    Args:
        source: A truth file, `-` for standard input, or `redis`.
        output: The folder of the bundle.
        settings: Where the parts run, how often, whom to tell.
        env: Environment variables, for the truth.
        check: Compare only.
        promtool: Checks rules, their tests and Prometheus' configuration if given.
        amtool: Checks Alertmanager's configuration if given.
        out: For what was done.
        err: For what is wrong.

    Returns:
        The exit status: 0, or 1 after saying what is wrong or stale.
    """
    try:
        _, loaded = read(None if source == REDIS else source, env)
        for warning in loaded.warnings:
            print(warning.render(loaded.source), file=err)
        files = render(loaded.truth, settings)
        if check:
            return _compare(files, output, source, out, err)
        problems = _try_out(files, promtool, amtool)
        if problems:
            print(*problems, "nothing was written", sep="\n", file=err)
            return 1
        changed = write(files, output)
    except (TruthError, StoreError, BundleError, OSError) as error:
        print(error, file=err)
        return 1
    for name in changed:
        print(f"{'wrote' if name in files else 'removed'} {output / name}", file=out)
    tools = [name for name, tool in (("promtool", promtool), ("amtool", amtool)) if tool]
    passed = (
        f", passed by {' and '.join(tools)}"
        if tools
        else "; promtool and amtool not found, so not checked by them"
    )
    print(
        f"bundle: {len(files)} files for truth {loaded.truth.sha256[:12]}, {len(changed)} changed{passed}",
        file=out,
    )
    return 0


def _compare(files: Mapping[str, str], output: Path, source: str, out: TextIO, err: TextIO) -> int:
    wrong = stale(files, output)
    for name in wrong:
        print(f"{output / name}: {'stale' if name in files else 'of an earlier truth'}", file=err)
    if wrong:
        print(f"bundle: stale; run: healer bundle --truth {source} --output {output}", file=err)
        return 1
    print(f"bundle: {len(files)} files are up to date", file=out)
    return 0


def _try_out(files: Mapping[str, str], promtool: Path | None, amtool: Path | None) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="healer-bundle-") as folder:
        write(files, Path(folder))
        return validate(Path(folder), promtool, amtool)
