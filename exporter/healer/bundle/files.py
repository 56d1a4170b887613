"""The bundle on disk: written whole or not at all, and nothing left over from a truth before."""

from __future__ import annotations

import difflib
import io
import os
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from healer.bundle.errors import BundleError
from healer.bundle.render import HEADER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_HEAD = 512
_SUFFIXES = {".json", ".tmpl", ".yml"}


def write(files: Mapping[str, str], output: Path, private: Collection[str] = ()) -> list[str]:
    """Bring `output` in line with `files` and return the paths, relative to it, that changed; sorted.

    Each file is replaced atomically; one that is already right keeps its inode and times. Generated files
    that are no longer in `files` are removed; files without the generator's header are never touched.

    Args:
        files: Path to text.
        output: The folder.
        private: Those of `files` that nobody else may read.

    Raises:
        BundleError: A file that is not generated stands where one has to be written; nothing was.
        OSError: The folder cannot be written.
    """
    refuse_foreign(files, output)
    changed = stale(files, output)
    for name in changed:
        if name in files:
            _replace(output / name, files[name], 0o600 if name in private else 0o644)
        else:
            (output / name).unlink()
    return changed


def stale(files: Mapping[str, str], output: Path) -> list[str]:
    """Return the paths in `output`, relative to it, that `write` would change; sorted, empty if none.

    Raises:
        OSError: The folder cannot be read.
    """
    wrong = {name for name, text in files.items() if _read(output / name) != text.encode()}
    return sorted(wrong | {name for name in _generated(files, output) if name not in files})


def not_generated(files: Mapping[str, str], output: Path) -> list[str]:
    """Return those of `files` that exist in `output` without the generator's header; sorted.

    An empty file is nobody's work.

    Raises:
        OSError: The folder cannot be read.
    """
    texts = ((name, _read(output / name)) for name in sorted(files))
    return [name for name, text in texts if text and not _is_ours(name, text)]


def refuse_foreign(files: Mapping[str, str], output: Path) -> None:
    """Do nothing if `write` may write all of `files`.

    Raises:
        BundleError: A file that is not generated stands where one has to be written.
        OSError: The folder cannot be read.
    """
    if foreign := not_generated(files, output):
        raise BundleError(
            f"{output / name} is not a file that `healer bundle` made, so it is not overwritten: move it away,"
            " or choose another folder."
            for name in foreign
        )


def difference(files: Mapping[str, str], output: Path) -> str:
    """Return what `write` would change in `output` as a unified diff; empty if nothing.

    Raises:
        OSError: The folder cannot be read.
    """
    parts: list[str] = []
    for name in stale(files, output):
        old = _lines((_read(output / name) or b"").decode("utf-8", errors="replace"))
        new = _lines(files.get(name, ""))
        before = f"a/{name}" if old else "/dev/null"
        after = f"b/{name}" if new else "/dev/null"
        parts += [
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(old, new, before, after)
        ]
    return "".join(parts)


def stream(files: Mapping[str, str]) -> str:
    """Return all files as one stream of YAML documents, each after a line `# file: path`; what is no YAML as text."""
    return "".join(f"---\n# file: {name}\n{_yaml(name, text)}" for name, text in files.items())


def _yaml(name: str, text: str) -> str:
    return text if name.endswith(".yml") else f"|\n{textwrap.indent(text, '  ')}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _lines(text: str) -> list[str]:
    """Split as diff does: str.splitlines would also split where Unicode sees a line's end."""
    return io.StringIO(text, newline="\n").readlines()


def _is_ours(name: str, head: bytes) -> bool:
    """Whether a file that begins with `head` is generated. JSON has no comments: there, a first value says so."""
    mark = HEADER.encode()
    return mark.removeprefix(b"# ") in head[:_HEAD] if name.endswith(".json") else head.startswith(mark)


def _generated(files: Mapping[str, str], output: Path) -> Iterator[str]:
    """Yield what an earlier run left in the folders that `files` go to."""
    for folder in sorted({name.partition("/")[0] for name in files if "/" in name}):
        for path in sorted((output / folder).rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                with path.open("rb") as file:
                    if _is_ours(path.name, file.read(_HEAD)):
                        yield path.relative_to(output).as_posix()


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's 0600 would keep Prometheus, which runs as another user, from reading it.
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
