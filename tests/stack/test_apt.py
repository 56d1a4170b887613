"""The system's package sources, turned into those of a private fetch."""

from pathlib import Path

import pytest

from healer.stack.apt import AptError, private_sources, unpack

from .conftest import Mirror

DEB822 = """\
# what the installer wrote
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/archive.gpg
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_the_own_release_comes_with_its_updates_security_and_keys(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    archive, security = private_sources(etc, "bookworm", "bookworm")
    assert "Suites: bookworm bookworm-updates\n" in archive
    assert "Types: deb\n" in archive
    assert "Signed-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n" in archive.replace(
        "by: \n", "by:\n"
    )
    assert "Suites: bookworm-security\n" in security
    assert "Signed-by: /usr/share/keyrings/archive.gpg\n" in security


def test_another_release_comes_from_the_same_mirror_alone(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    (only,) = private_sources(etc, "bookworm", "forky")
    assert "URIs: http://mirror.example/debian\n".lower() in only.lower()
    assert "Suites: forky\n" in only


def test_only_package_lists_are_read(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822 + "Targets: Packages Contents DEP-11\n")
    assert all("Targets: Packages\n" in stanza for stanza in private_sources(etc, "bookworm", "bookworm"))


def test_one_line_sources_are_understood(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb [arch=amd64,arm64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # note\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    (etc / "sources.list.d/more.list").write_text("deb http://mirror.example/debian bookworm-updates main\n")
    first, second = private_sources(etc, "bookworm", "bookworm")
    assert first == (
        "Types: deb\nUris: http://mirror.example/debian\nSuites: bookworm\nComponents: main contrib\n"
        "Architectures: amd64 arm64\nSigned-by: /k.gpg\nTargets: Packages\n"
    )
    assert "Suites: bookworm-updates\n" in second


@pytest.mark.parametrize(
    "foreign",
    [
        "Types: deb\nURIs: http://other.example/\nSuites: nodistro\nComponents: main\n",
        "Types: deb\nURIs: http://other.example/\nSuites: cloud-bookworm\nComponents: main\n",
        "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n",
        "",
    ],
)
def test_sources_of_others_and_disabled_ones_are_left_out(etc: Path, foreign: str) -> None:
    (etc / "sources.list.d/other.sources").write_text(foreign)
    assert private_sources(etc, "bookworm", "bookworm") == []


def test_a_package_is_unpacked_without_its_documentation(mirror: Mirror, tmp_path: Path) -> None:
    deb = mirror.add("thing", "1", {"usr/bin/thing": "run me", "usr/share/doc/thing/copyright": "read me"})
    unpack(deb, tmp_path / "root")
    files = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert files == [tmp_path / "root/usr/bin/thing"]


def test_half_a_package_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    deb = mirror.add("thing", "1", {"usr/bin/thing": "run me"})
    deb.write_bytes(deb.read_bytes()[:-200])
    with pytest.raises(AptError, match=rf"unpacking {deb} failed"):
        unpack(deb, tmp_path / "root")
