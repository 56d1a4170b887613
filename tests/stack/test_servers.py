"""Servers are found on PATH, else in the cache, else fetched: with a real apt from a mirror of the test's own."""

import threading
from pathlib import Path

import pytest

from healer.stack.servers import MissingServersError, Servers, cache_folder, find

from .conftest import BANNERS, Mirror, script

ALL = ("redis_server", "redis_cli", "prometheus", "promtool", "alertmanager", "amtool")


class Search:
    """A search in an empty cache; `said` is what the user was told."""

    def __init__(self, mirror: Mirror, cache: Path) -> None:
        self.mirror = mirror
        self.cache = cache
        self.said: list[str] = []

    def __call__(self, release: str | None = None) -> Servers:
        self.said.clear()
        return find(release, cache=self.cache, system=self.mirror.system, say=self.said.append)


@pytest.fixture
def search(mirror: Mirror, bare_path: Path, tmp_path: Path) -> Search:
    return Search(mirror, tmp_path / "cache")


def put_on_path(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


def versions(servers: Servers) -> set[str]:
    return {getattr(servers, name).version for name in ALL}


def test_an_empty_cache_is_filled_and_then_used_without_the_mirror(search: Search) -> None:
    search.mirror.add_all("1.2.3")
    assert versions(search()) == {"1.2.3"}
    assert search.said[0] == "reading the package lists of ours …"
    assert search.said[1:] == [
        "fetching redis-server 1.2.3, redis-tools 1.2.3 and 1 more (0.0 MB) …",
        "fetching prometheus 1.2.3 and 1 more (0.0 MB) …",
        "fetching prometheus-alertmanager 1.2.3 (0.0 MB) …",
    ]

    search.mirror.name_in("")
    assert versions(search()) == {"1.2.3"}
    assert search.said == []


def test_redis_finds_the_libraries_the_system_lacks(search: Search) -> None:
    search.mirror.add_all()
    environment = search().redis_server.environment
    assert environment == {"LD_LIBRARY_PATH": f"{search.cache}/servers/ours/redis/usr/lib/healer"}


def test_what_is_on_path_is_not_fetched(search: Search, bare_path: Path) -> None:
    search.mirror.add_all("1.2.3")
    mine = put_on_path(bare_path, "redis-server", script("redis-server", "6.0.0"))
    put_on_path(bare_path, "redis-cli", script("redis-cli", "6.0.0"))
    put_on_path(bare_path, "alertmanager", script("prometheus-alertmanager", "0.28.0"))
    put_on_path(bare_path, "amtool", script("amtool", "0.28.0"))
    found = search()
    assert (found.redis_server.path, found.redis_server.version) == (mine, "6.0.0")
    assert found.alertmanager.version == "0.28.0"
    assert found.prometheus.version == "1.2.3"
    assert [line.split()[1] for line in search.said if line.startswith("fetching")] == ["prometheus"]


def test_everything_on_path_needs_neither_cache_nor_apt(tmp_path: Path, bare_path: Path) -> None:
    for name in BANNERS:
        put_on_path(bare_path, name, script(name, "5.0.0"))
    assert versions(find(cache=tmp_path / "cache")) == {"5.0.0"}
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "broken",
    [
        "#!/bin/sh\nexit 1\n",
        "#!/bin/sh\necho 'prometheus, version 2.0.0'; exit 127\n",
        "#!/bin/sh\necho 'some other program called prometheus 3.0.0'\n",
        "#!/no/such/interpreter\n",
        "",
    ],
)
def test_a_broken_program_on_path_is_passed_over(search: Search, bare_path: Path, broken: str) -> None:
    search.mirror.add_all("1.2.3")
    put_on_path(bare_path, "prometheus", broken)
    assert search().prometheus.version == "1.2.3"


def test_another_release_gives_its_prometheus_and_alertmanager_whatever_is_on_path(
    search: Search, bare_path: Path
) -> None:
    search.mirror.add_all("1.2.3", release="ours")
    search.mirror.add_all("9.8.7", release="next")
    put_on_path(bare_path, "prometheus", script("prometheus", "5.0.0"))
    found = search("next")
    assert (found.prometheus.version, found.promtool.version, found.alertmanager.version) == ("9.8.7",) * 3
    assert (found.redis_server.version, found.redis_cli.version) == ("1.2.3",) * 2


def test_a_mirror_that_breaks_off_leaves_no_half_server_and_the_next_attempt_goes_on(search: Search) -> None:
    search.mirror.add_all("1.2.3")
    deb = next((search.mirror.folder / "pool/ours").glob("prometheus_*.deb"))
    whole = deb.read_bytes()
    deb.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingServersError) as caught:
        search()
    message = str(caught.value)
    assert "these programs are missing: prometheus, promtool" in message
    assert "apt-get download prometheus failed for ours" in message
    assert "redis-server redis-tools prometheus prometheus-alertmanager" in message
    assert str(search.cache) in message
    assert sorted(path.name for path in (search.cache / "servers/ours").iterdir()) == ["apt", "lock", "redis"]

    deb.write_bytes(whole)
    assert versions(search()) == {"1.2.3"}
    assert not any("redis" in line for line in search.said)
    assert not (search.cache / "servers/ours/apt").exists()


def test_a_tampered_package_is_refused(search: Search) -> None:
    search.mirror.add_all()
    deb = next((search.mirror.folder / "pool/ours").glob("prometheus_*.deb"))
    deb.write_bytes(deb.read_bytes()[:-1] + b"!")
    with pytest.raises(MissingServersError, match="Hash Sum mismatch"):
        search()


def test_a_mirror_out_of_reach_says_so_and_what_to_do(search: Search) -> None:
    search.mirror.name_in(
        "Types: deb\nURIs: http://127.0.0.1:1/\nSuites: ours\nComponents: main\nTrusted: yes\n"
    )
    with pytest.raises(
        MissingServersError, match=r"(?s)missing: redis-server, .*127\.0\.0\.1:1.*Two ways out"
    ):
        search()


def test_a_system_without_sources_of_its_release_says_so(search: Search) -> None:
    search.mirror.name_in("Types: deb\nURIs: http://127.0.0.1:1/\nSuites: stable\nComponents: main\n")
    with pytest.raises(
        MissingServersError, match=r"no package source under .*/etc is of this system's release ours"
    ):
        search()


def test_a_release_the_mirror_lacks_is_named(search: Search) -> None:
    search.mirror.add_all()
    with pytest.raises(MissingServersError, match=r"apt-get update read no package list of nowhere"):
        search("nowhere")


def test_a_fetched_program_that_does_not_run_is_reported_with_its_words(search: Search) -> None:
    search.mirror.add_all()
    search.mirror.add(
        "promtool", "8:1", {"usr/bin/promtool": "#!/bin/sh\necho 'libfoo.so: not found'; exit 127\n"}
    )
    with pytest.raises(
        MissingServersError, match=r"does not run: .*/promtool --version: exit status 127, 'libfoo\.so"
    ):
        search()


def test_a_damaged_cache_is_repaired(search: Search) -> None:
    search.mirror.add_all("1.2.3")
    found = search()
    found.prometheus.path.write_text("")
    assert versions(search()) == {"1.2.3"}
    assert [line.split()[1] for line in search.said if line.startswith("fetching")] == ["prometheus"]


def test_a_cache_that_cannot_be_written_is_an_error_with_its_path(search: Search) -> None:
    search.mirror.add_all()
    search.cache.write_text("a file where the folder should be")
    with pytest.raises(MissingServersError, match=rf"{search.cache}"):
        search()


def test_two_that_fetch_at_once_fetch_once(mirror: Mirror, bare_path: Path, tmp_path: Path) -> None:
    mirror.add_all()
    searches = [Search(mirror, tmp_path / "cache") for _ in range(3)]
    threads = [threading.Thread(target=search) for search in searches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for search in searches for line in search.said]
    assert sum(line.startswith("fetching prometheus ") for line in lines) == 1
    assert any(line.startswith("waiting for another process") for line in lines)


def test_the_systems_own_package_state_is_not_touched(search: Search, tmp_path: Path) -> None:
    state = [Path("/var/lib/dpkg/status"), *Path("/var/lib/apt/lists").glob("*")]
    before = [(path, path.stat().st_mtime_ns) for path in state if path.exists()]
    search.mirror.add_all()
    search()
    assert [(path, path.stat().st_mtime_ns) for path in state if path.exists()] == before


def test_the_cache_folder_is_chosen_by_healer_cache_then_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HEALER_CACHE", "")
    assert cache_folder() == Path("/xdg/healer")
    monkeypatch.setenv("HEALER_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_an_empty_cache_is_filled_from_the_systems_real_mirror(tmp_path: Path, bare_path: Path) -> None:
    for name in ("prometheus", "promtool", "prometheus-alertmanager", "amtool"):
        put_on_path(bare_path, name, script(name, "5.0.0"))
    found = find(cache=tmp_path / "cache")
    assert found.redis_server.path.is_relative_to(tmp_path / "cache")
    assert found.redis_server.version.partition(".")[0].isdigit()
