"""What `healer bundle` does: render, prove the result with promtool and amtool where they are found, write."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from healer.bundle.errors import BundleError
from healer.bundle.files import difference, stale, stream, write
from healer.bundle.kubernetes import manifests
from healer.bundle.render import render
from healer.bundle.sync import Tools
from healer.bundle.validate import validate
from healer.truth.problems import TruthError
from healer.truth.report import read
from healer.truth.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from healer.bundle.kubernetes import Placement
    from healer.bundle.settings import Settings
    from healer.truth.load import Loaded

REDIS = "redis"
"""The source that means the truth of the running system."""
STANDARD_OUTPUT = "-"
"""The output that means one stream of all files instead of a folder."""
PARTS = {
    "rules": "rules",
    "tests": "promtool-tests",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "grafana": "grafana",
}
"""What can be asked for by itself, and the folder that it is in."""


NO_TOOLS = Tools(None, None)


class Mode(StrEnum):
    """What to do with what was rendered: write it, say which files differ, or show how."""

    WRITE = "write"
    CHECK = "check"
    DIFF = "diff"


def bundle(
    source: str,
    output: str,
    settings: Settings,
    env: Mapping[str, str],
    *,
    mode: Mode = Mode.WRITE,
    only: Collection[str] = (),
    cluster: Placement | None = None,
    tools: Tools = NO_TOOLS,
    out: TextIO,
    err: TextIO,
) -> int:
    """Bring the bundle in `output` in line with the truth, or only say whether and how it differs.

    Nothing is written unless everything rendered and passed; what is written is replaced file by file,
    atomically. Files that are not generated are never overwritten.

    Args:
        source: A truth file, `-` for standard input, or `redis`.
        output: The folder of the bundle, or `-` for standard output.
        settings: Where the parts run, how often, whom to tell.
        env: Environment variables, for the truth.
        mode: What to do; only `Mode.WRITE` writes.
        only: Keys of `PARTS` that are wanted; none for all.
        cluster: Where in a cluster it goes: manifests instead of the servers' own files; or None.
        tools: Check what was rendered, those that are given.
        out: For what was done, or the stream or difference asked for.
        err: For what is wrong.

    Returns:
        The exit status: 0; 1 after saying what is wrong or stale; like that of diff with `Mode.DIFF`, which is 1
        for a difference and 2 for trouble.
    """
    try:
        loaded = load(source, env, err)
        rendered = render(loaded.truth, settings)
        folders = {PARTS[part] for part in only}
        files = {
            name: text for name, text in rendered.items() if not only or name.partition("/")[0] in folders
        }
        if cluster is not None:
            files = manifests(files, settings, cluster)
        if mode is Mode.CHECK:
            return _compare(files, Path(output), source, out, err)
        if mode is Mode.DIFF:
            text = difference(files, Path(output))
            out.write(text)
            return 1 if text else 0
        problems = _try_out(rendered, tools)
        if problems:
            print(*problems, "nothing was written", sep="\n", file=err)
            return 1
        if output == STANDARD_OUTPUT:
            out.write(stream(files))
            print(_summary(len(files), loaded, "on standard output", tools), file=err)
            return 0
        if settings.private:
            _refuse_tree(Path(output))
        changed = write(files, Path(output), private=settings.private)
    except (TruthError, StoreError, BundleError, OSError) as error:
        print(error, file=err)
        return 2 if mode is Mode.DIFF else 1
    for name in changed:
        print(f"{'wrote' if name in files else 'removed'} {Path(output) / name}", file=out)
    print(_summary(len(files), loaded, f"{len(changed)} changed", tools), file=out)
    return 0


def load(source: str, env: Mapping[str, str], err: TextIO) -> Loaded:
    """Return the truth at `source`, after saying to `err` what is doubtful about it.

    Raises:
        TruthError: It cannot be read or used.
        StoreError: Redis does not hand it out.
    """
    _, loaded = read(None if source == REDIS else source, env)
    for warning in loaded.warnings:
        print(warning.render(loaded.source), file=err)
    return loaded


def _refuse_tree(output: Path) -> None:
    """Refuse a folder that is kept under version control.

    Raises:
        BundleError: It is one.
    """
    folder = output.absolute().resolve()
    for parent in (folder, *folder.parents):
        if (parent / ".git").exists():
            problem = (
                f"{output} is in the repository {parent}, and what is written would hold secrets: choose a folder"
                " outside of it, such as /run/healer."
            )
            raise BundleError([problem])


def _summary(count: int, loaded: Loaded, done: str, tools: Tools) -> str:
    found = [name for name, tool in (("promtool", tools.promtool), ("amtool", tools.amtool)) if tool]
    passed = (
        f", passed by {' and '.join(found)}"
        if found
        else "; promtool and amtool not found, so not checked by them"
    )
    return f"bundle: {count} files for truth {loaded.truth.sha256[:12]}, {done}{passed}"


def _compare(files: Mapping[str, str], output: Path, source: str, out: TextIO, err: TextIO) -> int:
    wrong = stale(files, output)
    for name in wrong:
        print(f"{output / name}: {'stale' if name in files else 'of an earlier truth'}", file=err)
    if wrong:
        print(f"bundle: stale; run: healer bundle --truth {source} --output {output}", file=err)
        return 1
    print(f"bundle: {len(files)} files are up to date", file=out)
    return 0


def _try_out(files: Mapping[str, str], tools: Tools) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="healer-bundle-") as folder:
        write(files, Path(folder))
        return validate(Path(folder), tools.promtool, tools.amtool)
