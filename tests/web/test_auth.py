"""Who may come in: passwords against bcrypt hashes."""

from __future__ import annotations

import asyncio
import base64
import time

import bcrypt
import pytest

from healer.web import auth
from healer.web.auth import BusyError, Doorkeeper


def login(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def hashed(password: str, cost: int = 4) -> bytes:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost))


@pytest.fixture(scope="module")
def users() -> dict[str, bytes]:
    return {"alice": hashed("right"), "änne": hashed("pässword: mit Doppelpunkt")}


@pytest.mark.parametrize(
    ("header", "admitted"),
    [
        (login("alice", "right"), True),
        (login("änne", "pässword: mit Doppelpunkt"), True),
        (login("alice", "wrong"), False),
        (login("alice", ""), False),
        (login("bob", "right"), False),
        (login("", ""), False),
        (login("alice", "ri\0ght"), False),
        (None, False),
        ("", False),
        ("Bearer right", False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), False),
        ("Basic " + base64.b64encode(b"alice").decode(), False),
    ],
)
async def test_only_users_with_their_password_are_admitted(users, header, admitted) -> None:
    doorkeeper = Doorkeeper(users)
    assert await doorkeeper.admits(header) is admitted
    assert await doorkeeper.admits(header) is admitted


async def test_a_password_is_read_as_far_as_bcrypt_does() -> None:
    doorkeeper = Doorkeeper({"alice": hashed("x" * 100)})
    assert await doorkeeper.admits(login("alice", "x" * 100))


async def test_hashes_of_htpasswd_and_php_are_understood() -> None:
    as_htpasswd = hashed("right").replace(b"$2b$", b"$2y$")
    assert await Doorkeeper({"alice": as_htpasswd}).admits(login("alice", "right"))


async def test_a_known_password_costs_once_and_the_event_loop_goes_on_meanwhile() -> None:
    doorkeeper = Doorkeeper({"alice": hashed("right", cost=11)})
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    begun = time.perf_counter()
    assert await doorkeeper.admits(login("alice", "right"))
    first = time.perf_counter() - begun
    ticking.cancel()
    begun = time.perf_counter()
    assert await doorkeeper.admits(login("alice", "right"))
    assert time.perf_counter() - begun < first / 10
    assert ticks > 5


async def test_an_unknown_name_takes_as_long_as_a_known_one(monkeypatch) -> None:
    checked = []
    check = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *args: checked.append(args) or check(*args))
    doorkeeper = Doorkeeper({"alice": hashed("right")})
    assert not await doorkeeper.admits(login("bob", "right"))
    assert not await doorkeeper.admits(login("alice", "wrong"))
    assert len(checked) == 2
    assert checked[0][1] == checked[1][1]


async def test_a_flood_of_wrong_passwords_pushes_out_no_right_one(monkeypatch) -> None:
    doorkeeper = Doorkeeper({"alice": hashed("right")})
    assert await doorkeeper.admits(login("alice", "right"))
    for number in range(auth.REMEMBERED + 10):
        assert not await doorkeeper.admits(login("alice", str(number)))
    monkeypatch.setattr(bcrypt, "checkpw", None)
    assert await doorkeeper.admits(login("alice", "right"))
    assert not await doorkeeper.admits(login("alice", str(auth.REMEMBERED)))


async def test_more_logins_than_can_wait_are_asked_to_come_back() -> None:
    doorkeeper = Doorkeeper({"alice": hashed("right")})
    answers = await asyncio.gather(
        *(doorkeeper.admits(login("alice", str(number))) for number in range(auth.WAITING + 5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, BusyError) for answer in answers) == 5
    assert await doorkeeper.admits(login("alice", "right"))
