"""Basic authentication against bcrypt hashes, off the event loop, and remembered so that it costs once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PASSWORD = 72
"""Bytes of a password that bcrypt looks at; like htpasswd, the rest is not read."""

REMEMBERED = 128
"""Wrong passwords remembered, so that a client with a stale one does not keep a core busy."""

AT_ONCE = 2
"""Passwords checked side by side."""

WAITING = 32
"""Checks that may wait; beyond, clients are asked to come back."""


class BusyError(Exception):
    """Too many passwords are waiting to be checked."""


class Doorkeeper:
    """Tells who may come in. What it remembers is keyed by a hash with a secret of this process."""

    def __init__(self, users: Mapping[str, bytes]) -> None:
        self._users = users
        # For a name that nobody has, a check that takes as long: the answer's time does not tell names.
        self._decoy = next(iter(users.values()), b"")
        self._secret = os.urandom(32)
        # Apart from one another: a flood of wrong passwords must not push out the one that Prometheus sends.
        self._right: set[bytes] = set()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._checks = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def admits(self, authorization: str | None) -> bool:
        """Return whether an `Authorization` header is that of a user.

        Raises:
            BusyError: It cannot be told now.
        """
        try:
            name, password = _login(authorization or "")
        except ValueError:
            return False
        proof = hashlib.blake2b(name.encode() + b"\0" + password, key=self._secret, digest_size=32).digest()
        if proof in self._right:
            return True
        if proof in self._wrong:
            return False
        known = await self._check(name, password)
        if known:
            self._right.add(proof)
        else:
            self._wrong[proof] = None
            if len(self._wrong) > REMEMBERED:
                self._wrong.popitem(last=False)
        return known

    async def _check(self, name: str, password: bytes) -> bool:
        if self._waiting >= WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._checks:
                hashed = self._users.get(name, self._decoy)
                matches = await asyncio.to_thread(bcrypt.checkpw, password, hashed)
        except ValueError:
            return False  # a zero byte, which bcrypt does not take
        finally:
            self._waiting -= 1
        return matches and name in self._users


def _login(authorization: str) -> tuple[str, bytes]:
    """Return name and password from a header.

    Raises:
        ValueError: It has none.
    """
    scheme, _, encoded = authorization.partition(" ")
    name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    if scheme.lower() != "basic" or not colon:
        raise ValueError("no basic authentication")
    return name, password.encode()[:LONGEST_PASSWORD]
