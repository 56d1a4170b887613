"""Downloads and unpacks Debian packages with apt-get, beside the system's packages and without root.

All of apt's state (lists, status, cache, sources) is in a folder of our own; of the system's configuration
only what says how to reach the mirror is used. The mirror is the one the system's own sources name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OPTION_FIELDS = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
"""Options of a one-line source whose deb822 field is called otherwise."""

LIBRARY = re.compile(r"(?!libc6\b|libjs-)(lib|lua).*")
"""Names of packages that programs load code from; libc must be the system's own, as its loader is."""


IDLE = ("./usr/share/doc", "./usr/share/man", "./usr/share/javascript/moment-timezone/data")
"""What is left out of unpacked packages; the last alone would be 212 MB that no page loads."""


class AptError(Exception):
    """Packages could not be had; the message says why, in apt's words where there are any."""


@dataclass(frozen=True, slots=True)
class System:
    """What this machine says of itself.

    Attributes:
        codename: Its release, such as `bookworm`.
        architecture: Its packages' architecture, such as `amd64`.
        sources: The folder that holds its package sources.
    """

    codename: str
    architecture: str
    sources: Path = Path("/etc/apt")

    @classmethod
    def here(cls) -> System:
        """Ask this machine.

        Raises:
            AptError: It is no Debian or Ubuntu, or its apt or dpkg is missing.
        """
        for tool in ("apt-get", "apt-cache", "dpkg", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise AptError(f"this machine has no {tool}, so it is no Debian or Ubuntu")
        found = re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text(), re.MULTILINE)
        if found is None:
            raise AptError("/etc/os-release names no VERSION_CODENAME, so the release to fetch is unknown")
        return cls(found[1], _run(["dpkg", "--print-architecture"]).strip())


@dataclass(frozen=True, slots=True)
class Package:
    """A package that the mirror has.

    Attributes:
        name: Its name.
        version: The version of the program in it, without Debian's epoch and revision.
        file: Name of its .deb file.
        size: Bytes to download.
    """

    name: str
    version: str
    file: str
    size: int


class Apt:
    """A package manager of our own for one release, in one folder."""

    def __init__(self, system: System, release: str, folder: Path) -> None:
        self._system = system
        self._release = release
        self._folder = folder
        self._config = folder / "apt.conf"

    def update(self) -> None:
        """Read the mirror's package lists.

        Raises:
            AptError: The system's sources name no mirror, or none of its lists could be read.
        """
        stanzas = private_sources(self._system.sources, self._system.codename, self._release)
        if not stanzas:
            raise AptError(
                f"no package source under {self._system.sources} is of this system's release "
                f"{self._system.codename}, so the mirror is unknown"
            )
        for name in ("lists/partial", "cache/archives/partial", "sources", "debs"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources" / "healer.sources").write_text("\n".join(stanzas))
        self._config.write_text(_configuration(self._folder))
        # A source of a third party may have nothing for this release: only the packages' absence counts.
        result = self._apt("apt-get", "update", check=False)
        if not any((self._folder / "lists").glob("*Packages*")):
            raise AptError(
                f"apt-get update read no package list of {self._release}:\n{_complaints(result.stderr)}"
            )

    def closure(self, roots: Sequence[str], family: re.Pattern[str]) -> list[Package]:
        """Return `roots` and what of their dependencies has to be downloaded too.

        These are packages whose name matches `family`, and libraries that the system does not have.

        Raises:
            AptError: The release has no such package.
        """
        wanted = list(roots)
        level = list(roots)
        while level:
            listing = self._apt("apt-cache", "depends", "--important", *level).stdout
            found = dict.fromkeys(re.findall(r"^ +(?:Pre)?Depends: ([^<\s]+)", listing, re.MULTILINE))
            level = [
                name
                for name in found
                if name not in wanted
                and (family.fullmatch(name) or (LIBRARY.fullmatch(name) and not _installed(name)))
            ]
            wanted += level
        return self._describe(wanted)

    def download(self, package: Package) -> Path:
        """Return the package's file, downloaded unless an earlier run left it; apt checks its hash.

        Raises:
            AptError: The mirror did not deliver it.
        """
        debs = self._folder / "debs"
        self._apt("apt-get", "download", package.name, directory=debs)
        return debs / package.file

    def _describe(self, names: Iterable[str]) -> list[Package]:
        listing = self._apt("apt-get", "download", "--print-uris", *names).stdout
        rows = re.findall(r"^'[^']*' (\S+) (\d+)", listing, re.MULTILINE)
        packages = []
        for file, size in rows:
            name, version, _ = file.split("_")
            number = re.match(r"(?:\d+%3a)?(\d+(?:\.\d+)*)", version)
            packages.append(Package(name, number[1] if number else version, file, int(size)))
        return packages

    def _apt(
        self, tool: str, *arguments: str, directory: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        argv = [tool, "-q", "-c", str(self._config), *arguments]
        english = {**os.environ, "LC_ALL": "C"}
        result = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=directory, env=english)
        if check and result.returncode != 0:
            raise AptError(
                f"{tool} {' '.join(arguments)} failed for {self._release}:\n{_complaints(result.stderr)}"
            )
        return result


def unpack(deb: Path, folder: Path) -> None:
    """Unpack the files of the package `deb` under `folder`, without what only people or builds read.

    Raises:
        AptError: The file is no whole package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    untar = ["tar", "-x", "-C", str(folder), "--no-same-owner", *(f"--exclude={pattern}" for pattern in IDLE)]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as read:
        result = subprocess.run(untar, stdin=read.stdout, capture_output=True, check=False)
        complaint = read.communicate()[1] + result.stderr
    if read.returncode != 0 or result.returncode != 0:
        raise AptError(f"unpacking {deb} failed:\n{_complaints(complaint.decode(errors='replace'))}")


def private_sources(sources: Path, codename: str, release: str) -> list[str]:
    """Return the deb822 stanzas that `release` is fetched with, from the system's sources in that folder.

    The stanzas of the system's own release `codename` (its updates and security suites too, when `release`
    is that same one) are taken over with their mirror, components and keys, and with `release` as suite.
    """
    files = [*sorted((sources / "sources.list.d").glob("*.sources"))]
    stanzas = [fields for file in files for fields in _deb822(file.read_text())]
    lists = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*.list"))]
    stanzas += [fields for file in lists if file.exists() for fields in _one_line(file.read_text())]
    taken = []
    for fields in stanzas:
        suites = fields.get("suites", "").split()
        if release == codename:
            suites = [suite for suite in suites if suite == codename or suite.startswith(f"{codename}-")]
        else:
            suites = [release] if codename in suites else []
        binary = "deb" in fields.get("types", "").split()
        if suites and binary and fields.get("enabled", "yes").lower() not in {"no", "false", "0"}:
            chosen = {**fields, "types": "deb", "suites": " ".join(suites), "targets": "Packages"}
            taken.append("".join(f"{name.capitalize()}: {value}\n" for name, value in chosen.items()))
    return taken


def _deb822(text: str) -> list[dict[str, str]]:
    stanzas = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        fields: dict[str, str] = {}
        name = ""
        for line in lines:
            if line[0] in " \t":
                fields[name] += "\n" + line
            else:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        stanzas.append(fields)
    return stanzas


def _one_line(text: str) -> list[dict[str, str]]:
    stanzas = []
    pattern = re.compile(r"^(deb)\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#\n]*)", re.MULTILINE)
    for kind, options, uri, suite, components in pattern.findall(text):
        fields = {"types": kind, "uris": uri, "suites": suite}
        if components.strip():
            fields["components"] = components.strip()
        for option in options.split():
            name, _, value = option.partition("=")
            fields[OPTION_FIELDS.get(name, name).lower()] = value.replace(",", " ")
        stanzas.append(fields)
    return stanzas


def _configuration(folder: Path) -> str:
    # Read after the system's configuration: its proxies stay, its hooks go, its state is not touched.
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::archives": "archives",
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": folder / "sources",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    cleared = "".join(f"#clear APT::Update::{hook};\n" for hook in hooks)
    return cleared + "".join(f'{name} "{value}";\n' for name, value in settings.items())


def _installed(name: str) -> bool:
    argv = ["dpkg-query", "-W", "-f", "${db:Status-Status}\n", name]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    return result.returncode == 0 and "installed" in result.stdout.split()


def _run(argv: list[str]) -> str:
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AptError(f"{' '.join(argv)} failed:\n{_complaints(result.stderr)}")
    return result.stdout


def _complaints(text: str, most: int = 6) -> str:
    lines = text.strip().splitlines()
    chosen = [line for line in lines if line.startswith("E: ")] or lines[-most:]
    return "\n".join(f"  {line}" for line in chosen[:most]) or "  (it said nothing)"
