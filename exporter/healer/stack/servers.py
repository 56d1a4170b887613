"""Finds the servers of a native run: on PATH, else in a private cache, which it fills when it has to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from healer.stack.apt import AptError, System
from healer.stack.fetch import ALERTMANAGER, NODE_EXPORTER, PROMETHEUS, REDIS, Cache, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION_SECONDS = 20.0
"""How long a program may take to say its version; a cold disk is slow."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that ran and said its version.

    Attributes:
        path: Where it is.
        version: Such as `2.42.0`.
        environment: What it needs in its environment.
        directory: The working directory it needs, or None for any.
    """

    path: Path
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class Servers:
    """All programs of a native run."""

    redis_server: Program
    redis_cli: Program
    prometheus: Program
    promtool: Program
    alertmanager: Program
    amtool: Program

    def __str__(self) -> str:
        """Return the versions in a line."""
        return (
            f"redis {self.redis_server.version}, prometheus {self.prometheus.version}, "
            f"alertmanager {self.alertmanager.version}"
        )


class MissingServersError(Exception):
    """Programs are neither on PATH nor to be fetched; the message says which and what to do."""

    def __init__(self, missing: list[str], reason: str, cache: Path) -> None:
        super().__init__(
            f"these programs are missing: {', '.join(missing)}\n"
            f"fetching them failed: {reason}\n"
            "Two ways out:\n"
            "  install them, so that they are on PATH; the Debian packages are\n"
            "    redis-server redis-tools prometheus prometheus-alertmanager (and promtool where it is one)\n"
            "  or run on Debian or Ubuntu with a package mirror in reach: they are then fetched, without root,\n"
            f"    into {cache}"
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A program to look for: under which names, how its version line begins, and whose package has it."""

    names: tuple[str, ...]
    banner: str
    group: Group


_WANTED = {
    "redis_server": _Wanted(("redis-server",), "Redis server v=", REDIS),
    "redis_cli": _Wanted(("redis-cli",), "redis-cli ", REDIS),
    "prometheus": _Wanted(("prometheus",), "prometheus, version ", PROMETHEUS),
    "promtool": _Wanted(("promtool",), "promtool, version ", PROMETHEUS),
    "alertmanager": _Wanted(
        ("prometheus-alertmanager", "alertmanager"), "alertmanager, version ", ALERTMANAGER
    ),
    "amtool": _Wanted(("amtool",), "amtool, version ", ALERTMANAGER),
}
_OF_HOSTS = {
    "node_exporter": _Wanted(
        ("prometheus-node-exporter", "node_exporter"), "node_exporter, version ", NODE_EXPORTER
    )
}
"""What is fetched only when it is asked for."""


def cache_folder() -> Path:
    """Return where fetched servers are kept: HEALER_CACHE, else `healer` in the user's cache folder."""
    return Path(os.environ.get("HEALER_CACHE") or platformdirs.user_cache_dir("healer")).absolute()


def find(
    release: str | None = None,
    *,
    cache: Path | None = None,
    system: System | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Servers:
    """Return all servers, fetching those that are missing.

    Args:
        release: A Debian release to take Prometheus and Alertmanager from, whatever is on PATH. Redis is
            always this system's own, because another release's may need another libc.
        cache: Where fetched servers are kept, by default `cache_folder()`.
        system: The machine, by default this one.
        say: Is given a line for each step that takes time.

    Raises:
        MissingServersError: A server is neither here nor to be had.
    """
    return Servers(**_found(_WANTED, release, cache or cache_folder(), system, say))


def find_node_exporter(
    *,
    cache: Path | None = None,
    system: System | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Program:
    """Return node_exporter, fetched if it is missing; the arguments are those of `find`.

    Raises:
        MissingServersError: It is neither here nor to be had.
    """
    return _found(_OF_HOSTS, None, cache or cache_folder(), system, say)["node_exporter"]


def _found(
    wanted: Mapping[str, _Wanted],
    release: str | None,
    folder: Path,
    system: System | None,
    say: Callable[[str], None],
) -> dict[str, Program]:
    finder = _Finder(wanted, folder, release, system, say)
    finder.look_on_path()
    try:
        finder.look_in_cache()
        finder.fetch()
    except (AptError, OSError) as error:
        raise MissingServersError(finder.missing(), str(error), folder) from error
    return finder.found


class _Finder:
    """One search: what was found so far, and where to look next."""

    def __init__(
        self,
        wanted: Mapping[str, _Wanted],
        folder: Path,
        release: str | None,
        system: System | None,
        say: Callable[[str], None],
    ) -> None:
        self._wanted = wanted
        self.found: dict[str, Program] = {}
        self._folder = folder
        self._release = release
        self._system = system
        self._say = say

    def missing(self) -> list[str]:
        """Return the names of the programs not found yet."""
        return [wanted.names[0] for key, wanted in self._wanted.items() if key not in self.found]

    def look_on_path(self) -> None:
        """Take what is on PATH and runs, except programs of which a certain release is wanted."""
        for key, wanted in self._wanted.items():
            if self._release is not None and wanted.group is not REDIS:
                continue
            for path in filter(None, map(shutil.which, wanted.names)):
                version, _ = _version(Path(path), wanted.banner, {})
                if version and key not in self.found:
                    self.found[key] = Program(Path(path), version)

    def look_in_cache(self) -> str:
        """Take what the cache has and runs; return why the last program that did not run did not."""
        trouble = ""
        for key, wanted in self._wanted.items():
            if key in self.found:
                continue
            root = self._cache(wanted.group).root(wanted.group)
            path = root / "usr/bin" / wanted.names[0]
            environment = _environment(root) if wanted.group is REDIS else {}
            version, reason = _version(path, wanted.banner, environment)
            if version:
                directory = root / "usr" if key in {"prometheus", "alertmanager"} else None
                self.found[key] = Program(path, version, environment, directory)
            else:
                trouble = reason
        return trouble

    def fetch(self) -> None:
        """Fetch the groups of the programs that are still missing."""
        groups = {
            self._wanted[key].group.name: self._wanted[key].group
            for key in self._wanted
            if key not in self.found
        }
        for group in groups.values():
            cache = self._cache(group)
            with cache.locked(self._say):
                self.look_in_cache()  # another process may have filled it while we waited for the lock
                todo = self._unfilled(cache, list(groups.values()))
                if not todo:
                    continue
                try:
                    cache.fill(todo, self._machine(), self._say)
                finally:
                    trouble = self.look_in_cache()  # what came before a failure is no longer missing
            if self._unfilled(cache, todo):
                raise AptError(f"what was fetched does not run: {trouble}")

    def _unfilled(self, cache: Cache, groups: list[Group]) -> list[Group]:
        lacking = {wanted.group.name for key, wanted in self._wanted.items() if key not in self.found}
        return [
            group for group in groups if group.name in lacking and self._cache(group).folder == cache.folder
        ]

    def _cache(self, group: Group) -> Cache:
        release = None if group is REDIS else self._release
        return Cache(self._folder, release or self._machine().codename)

    def _machine(self) -> System:
        if self._system is None:
            self._system = System.here()
        return self._system


def _environment(root: Path) -> dict[str, str]:
    folders = sorted({str(library.parent) for library in root.glob("usr/lib/**/*.so*")})
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def _version(path: Path, banner: str, environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the version that the program says, or None and why there is none."""
    try:
        result = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=VERSION_SECONDS,
            env={**os.environ, **environment},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    said = result.stdout + result.stderr
    found = re.match(re.escape(banner) + r"(\d+(?:\.\d+)*)", said)
    if result.returncode != 0 or found is None:
        return None, f"{path} --version: exit status {result.returncode}, {said.strip()[:300]!r}"
    return found[1], ""
