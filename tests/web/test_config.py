"""The web configuration file: what is taken, and what is said of what is not."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from tests.web.conftest import MUTUAL, TLS

from healer.web.blocks import WebConfigError
from healer.web.config import load

if TYPE_CHECKING:
    from tests.web.conftest import Site

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


def refusal(site: Site, config: object) -> str:
    with pytest.raises(WebConfigError) as refused:
        load(site.write(config))
    return str(refused.value)


def test_an_empty_file_is_plain_http_for_everyone(site) -> None:
    config = load(site.write("# nothing yet\n"))
    assert (config.tls, config.context, dict(config.headers), dict(config.users)) == (None, None, {}, {})


def test_everything_that_exporter_toolkit_documents_and_python_can_do_is_taken(site) -> None:
    config = load(
        site.write(
            {
                "tls_server_config": {
                    **MUTUAL,
                    "client_allowed_sans": ["prometheus.example"],
                    "min_version": "TLS12",
                    "max_version": "TLS13",
                    "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"],
                    "prefer_server_cipher_suites": True,
                },
                "http_server_config": {"http2": True, "headers": {"X-Frame-Options": "deny"}},
                "basic_auth_users": {"alice": HASH},
            }
        )
    )
    assert config.tls is not None
    assert config.tls.cert_file == site.folder / "server.crt"
    assert config.context is not None
    assert config.context.verify_mode is ssl.CERT_REQUIRED
    assert config.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert config.users == {"alice": HASH.encode()}
    assert config.headers == {"X-Frame-Options": "deny"}
    assert [file.name for file in config.files] == ["web.yml", "server.crt", "server.key", "ca.crt"]


def test_all_that_is_wrong_is_said_at_once_with_path_and_line(site) -> None:
    said = refusal(
        site,
        """\
tls_server_config:
  cert_fiel: server.crt
  key_file: server.key
  min_version: TLS10
  client_auth_type: RequestClientCert
http_server_config:
  headers:
    X-Powered-By: healer
    X-Content-Type-Options: sniff
basic_auth_users:
  alice: secret
  bob: 7
basic_auth_user: {}
""",
    )
    file = site.file
    assert said.splitlines() == [
        (
            f"{file}:2: tls_server_config.cert_fiel: found an unknown key, expected one of cert_file, key_file, "
            "client_ca_file, client_auth_type, client_allowed_sans, min_version, max_version, cipher_suites, "
            "prefer_server_cipher_suites. Did you mean cert_file?"
        ),
        f"{file}:2: tls_server_config.cert_file: found nothing, expected the name of a file.",
        (
            f'{file}:4: tls_server_config.min_version: found "TLS10", expected one of TLS12, TLS13. '
            "No longer safe: raise it to TLS12."
        ),
        (
            f'{file}:5: tls_server_config.client_auth_type: found "RequestClientCert", expected one of NoClientCert, '
            "VerifyClientCertIfGiven, RequireAndVerifyClientCert. A certificate that nobody verifies proves nothing: "
            "use RequireAndVerifyClientCert."
        ),
        (
            f"{file}:8: http_server_config.headers.X-Powered-By: found an unknown key, expected one of "
            "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, "
            "X-XSS-Protection."
        ),
        f"{file}:9: http_server_config.headers.X-Content-Type-Options: found another value, expected nosniff.",
        (
            f"{file}:11: basic_auth_users.alice: found no bcrypt hash, expected one such as $2y$10$…. "
            "Make one with `htpasswd -nBC 10 ''`."
        ),
        f"{file}:12: basic_auth_users.bob: found a number, expected text.",
        (
            f"{file}:13: basic_auth_user: found an unknown key, expected one of tls_server_config, "
            "http_server_config, basic_auth_users. Did you mean basic_auth_users?"
        ),
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "cert_file: found nothing"),
        ({"cert_file": "server.crt"}, "key_file: found nothing"),
        ({**TLS, "cert_file": ""}, "cert_file: found an empty name"),
        ({**TLS, "cert_file": "gone.crt"}, "gone.crt: no such file or directory"),
        ({**TLS, "cert_file": "server.key"}, "without -----BEGIN CERTIFICATE-----"),
        ({**TLS, "key_file": "server.crt"}, "server.crt without PRIVATE KEY-----"),
        ({**TLS, "key_file": "client.key"}, "found the key of another certificate"),
        (
            {**TLS, "client_auth_type": "RequireAndVerifyClientCert"},
            "Name who signs the clients' certificates",
        ),
        ({**TLS, "client_ca_file": "ca.crt"}, "client_ca_file: found no client_auth_type"),
        ({**MUTUAL, "client_allowed_sans": "a"}, "client_allowed_sans: found text, expected a list of texts"),
        ({**TLS, "min_version": "TLS13", "max_version": "TLS12"}, "max_version: found less than min_version"),
        (
            {**TLS, "cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]},
            "found TLS_RSA_WITH_RC4_128_SHA, expected of",
        ),
        ({**TLS, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}, "Set min_version: TLS13."),
        ({**TLS, "curve_preferences": ["X25519"]}, "Remove it: OpenSSL chooses the curve."),
        ({**TLS, "cert": "-----BEGIN"}, "name that as cert_file"),
        ({**TLS, "prefer_server_cipher_suites": "yes"}, "found text, expected true or false"),
        ([], "tls_server_config: found a list, expected a mapping"),
    ],
)
def test_tls_that_cannot_be_had_says_what_is_wrong(site, settings, said) -> None:
    assert said in refusal(site, {"tls_server_config": settings})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "web.yml:1: the file: found"),
        ("- a", "the document: found a list, expected a mapping"),
        ("text", "the document: found text, expected a mapping"),
        ("basic_auth_users:\n", "basic_auth_users: found nobody"),
        ("basic_auth_users:\n  a: x\n  a: y\n", ":3: basic_auth_users.a: found the key a second time"),
        (f"basic_auth_users:\n  'a:b': {HASH}\n", "a name without a colon"),
        ("rate_limit:\n  burst: 1\n", "rate_limit: found a setting of other servers"),
        ("\x00", "the file: found"),
        (
            "[" * 900 + "]" * 900,
            "the file: found levels without end, expected a configuration. Is it the right file?",
        ),
    ],
)
def test_documents_that_are_none_say_where(site, text, said) -> None:
    assert said in refusal(site, text)


def test_a_missing_file_is_an_error(tmp_path) -> None:
    with pytest.raises(WebConfigError, match=r"gone\.yml: the file: found no such file"):
        load(tmp_path / "gone.yml")


def test_no_error_shows_a_hash_or_a_key(site) -> None:
    said = refusal(site, {"basic_auth_users": {"alice": "hunter2"}, "tls_server_config": {"key": "hunter2"}})
    assert "hunter2" not in said


def test_an_encrypted_key_is_refused_and_nobody_is_asked(site) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((site.folder / "server.key").read_bytes(), None)
    (site.folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    assert "found an encrypted key, expected one without a passphrase" in refusal(
        site, {"tls_server_config": TLS}
    )


def test_what_is_doubtful_is_warned_of(site) -> None:
    (site.folder / "server.key").chmod(0o644)
    assert [*load(site.write({"tls_server_config": TLS})).warnings] == [
        f"others may read {site.folder / 'server.key'}: chmod 600"
    ]
    assert load(site.write({"basic_auth_users": {"alice": HASH}})).warnings == (
        "passwords travel in the clear: add tls_server_config",
    )


def test_a_key_of_another_authority_is_no_matter(site) -> None:
    site.certify("server", "127.0.0.1", authority=trustme.CA())
    assert load(site.write({"tls_server_config": TLS})).tls
