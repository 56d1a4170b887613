"""TLS as a web configuration asks for it: the settings, read from its `tls_server_config`, and their SSLContext."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from healer.web.blocks import Block

KEYS = (
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
)
ELSEWHERE = {
    "cert": "Put the certificate into a file and name that as cert_file.",
    "key": "Put the key into a file and name that as key_file.",
    "client_ca": "Put the certificates into a file and name that as client_ca_file.",
    "curve_preferences": "Remove it: OpenSSL chooses the curve.",
}
"""What exporter-toolkit knows and this server does not do."""

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
OLD = "No longer safe: raise it to TLS12."
CLIENT_AUTH = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
UNVERIFIED = "A certificate that nobody verifies proves nothing: use RequireAndVerifyClientCert."
CLIENT_AUTH_HINTS = dict.fromkeys(
    ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"), UNVERIFIED
)
SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    # TLS 1.3 uses all of its own, whatever is listed, here as in exporter-toolkit.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""Names as Go writes them, and as OpenSSL does."""

PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
PEM_KEY = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Tls:
    """How connections are encrypted, and who may make them.

    Attributes:
        cert_file: PEM: the certificate, then what leads to its root.
        key_file: PEM: its private key.
        client_ca_file: PEM: who signs the clients' certificates, or None.
        client_auth: Whether a client must show a certificate.
        sans: Subject alternative names of which a client's certificate must have one; empty for any.
        versions: The lowest and the highest version of TLS.
        ciphers: For TLS 1.2, OpenSSL's names with colons between; empty for its own choice.
        prefer_server: Whether the order of `ciphers` counts, not the client's.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None
    client_auth: ssl.VerifyMode
    sans: tuple[str, ...]
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
    ciphers: str
    prefer_server: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file)


def read(block: Block, folder: Path) -> Tls | None:
    """Return the settings in `tls_server_config`; None where they are, noted, not enough to go on.

    Args:
        block: The mapping.
        folder: What relative paths in it are relative to.
    """
    block.only(KEYS, foreign=ELSEWHERE)
    for name, advice in ELSEWHERE.items():
        if name in block:
            block.wrong(name, "a setting of other servers", "what this one can do", advice)
    cert, key = (_file(block, name, folder, needed=True) for name in ("cert_file", "key_file"))
    authority = _file(block, "client_ca_file", folder, needed=False)
    client_auth = block.choice("client_auth_type", CLIENT_AUTH, CLIENT_AUTH_HINTS) or ssl.CERT_NONE
    if client_auth is not ssl.CERT_NONE and "client_ca_file" not in block:
        block.wrong(
            "client_ca_file",
            "nothing",
            "a file of certificates",
            "Name who signs the clients' certificates, or remove client_auth_type.",
        )
    for name in ("client_ca_file", "client_allowed_sans"):
        if name in block and "client_auth_type" not in block:
            block.wrong(
                name, "no client_auth_type", "both", "Set client_auth_type: RequireAndVerifyClientCert."
            )
    hints = {"TLS10": OLD, "TLS11": OLD}
    lowest = block.choice("min_version", VERSIONS, hints) or ssl.TLSVersion.TLSv1_2
    highest = block.choice("max_version", VERSIONS, hints) or ssl.TLSVersion.TLSv1_3
    if highest < lowest:
        block.wrong("max_version", "less than min_version", "min_version or more")
    ciphers = _ciphers(block, lowest)
    if cert is None or key is None:
        return None
    return Tls(
        cert_file=cert,
        key_file=key,
        client_ca_file=authority,
        client_auth=client_auth,
        sans=tuple(block.texts("client_allowed_sans")),
        versions=(lowest, highest),
        ciphers=ciphers,
        prefer_server=block.flag("prefer_server_cipher_suites") is not False,
    )


def context(tls: Tls, block: Block) -> ssl.SSLContext:
    """Return a server's context for `tls`; what its files lack is noted in `block`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version, made.maximum_version = tls.versions
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if not tls.prefer_server:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ciphers:
        made.set_ciphers(tls.ciphers)
    made.set_alpn_protocols(["http/1.1"])
    certificate = _pem(tls.cert_file, PEM_CERTIFICATE, block, "cert_file", "a certificate")
    key = _pem(tls.key_file, PEM_KEY, block, "key_file", "a private key")
    if certificate and key:
        _load_pair(made, tls, block)
    if tls.client_ca_file is not None and _pem(
        tls.client_ca_file, PEM_CERTIFICATE, block, "client_ca_file", "certificates"
    ):
        try:
            made.load_verify_locations(tls.client_ca_file)
        except (ssl.SSLError, OSError) as error:
            block.wrong("client_ca_file", _reason(error), "certificates in PEM")
    made.verify_mode = tls.client_auth
    return made


def _file(block: Block, key: str, folder: Path, *, needed: bool) -> Path | None:
    value = block.text(key)
    if value:
        return folder / value
    if (needed and key not in block) or value == "":
        block.wrong(key, "nothing" if value is None else "an empty name", "the name of a file")
    return None


def _ciphers(block: Block, lowest: ssl.TLSVersion) -> str:
    names = block.texts("cipher_suites")
    unknown = [name for name in names if name not in SUITES]
    for name in unknown:
        block.wrong("cipher_suites", name, f"of {', '.join(SUITES)}")
    chosen = [SUITES[name] for name in names if SUITES.get(name)]
    if names and not chosen and not unknown and lowest < ssl.TLSVersion.TLSv1_3:
        block.wrong("cipher_suites", "suites of TLS 1.3 alone", "one of TLS 1.2", "Set min_version: TLS13.")
    return ":".join(chosen)


def _pem(file: Path, mark: bytes, block: Block, key: str, what: str) -> bool:
    try:
        text = file.read_bytes()
    except OSError as error:
        block.wrong(key, f"{file}: {(error.strerror or str(error)).lower()}", "a file that can be read")
        return False
    if mark in text:
        return True
    block.wrong(key, f"{file} without {mark.decode()}", f"{what} in PEM")
    return False


def _load_pair(made: ssl.SSLContext, tls: Tls, block: Block) -> None:
    encrypted = []

    def ask() -> str:
        encrypted.append(True)
        return ""

    try:
        made.load_cert_chain(tls.cert_file, tls.key_file, ask)
    except (ssl.SSLError, OSError, ValueError) as error:
        if encrypted:
            block.wrong("key_file", "an encrypted key", "one without a passphrase")
        elif getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            block.wrong("key_file", "the key of another certificate", "the key of cert_file")
        else:
            block.wrong("cert_file", _reason(error), "a certificate and, in key_file, its key, both in PEM")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).lower().replace("_", " ")
