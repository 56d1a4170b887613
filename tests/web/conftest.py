"""Certificates for a test, and a daemon's face behind a web configuration."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme
import yaml
from aiohttp import ClientSession, TCPConnector, encode_basic_auth, web

from healer.web.listen import Address, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PASSWORDS = {"prometheus": "scrape me", "änne": "pässword"}


@dataclass
class Site:
    """Files of one daemon: its web configuration and what that names.

    Attributes:
        folder: Where they are.
        authority: Signs servers and clients.
    """

    folder: Path
    authority: trustme.CA

    @property
    def file(self) -> Path:
        return self.folder / "web.yml"

    def write(self, config: object) -> Path:
        self.file.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        return self.file

    def certify(self, name: str, *names: str, authority: trustme.CA | None = None) -> trustme.LeafCert:
        """Write NAME.crt and NAME.key; the first of `names` is the common name too."""
        made = (authority or self.authority).issue_cert(*names, common_name=names[0])
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        for file, content in ((f"{name}.key", made.private_key_pem.bytes()), (f"{name}.crt", chain)):
            # In one step, as whoever rotates certificates should.
            fresh = self.folder / f"{file}.new"
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            fresh.rename(self.folder / file)
        return made

    def trust(self, name: str, authority: trustme.CA | None = None) -> Path:
        path = self.folder / name
        path.write_bytes((authority or self.authority).cert_pem.bytes())
        return path

    def client(self, name: str | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts `authority` and shows NAME's certificate."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path, trustme.CA())
    site.certify("server", "127.0.0.1")
    site.certify("client", "prometheus.example")
    site.trust("ca.crt")
    return site


@pytest.fixture(scope="session")
def users() -> dict[str, str]:
    """bcrypt hashes as cheap as they come."""
    return {
        name: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode() for name, word in PASSWORDS.items()
    }


TLS = {"cert_file": "server.crt", "key_file": "server.key"}
MUTUAL = {**TLS, "client_ca_file": "ca.crt", "client_auth_type": "RequireAndVerifyClientCert"}


@asynccontextmanager
async def door(config: Path | None) -> AsyncIterator[str]:
    """Serve a page behind `config`; yields its URL."""
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="inside 1\n", headers={"Content-Type": "text/plain; version=0.0.4"})

    app.router.add_get("/", page)
    async with serving(app, Address("127.0.0.1", 0), config) as url:
        yield url


async def visit(
    url: str, context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> tuple[int, str, dict[str, str]]:
    """Get `url` over a connection of its own; return status, text and headers."""
    headers = {"Authorization": encode_basic_auth(*login, encoding="utf-8")} if login else {}
    connector = TCPConnector(ssl=context if context is not None else True)
    async with ClientSession(connector=connector) as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), dict(answer.headers)
