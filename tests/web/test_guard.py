"""A daemon behind a web configuration, and what happens when its files change."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
import trustme
from structlog.testing import capture_logs
from tests.web.conftest import MUTUAL, PASSWORDS, TLS, door, visit

from healer.web import guard
from healer.web.blocks import WebConfigError

ALICE = ("prometheus", PASSWORDS["prometheus"])


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.02)


async def until(condition) -> None:
    """Wait until `condition()`, which may fail to connect, returns something true."""
    for _ in range(3000):
        try:
            if await condition():
                return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.02)
    pytest.fail("did not happen within a minute")


async def test_without_a_configuration_everybody_is_served_over_plain_http() -> None:
    async with door(None) as url:
        assert url.startswith("http://")
        assert (await visit(url))[:2] == (200, "inside 1\n")


async def test_a_configuration_that_cannot_be_used_stops_the_start(site) -> None:
    with pytest.raises(WebConfigError, match="cert_file"):
        async with door(site.write({"tls_server_config": {}})):
            pass


async def test_tls_is_served_and_plain_http_is_not(site) -> None:
    async with door(site.write({"tls_server_config": TLS})) as url:
        assert url.startswith("https://")
        assert (await visit(url, site.client()))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await visit(url.replace("https", "http"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_client_must_show_a_certificate_of_the_authority(site) -> None:
    site.certify("stranger", "prometheus.example", authority=trustme.CA())
    async with door(site.write({"tls_server_config": MUTUAL})) as url:
        assert (await visit(url, site.client("client")))[0] == 200
        for context in (site.client(), site.client("stranger")):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await visit(url, context)


async def test_a_certificate_is_verified_if_given(site) -> None:
    settings = {**MUTUAL, "client_auth_type": "VerifyClientCertIfGiven"}
    async with door(site.write({"tls_server_config": settings})) as url:
        assert (await visit(url, site.client("client")))[0] == 200
        assert (await visit(url, site.client()))[0] == 200


async def test_only_certificates_with_an_allowed_name_come_in(site) -> None:
    site.certify("other", "other.example")
    settings = {**MUTUAL, "client_allowed_sans": ["prometheus.example"]}
    async with door(site.write({"tls_server_config": settings})) as url:
        assert (await visit(url, site.client("client")))[0] == 200
        assert (await visit(url, site.client("other")))[:2] == (
            403,
            "this client's certificate is not admitted\n",
        )


@pytest.mark.parametrize(
    ("version", "settings"),
    [("TLSv1_2", {"max_version": "TLS12"}), ("TLSv1_3", {"min_version": "TLS13"})],
)
async def test_only_the_versions_asked_for_are_spoken(site, version, settings) -> None:
    async with door(site.write({"tls_server_config": {**TLS, **settings}})) as url:
        context = site.client()
        host, port = url.removeprefix("https://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        assert writer.get_extra_info("ssl_object").version() == version.replace("_", ".")
        writer.close()
        await writer.wait_closed()


async def test_everything_asks_for_a_login_and_takes_the_right_one(site, users) -> None:
    async with door(site.write({"basic_auth_users": users})) as url:
        for path in ("/", "/nothing", "/metrics"):
            status, text, headers = await visit(url + path)
            assert (status, text) == (401, "user and password are needed\n")
            assert headers["WWW-Authenticate"] == 'Basic realm="healer", charset="UTF-8"'
        for login in PASSWORDS.items():
            assert (await visit(url, login=login))[0] == 200
        assert (await visit(url, login=("prometheus", "guess")))[0] == 401


async def test_headers_are_sent_with_every_answer(site) -> None:
    headers = {"Strict-Transport-Security": "max-age=1", "X-Frame-Options": "deny"}
    async with door(site.write({"http_server_config": {"headers": headers}})) as url:
        for path in ("/", "/nothing"):
            sent = (await visit(url + path))[2]
            assert {name: sent[name] for name in headers} == headers


async def test_a_rotated_certificate_is_shown_to_new_connections_while_old_ones_stay(site) -> None:
    async with (
        door(site.write({"tls_server_config": TLS})) as url,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=site.client(), limit=1)) as old,
    ):
        async with old.get(url) as answer:
            assert answer.status == 200
        before = site.client()
        site.authority = trustme.CA()  # whoever trusts the old one alone fails from now on
        site.certify("server", "127.0.0.1")

        async def rotated() -> bool:
            return (await visit(url, site.client()))[0] == 200

        await until(rotated)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await visit(url, before)
        async with old.get(url) as answer:
            assert answer.status == 200


async def test_an_authority_that_is_no_longer_trusted_lets_nobody_in(site) -> None:
    async with door(site.write({"tls_server_config": MUTUAL})) as url:
        assert (await visit(url, site.client("client")))[0] == 200
        new = trustme.CA()
        site.certify("fresh", "prometheus.example", authority=new)
        site.trust("ca.crt", new)

        async def taken_up() -> bool:
            return (await visit(url, site.client("fresh")))[0] == 200

        await until(taken_up)
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await visit(url, site.client("client"))


async def test_users_change_without_a_restart(site, users) -> None:
    async with door(site.write({"basic_auth_users": users})) as url:
        assert (await visit(url, login=ALICE))[0] == 200
        site.write({"basic_auth_users": {"änne": users["änne"]}})

        async def gone() -> bool:
            return (await visit(url, login=ALICE))[0] == 401

        await until(gone)
        assert (await visit(url, login=("änne", PASSWORDS["änne"])))[0] == 200


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_said_once(site, users) -> None:
    with capture_logs() as logs:
        async with door(site.write({"basic_auth_users": users})) as url:
            site.write({"basic_auth_users": {"prometheus": "no hash"}})
            await until(lambda: _true(any(log["log_level"] == "error" for log in logs)))
            await asyncio.sleep(0.2)
            assert (await visit(url, login=ALICE))[0] == 200
            assert (await visit(url))[0] == 401
            site.write({"basic_auth_users": users, "http_server_config": {}})
            await until(lambda: _true(any("adopted" in log["event"] for log in logs)))
    errors = [log["event"] for log in logs if log["log_level"] == "error"]
    assert errors == ["web configuration problem", "web configuration refused, the last one stays"]


async def test_a_key_that_comes_after_its_certificate_is_waited_for(site) -> None:
    async with door(site.write({"tls_server_config": TLS})) as url:
        key = (site.folder / "server.key").read_bytes()
        site.certify("server", "127.0.0.1")
        fresh = (site.folder / "server.key").read_bytes()
        (site.folder / "server.key").write_bytes(key)
        await asyncio.sleep(0.1)
        assert (await visit(url, site.client()))[0] == 200
        (site.folder / "server.key").write_bytes(fresh)
        new = ssl.get_server_certificate  # the serial tells which one is shown
        host, port = url.removeprefix("https://").split(":")
        wanted = (site.folder / "server.crt").read_text().splitlines()[1]

        async def shown() -> bool:
            return wanted in await asyncio.to_thread(new, (host, int(port)))

        await until(shown)


async def test_tls_can_be_switched_on_while_it_runs(site) -> None:
    async with door(site.write({})) as url:
        assert (await visit(url))[0] == 200
        site.write({"tls_server_config": TLS})

        async def encrypted() -> bool:
            return (await visit(url.replace("http", "https"), site.client()))[0] == 200

        await until(encrypted)


async def _true(value: bool) -> bool:
    return value
