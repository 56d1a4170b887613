"""What counts as a beat, and why the rest does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.beats.decode import MAX_BYTES, Beat, Invalid, decode


def test_the_contract_s_beat_is_read() -> None:
    assert decode(b'{"svc":"rss_agg","i":7,"ts":1762433458}') == Beat(svc="rss_agg", i=7, ts=1762433458.0)


@pytest.mark.parametrize(
    ("payload", "beat"),
    [
        pytest.param(b"{}", Beat(), id="no keys at all"),
        pytest.param(
            b'{"service":"mesh","ts":1.5,"status":"alive"}',
            Beat(service="mesh", ts=1.5),
            id="service for svc",
        ),
        pytest.param(
            b'{"svc":"mesh","i":null,"ts":"2026-01-01"}', Beat(svc="mesh"), id="a ts that is no number"
        ),
        pytest.param(b'{"svc":"mesh","i":"7"}', Beat(svc="mesh"), id="a counter that is no integer"),
        pytest.param(
            b'{"i":99999999999999999999}', Beat(i=99999999999999999999), id="a counter beyond 64 bits"
        ),
        pytest.param(b'{"svc":"mesh","i":true,"ts":false}', Beat(svc="mesh"), id="booleans"),
        pytest.param(b'{"svc":7}', Beat(), id="a name that is no string"),
        pytest.param(b' {"svc":"mesh"}\n', Beat(svc="mesh"), id="white space around"),
        pytest.param(b'{"ts":253402300799}', Beat(ts=253402300799.0), id="the year 9999"),
    ],
)
def test_a_sloppy_publisher_is_alive(payload: bytes, beat: Beat) -> None:
    assert decode(payload) == beat


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Invalid.EMPTY),
        (b" \r\n", Invalid.EMPTY),
        (b"x" * (MAX_BYTES + 1), Invalid.TOO_LARGE),
        (b"{" * 10_000_000, Invalid.TOO_LARGE),
        (b'{"svc":"\xff\xfe"}', Invalid.ENCODING),
        (b"\xff", Invalid.ENCODING),
        (b"NaN", Invalid.JSON),
        (b'{"ts":NaN}', Invalid.JSON),
        (b"{", Invalid.JSON),
        (b'{"ts":1e999}', Invalid.JSON),
        (b"[" * 60_000, Invalid.JSON),
        (b"alive", Invalid.JSON),
        (b"[]", Invalid.NOT_AN_OBJECT),
        (b"7", Invalid.NOT_AN_OBJECT),
        (b'"alive"', Invalid.NOT_AN_OBJECT),
        (b"null", Invalid.NOT_AN_OBJECT),
    ],
)
def test_a_message_that_is_no_beat_says_why(payload: bytes, reason: Invalid) -> None:
    assert decode(payload) is reason


@given(st.binary(max_size=200))
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(decode(payload), Beat | Invalid)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["svc", "i", "ts", "service", "x"]), inner)
    ),
)


@given(_json)
def test_every_json_object_is_a_beat_and_nothing_else_is(document: object) -> None:
    try:
        payload = json.dumps(document, allow_nan=False).encode()
    except ValueError:
        payload = json.dumps(document).encode()
        assert decode(payload) is Invalid.JSON
        return
    assert isinstance(decode(payload), Beat) == isinstance(document, dict)
