"""Who may use a daemon: the names and tokens in a file, read again when it changes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import stat
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST = 16
"""Characters of a token."""

MOST = 32
"""Lines of the file. Two lines with one name let a token be exchanged without a gap."""

_NOBODY = bytes(32)
_LINE = re.compile(r"([\w.@-]{1,64})\s+(\S+)")


class TokenError(Exception):
    """The file cannot be used; the message has a line for everything that is wrong, and no token."""


class Tokens:
    """The tokens in force; a file that cannot be used never replaces one that could."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        """Read the file at `path`, of at most so many tokens.

        Raises:
            TokenError: It cannot be used.
        """
        self._path = path
        self._most = most
        self._log = structlog.get_logger(component="tokens")
        self._seen = _trace(path)
        self._adopt(_load(path, most))

    def reload(self) -> None:
        """Read the file again.

        Raises:
            TokenError: It cannot be used; the tokens stay.
        """
        self._seen = _trace(self._path)
        self._adopt(_load(self._path, self._most))

    def principal(self, authorization: str | None) -> str | None:
        """Return the name of who sent this header (`Bearer TOKEN`, or Basic with name and token), or None."""
        self._look()
        scheme, _, rest = (authorization or "").partition(" ")
        name, token = None, rest.strip()
        if scheme.lower() == "basic":
            name, token = _basic(token)
        elif scheme.lower() != "bearer":
            return None
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for known, digest in self._digests:
            # No early end: the time tells nothing about which, or how nearly.
            if hmac.compare_digest(given, digest) and name in {None, known}:
                found = known
        return found

    def admits(self, name: str, authorization: str | None) -> bool:
        """Return whether this header (`Bearer TOKEN`) holds a token of `name`; as slow for one that has none."""
        self._look()
        scheme, _, token = (authorization or "").partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).digest()
        matches = False
        for digest in self._by_name.get(name, (_NOBODY,)):
            matches |= hmac.compare_digest(given, digest)
        return matches and scheme.lower() == "bearer" and name in self._by_name

    def _adopt(self, digests: tuple[tuple[str, bytes], ...]) -> None:
        self._digests = digests
        self._by_name: dict[str, list[bytes]] = {}
        for name, digest in digests:
            self._by_name.setdefault(name, []).append(digest)

    def _look(self) -> None:
        seen = _trace(self._path)
        if seen == self._seen:
            return
        try:
            self.reload()
        except TokenError as error:
            self._log.error("token file refused, the last one stays", reason=str(error))
        else:
            self._log.info("token file adopted", names=len({name for name, _ in self._digests}))


def _basic(text: str) -> tuple[str | None, str]:
    try:
        name, _, token = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, token


def _trace(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _load(path: Path, most: int) -> tuple[tuple[str, bytes], ...]:
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    problems = []
    if mode & stat.S_IROTH:
        problems.append(f"{path}: everybody may read it. Run chmod o-rwx.")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            problems.append(f"{path}:{number}: expected NAME TOKEN, such as `alertmanager 5f2c…`.")
        elif len(parts[2]) < SHORTEST:
            problems.append(f"{path}:{number}: this token is shorter than {SHORTEST} characters.")
        else:
            found.append((parts[1], hashlib.sha256(parts[2].encode()).digest()))
    if not found and not problems:
        problems.append(f"{path}: no token in it. Expected lines of NAME TOKEN.")
    if len(found) > most:
        problems.append(f"{path}: {len(found)} tokens, expected at most {most}.")
    if problems:
        raise TokenError("\n".join(problems))
    return tuple(found)
