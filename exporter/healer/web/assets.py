"""Files that pages need, served from the package under names that change with their content, so cached for good."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

FOREVER = "private, max-age=31536000, immutable"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets:
    """The files in the folder `static` of a package.

    Attributes:
        urls: Where each is served, relative to `/`, by its name.
    """

    def __init__(self, package: str) -> None:
        self.urls: dict[str, str] = {}
        self._contents: dict[str, bytes] = {}
        for file in (files(package) / "static").iterdir():
            content, name = file.read_bytes(), PurePath(file.name)
            digest = hashlib.sha256(content).hexdigest()[:12]
            self._contents[file.name] = content
            self.urls[file.name] = f"static/{name.stem}.{digest}{name.suffix}"

    def serve_on(self, app: web.Application) -> None:
        """Add a route for each file."""
        for name, url in self.urls.items():
            app.router.add_get(f"/{url}", _handler(self._contents[name], TYPES[PurePath(name).suffix]))


def _handler(content: bytes, content_type: str) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        response = web.Response(
            body=content, content_type=content_type, charset="utf-8", headers={"Cache-Control": FOREVER}
        )
        response.enable_compression()
        return response

    return serve
