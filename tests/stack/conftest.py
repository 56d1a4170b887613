"""A package mirror of our own: real packages and a real apt, with small scripts for servers."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from healer.stack.apt import System

BANNERS = {
    "redis-server": "Redis server v={} sha=0",
    "redis-cli": "redis-cli {}",
    "prometheus": "prometheus, version {} (branch: x)",
    "promtool": "promtool, version {} (branch: x)",
    "prometheus-alertmanager": "alertmanager, version {} (branch: x)",
    "amtool": "amtool, version {} (branch: x)",
}


def script(name: str, version: str) -> str:
    """What stands in for a server: it says its version and no more."""
    return f'#!/bin/sh\necho "{BANNERS[name].format(version)}"\n'


class Mirror:
    """A package mirror in a folder, and a system whose sources name it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mirror"
        self.folder.mkdir()
        self.system = System("ours", self._architecture(), folder / "etc")
        (self.system.sources / "sources.list.d").mkdir(parents=True)
        self.name_in(
            f"Types: deb deb-src\nURIs: file:{self.folder}\nSuites: ours ours-updates\nComponents: main\nTrusted: yes\n"
        )

    @staticmethod
    def _architecture() -> str:
        return subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()

    def name_in(self, stanza: str) -> None:
        """Let the system's sources be this one stanza."""
        (self.system.sources / "sources.list.d/ours.sources").write_text(stanza)

    def add(
        self, name: str, version: str, files: Mapping[str, str], depends: str = "", release: str = "ours"
    ) -> Path:
        """Add a package with those executable files and publish it."""
        tree = self.folder / "trees" / release / name
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
            (tree / path).chmod(0o755)
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {self.system.architecture}\n"
        control += f"Depends: {depends}\n" if depends else ""
        control += "Maintainer: nobody <nobody@example.org>\nDescription: a stand-in\n"
        (tree / "DEBIAN/control").write_text(control)
        pool = self.folder / "pool" / release
        pool.mkdir(parents=True, exist_ok=True)
        deb = pool / f"{name}_{version.replace(':', '%3a')}_{self.system.architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
        (tree / "entry").write_text(
            f"{control}Filename: {deb.relative_to(self.folder)}\nSize: {deb.stat().st_size}\n"
            f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
        )
        self._publish(release)
        return deb

    def add_all(self, version: str = "1.2.3", release: str = "ours") -> None:
        """Add what a release has of our servers, packaged as Debian does."""
        for package, names in {
            "redis-server": ["redis-server"],
            "redis-tools": ["redis-cli"],
            "prometheus": ["prometheus"],
            "promtool": ["promtool"],
            "prometheus-alertmanager": ["prometheus-alertmanager", "amtool"],
        }.items():
            depends = {
                "redis-server": "redis-tools, libhealerfake1",
                "prometheus": "adduser, promtool, libc6",
            }
            files = {f"usr/bin/{name}": script(name, version) for name in names}
            self.add(package, f"7:{version}+ds-1", files, depends.get(package, ""), release)
        self.add("libhealerfake1", "1.0-1", {"usr/lib/healer/libfake.so.1": ""}, "libc6", release)

    def _publish(self, release: str) -> None:
        entries = sorted((self.folder / "trees" / release).glob("*/entry"))
        text = "\n".join(entry.read_text() for entry in entries)
        index = f"main/binary-{self.system.architecture}/Packages"
        suite = self.folder / "dists" / release
        (suite / index).parent.mkdir(parents=True, exist_ok=True)
        (suite / index).write_text(text)
        (suite / "Release").write_text(
            f"Suite: {release}\nCodename: {release}\nComponents: main\nArchitectures: {self.system.architecture}\n"
            f"SHA256:\n {hashlib.sha256(text.encode()).hexdigest()} {len(text.encode())} {index}\n"
        )


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on PATH; of the rest only the system's tools are there, and no server."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    for place in ("/usr/bin", "/bin"):
        for tool in Path(place).iterdir():
            if tool.name not in {*BANNERS, "alertmanager"} and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    monkeypatch.setenv("PATH", f"{folder}:{tools}")
    return folder
