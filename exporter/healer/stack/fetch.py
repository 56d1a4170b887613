"""Fills a private cache with servers from Debian packages, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from healer.stack.apt import Apt, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from healer.stack.apt import Package, System

SHARED = b"/usr/share/prometheus/"
SHARED_BELOW_DIRECTORY = b".////share/prometheus/"
"""What Debian's Prometheus and Alertmanager take for the folder of their pages and templates, and a path of the
same length below the working directory `usr`."""


@dataclass(frozen=True, slots=True)
class Group:
    """Packages that are fetched together because their programs belong together.

    Attributes:
        name: Its folder in the cache.
        roots: The packages wanted.
        family: Names of dependencies that belong to it; other libraries come along only if missing.
    """

    name: str
    roots: tuple[str, ...]
    family: re.Pattern[str]


REDIS = Group("redis", ("redis-server", "redis-tools"), re.compile("redis-.*"))
PROMETHEUS = Group("prometheus", ("prometheus",), re.compile("promtool|libjs-.*|fonts-glyphicons-.*"))
ALERTMANAGER = Group("alertmanager", ("prometheus-alertmanager",), re.compile("amtool"))
NODE_EXPORTER = Group("node-exporter", ("prometheus-node-exporter",), re.compile("(?!)"))


class Cache:
    """The servers of one release, each group in a folder that exists only when it is complete."""

    def __init__(self, folder: Path, release: str) -> None:
        self.release = release
        self.folder = folder / "servers" / release

    def root(self, group: Group) -> Path:
        """Return the folder under which the group's packages are (or would be) unpacked."""
        return self.folder / group.name

    @contextlib.contextmanager
    def locked(self, say: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes from filling this cache; wait for one that does.

        Raises:
            OSError: The cache folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that fetches into {self.folder} …")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def fill(self, groups: Sequence[Group], system: System, say: Callable[[str], None]) -> None:
        """Fetch `groups`, replacing what the cache has of them. Call it with the cache locked.

        What was downloaded when it fails is kept, and used by the next attempt.

        Raises:
            AptError: A package could not be had.
            OSError: The cache cannot be written.
        """
        state = self.folder / "apt"
        apt = Apt(system, self.release, state)
        say(f"reading the package lists of {self.release} …")
        apt.update()
        for group in groups:
            packages = apt.closure(group.roots, group.family)
            say(_announcement(group, packages))
            self._unpack(group, [apt.download(package) for package in packages])
        shutil.rmtree(state)

    def _unpack(self, group: Group, debs: Sequence[Path]) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".unpacking-") as temporary:
            whole = Path(temporary) / group.name
            for deb in debs:
                unpack(deb, whole)
            for binary in (whole / "usr/bin").glob("prometheus*"):
                relocate(binary)
            root = self.root(group)
            if root.exists():
                root.rename(Path(temporary) / "replaced")
            whole.rename(root)


def _announcement(group: Group, packages: Sequence[Package]) -> str:
    roots = ", ".join(f"{each.name} {each.version}" for each in packages if each.name in group.roots)
    more = len(packages) - len(group.roots)
    size = sum(each.size for each in packages) / 1e6
    return f"fetching {roots}{f' and {more} more' if more else ''} ({size:.1f} MB) …"


def relocate(binary: Path) -> None:
    """Let a program of Debian's find its shared files below its working directory.

    Debian compiles their absolute path into Prometheus and Alertmanager; the one serves no pages and the
    other does not even start without them, and there is no flag for it. Only root could put them there, and
    a mount namespace is not to be had in most containers; so our private copy gets a relative path of the
    same length. A program without that path stays as it is.
    """
    program = binary.read_bytes()
    if SHARED in program:
        binary.write_bytes(program.replace(SHARED, SHARED_BELOW_DIRECTORY))
