"""The file of `--web.config.file`, in exporter-toolkit's format: TLS, basic authentication, headers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from healer.truth.problems import Problem
from healer.web import tls
from healer.web.blocks import Notes, WebConfigError, compose

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from pathlib import Path

    from healer.web.blocks import Block

KEYS = ("tls_server_config", "http_server_config", "basic_auth_users")
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""What may be set, and to what; no values: to anything."""

BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
OTHERS_MAY_READ = 0o044


@dataclass(frozen=True, slots=True)
class WebConfig:
    """How a daemon may be reached.

    Attributes:
        tls: None for plain HTTP.
        context: That of `tls`; None without.
        headers: Sent with every answer, above Healer's own.
        users: bcrypt hashes by name; empty to let everyone in.
        warnings: What is doubtful, for the log.
        files: All files that it was made of, the configuration's first.
    """

    tls: tls.Tls | None = None
    context: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def load(path: Path) -> WebConfig:
    """Load a file; names in it are relative to its folder.

    Raises:
        WebConfigError: It, or a file it names, cannot be used; says everything that is wrong.
    """
    notes = Notes()
    try:
        text = path.read_bytes()
    except OSError as error:
        problem = Problem("the file", (error.strerror or str(error)).lower(), "a file that can be read")
        raise WebConfigError([problem], str(path)) from None
    root = compose(text, notes)
    root.only(KEYS, foreign=["rate_limit"])
    if "rate_limit" in root:
        root.wrong("rate_limit", "a setting of other servers", "what this one can do", "Remove it.")
    settings, context = None, None
    if "tls_server_config" in root:
        block = root.block("tls_server_config")
        settings = tls.read(block, path.parent)
        context = tls.context(settings, block) if settings else None
    headers = _headers(root.block("http_server_config"))
    users = _users(root)
    if notes.problems:
        raise WebConfigError(sorted(notes.problems, key=lambda p: p.line or 0), str(path))
    return WebConfig(
        tls=settings,
        context=context,
        headers=headers,
        users=users,
        warnings=_warnings(settings, users),
        files=(path, *(settings.files if settings else ())),
    )


def _headers(block: Block) -> dict[str, str]:
    # HTTP/2 is offered by nobody here; clients then speak HTTP/1.1, whatever the setting.
    block.only(("http2", "headers"))
    block.flag("http2")
    given = block.block("headers")
    given.only(HEADERS)
    headers = {}
    for name in given:
        value = given.text(name)
        allowed = HEADERS.get(name, ())
        if value is None:
            continue
        if allowed and value.lower() not in allowed:
            given.wrong(name, "another value", " or ".join(allowed))
        elif not value.isprintable() or not value.isascii():
            given.wrong(name, "characters that a header cannot have", "printable ASCII")
        else:
            headers[name] = value
    return headers


def _users(root: Block) -> dict[str, bytes]:
    block = root.block("basic_auth_users")
    users = {}
    if "basic_auth_users" in root and not any(True for _ in block):
        root.wrong("basic_auth_users", "nobody", "at least one user", "Remove it to let everyone in.")
    for name in block:
        hashed = block.text(name)
        if hashed is None:
            continue
        if not name or ":" in name:
            block.wrong(name, "a name that cannot be sent", "a name without a colon")
        if BCRYPT.fullmatch(hashed):
            users[name] = hashed.encode()
        else:
            block.wrong(
                name, "no bcrypt hash", "one such as $2y$10$…", "Make one with `htpasswd -nBC 10 ''`."
            )
    return users


def _warnings(settings: tls.Tls | None, users: Mapping[str, bytes]) -> tuple[str, ...]:
    found = []
    if settings is not None and _mode(settings.key_file) & OTHERS_MAY_READ:
        found.append(f"others may read {settings.key_file}: chmod 600")
    if users and settings is None:
        found.append("passwords travel in the clear: add tls_server_config")
    return tuple(found)


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode
    except OSError:
        return 0
