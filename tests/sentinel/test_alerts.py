"""Alertmanager's webhook is read leniently, but what is no webhook is refused with the place named."""

from __future__ import annotations

import json

import pytest

from healer.sentinel.alerts import WebhookError, decode

from .conftest import alert, watchdog, webhook


def only(body: bytes):
    (found,) = decode(body).alerts
    return found


def test_a_miss_is_read_with_its_figures() -> None:
    body = webhook(alert(starts=1762433457.5, late_sec="31.2", timeout_sec=30, evaluated_at="1762433457.500"))
    found = only(body)
    assert (found.name, found.svc, found.firing) == ("HeartbeatMiss", "rss_agg", True)
    assert (found.late, found.timeout, found.evaluated) == (31.2, 30.0, 1762433457.5)
    assert found.starts_at == 1762433457.5
    assert decode(body).sender == "http://alertmanager:9093"


def test_instants_are_read_to_the_nanosecond_and_in_any_zone() -> None:
    raw = alert(starts=0)
    raw["startsAt"] = "2025-11-06T14:50:57.123456789+01:00"
    assert only(webhook(raw)).starts_at == pytest.approx(1762437057.123457, abs=1e-6)


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-3", "1e999"])
def test_a_figure_that_is_none_is_absent(text) -> None:
    assert only(webhook(alert(starts=1, late_sec=text))).late is None


def test_the_beat_of_a_watchdog_is_its_evaluation() -> None:
    assert only(webhook(watchdog(1762433457.5))).evaluated == 1762433457.5
    assert only(webhook(watchdog(None))).evaluated is None


def test_a_watchdog_names_who_is_missing_and_when_who_returned_beat() -> None:
    raw = watchdog(1762433457.5)
    raw["annotations"] |= {"missing": "mesh\nvigil\n", "returned": "1762433455.125 rss agg\nsoon mesh\n7\n\n"}
    found = only(webhook(raw))
    assert found.missing == ("mesh", "vigil", "")
    assert list(found.beats()) == [(1762433455.125, "rss agg")]


@pytest.mark.parametrize("svc", ["", "x" * 257, "line\nbreak", "\x00"])
def test_a_miss_without_a_usable_name_is_ignored(svc) -> None:
    assert only(webhook(alert(svc=svc, starts=1))).ignored


def test_a_name_from_another_alphabet_is_a_name() -> None:
    assert not only(webhook(alert(svc="сервис-ж", starts=1))).ignored


def test_other_keys_may_hold_anything() -> None:
    body = json.loads(webhook(alert(starts=1)))
    body |= {"version": 5, "groupKey": None, "new": [{"nested": [[[1]]]}]}
    assert only(json.dumps(body).encode()).svc == "rss_agg"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "alerts"),
        (b'{"alerts":{}}', "$.alerts"),
        (b'{"alerts":[{"status":"odd"}]}', "$.alerts[0].status"),
        (b'{"alerts":[{"status":"firing","labels":{"svc":7}}]}', "$.alerts[0].labels"),
        (b'{"alerts":[{"status":"firing","startsAt":"noon"}]}', "$.alerts[0].startsAt"),
        (b'{"alerts":[{"status":"firing","labels":{"a":"\xff"}}]}', "UTF-8"),
        (b'{"x":' + b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_webhook_is_refused_with_the_place(body, place) -> None:
    with pytest.raises(WebhookError) as refused:
        decode(body)
    assert place.lower() in str(refused.value).lower()


@pytest.mark.parametrize(
    ("ends_after", "proven"),
    [(0.0, True), (5.0, True), (10.0, True), (15.0, True), (20.0, False), (40.0, False)],
)
def test_an_end_within_three_evaluations_of_the_last_is_proven(ends_after, proven) -> None:
    raw = alert(starts=1000, ends=2000 + ends_after, evaluated_at=2000, evaluation_interval_sec=5)
    assert only(webhook(raw)).proven is proven


def test_an_end_is_not_proven_by_rules_that_do_not_say_when_they_ran() -> None:
    assert not only(webhook(alert(starts=1000, ends=2005))).proven
    assert not only(webhook(alert(starts=1000, ends=2005, evaluated_at=2000))).proven


def test_lateness_grows_from_the_evaluation_on() -> None:
    found = only(webhook(alert(starts=900, late_sec=31.2, evaluated_at=1000)))
    assert found.late_at(1002.5, 30.0) == pytest.approx(33.7)
    assert found.late_at(990.0, 30.0) == 31.2, "a clock behind Prometheus' takes nothing off"


def test_lateness_without_a_figure_is_the_timeout_and_the_time_since() -> None:
    assert only(webhook(alert(starts=1000))).late_at(1002.0, 30.0) == 32.0
    assert only(webhook(alert(starts=1000, late_sec=31.2))).late_at(1002.0, 30.0) == 31.2
