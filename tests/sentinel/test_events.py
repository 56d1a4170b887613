"""The four messages, byte for byte as the contract shows them."""

from __future__ import annotations

import json

import pytest

from healer.sentinel.events import HealerMiss, HealerOk, HeartbeatMiss, HeartbeatOk, encode, tenths, type_of

CONTRACT = {
    HeartbeatMiss("rss_agg", 31.2, 30.0, 1762433458): (
        b'{"type":"heartbeat_miss","svc":"rss_agg","late_sec":31.2,"timeout_sec":30.0,"ts":1762433458}'
    ),
    HeartbeatOk("rss_agg", 2.7, 1762433561): (
        b'{"type":"heartbeat_ok","svc":"rss_agg","age_sec":2.7,"ts":1762433561}'
    ),
    HealerMiss("healer", 35.0, 30.0, 1762434000): (
        b'{"type":"healer_miss","svc":"healer","late_sec":35.0,"timeout_sec":30.0,"ts":1762434000}'
    ),
    HealerOk("healer", 1762434100): b'{"type":"healer_ok","svc":"healer","ts":1762434100}',
}


@pytest.mark.parametrize(("event", "text"), CONTRACT.items(), ids=[type_of(event) for event in CONTRACT])
def test_a_message_is_the_contract_byte_for_byte(event, text) -> None:
    assert encode(event) == text


@pytest.mark.parametrize(("event", "text"), CONTRACT.items(), ids=[type_of(event) for event in CONTRACT])
def test_keys_come_in_order_and_have_their_types(event, text) -> None:
    types = {"type": str, "svc": str, "late_sec": float, "timeout_sec": float, "age_sec": float, "ts": int}
    found, expected = json.loads(encode(event)), json.loads(text)
    assert list(found) == list(expected)
    assert {key: type(value) for key, value in found.items()} == {key: types[key] for key in expected}


def test_an_age_has_a_tenth_and_is_never_negative() -> None:
    assert [tenths(31.249), tenths(30), tenths(-0.3)] == [31.2, 30.0, 0.0]
