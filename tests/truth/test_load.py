from __future__ import annotations

import json
from pathlib import Path

import pytest

from healer.truth.load import load_file, parse
from healer.truth.model import Monitor, Service
from healer.truth.problems import TruthError

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"


def refusal(load, document, **env):
    with pytest.raises(TruthError) as caught:
        load(document, **env)
    return str(caught.value)


def only(loaded):
    (service,) = loaded.truth.services
    return service


def test_the_example_truth_loads_without_a_warning():
    loaded = load_file(ROOT / "truth.json", {})
    assert loaded.warnings == ()
    assert [service.name for service in loaded.truth.services] == [
        "market_feed",
        "massive",
        "mesh",
        "rss_agg",
        "vexy_ai",
    ]
    assert [bus.name for bus in loaded.truth.buses] == ["market-redis", "system-redis"]


@pytest.mark.parametrize("seed", ["user_guide", "readme"])
def test_both_documents_of_the_older_generation_mean_the_same(seed):
    truth = load_file(CORPUS / "good" / f"{seed}.json", {}).truth
    assert truth.services == tuple(
        Service(name, "system-redis", f"{name}:heartbeat", 10.0, 30.0)
        for name in ("massive", "mesh", "rss_agg", "vexy_ai")
    )
    assert truth.monitor == Monitor()
    assert [(bus.name, bus.url) for bus in truth.buses] == [("system-redis", "redis://system-redis:6379")]


def test_the_newer_generation_loads_from_components_with_ttl_and_three_buses():
    loaded = load_file(CORPUS / "good" / "newer_generation.json", {})
    truth = loaded.truth
    assert {service.name: (service.bus, service.interval, service.timeout) for service in truth.services} == {
        "copilot": ("market-redis", 5.0, 15.0),
        "massive": ("market-redis", 5.0, 15.0),
        "mesh": ("system-redis", 10.0, 30.0),
        "rss_agg": ("intel-redis", 5.0, 15.0),
        "vexy_ai": ("market-redis", 5.0, 15.0),
    }
    assert truth.version == "3.1"
    assert [warning.path for warning in loaded.warnings] == ["components.journal.heartbeat"]


TIMEOUTS = [
    ({"timeout_sec": 40, "ttl_sec": 50}, 60, "70", 40, "services.rss_agg.heartbeat.timeout_sec"),
    ({"ttl_sec": 50}, 60, "70", 50, "services.rss_agg.heartbeat.ttl_sec"),
    ({}, 60, "70", 60, "services.healer.threshold.heartbeat_cadence"),
    ({}, None, "70", 70, "env DEFAULT_TIMEOUT_SEC"),
    ({}, None, "", 30, "default"),
]


@pytest.mark.parametrize(("heartbeat", "cadence", "fallback", "timeout", "origin"), TIMEOUTS)
def test_the_timeout_is_the_first_that_is_set(load, wiring, heartbeat, cadence, fallback, timeout, origin):
    healer = {"threshold": {"heartbeat_cadence": cadence}} if cadence else {}
    service = only(
        load(wiring({"rss_agg": {"heartbeat": heartbeat}}, healer=healer), DEFAULT_TIMEOUT_SEC=fallback)
    )
    assert (service.timeout, service.origins["timeout"]) == (timeout, origin)


def test_the_interval_is_the_services_own_or_ten_seconds(load, wiring):
    assert only(load(wiring({"rss_agg": {"heartbeat": {"interval_sec": 2.5}}}))).interval == 2.5
    assert only(load(wiring(), HB_INTERVAL_SEC="3")).interval == 10


BUS_URLS = [
    ({"buses": {"system-redis": {"url": "redis://a:1"}}}, {}, "redis://a:1", "buses.system-redis.url"),
    (
        {"buses": {"system-redis": {"url": "redis://a:1"}}},
        {"redis_url": "redis://a:1/3"},
        "redis://a:1",
        "buses.system-redis.url",
    ),
    ({}, {"redis_url": "redis://b:2"}, "redis://b:2", "services.rss_agg.heartbeat.redis_url"),
    (
        {"buses": {"other": {"url": "redis://a:1"}}},
        {"redis_url": "redis://b:2"},
        "redis://b:2",
        "services.rss_agg.heartbeat.redis_url",
    ),
    ({}, {}, "redis://system-redis:6379", "default"),
]


@pytest.mark.parametrize(("others", "heartbeat", "url", "origin"), BUS_URLS)
def test_the_url_of_a_bus_is_the_first_that_is_set(load, wiring, others, heartbeat, url, origin):
    truth = load(
        wiring({"rss_agg": {"heartbeat": heartbeat}}, **others), REDIS_URL="redis://elsewhere:1"
    ).truth
    bus = truth.bus("system-redis")
    assert (bus.url, bus.origin) == (url, origin)


NAMES = [
    ("rss_agg:heartbeat", "rss_agg"),
    ("prod:rss_agg:heartbeat", "prod:rss_agg"),
    ("rss_agg:heartbeat:v2", "rss_agg"),
    ("rss_agg:pulse", "rss_agg"),
    ("rss_agg", "rss_agg"),
    ("declared", "by_its_channel"),
]


@pytest.mark.parametrize(("key", "name"), NAMES)
def test_a_channel_belongs_to_who_declares_it_else_to_the_name_it_starts_with(load, wiring, key, name):
    services = {"by_its_channel": {"heartbeat": {"channel": "declared"}}} if key == "declared" else {}
    assert only(load(wiring(services, watch=[{"key": key}]))).name == name


def test_severity_team_and_runbook_stand_on_the_service(load, wiring):
    facts = {"severity": "info", "team": "news", "runbook_url": "https://wiki.example/rss"}
    service = only(load(wiring({"rss_agg": facts})))
    assert (service.severity, service.team, service.runbook) == ("info", "news", "https://wiki.example/rss")


MONITOR = [
    ("name", {"SERVICE_ID": "healer-b"}, "healer-b", "env SERVICE_ID"),
    ("interval", {"HB_INTERVAL_SEC": "4"}, 4.0, "env HB_INTERVAL_SEC"),
    ("heartbeat_channel", {"HEALER_HEARTBEAT_CHANNEL": "own"}, "own", "env HEALER_HEARTBEAT_CHANNEL"),
    ("alerts_channel", {"ALERT_CHANNEL": "events"}, "events", "env ALERT_CHANNEL"),
    ("timeout", {"DEFAULT_TIMEOUT_SEC": "45"}, 45.0, "env DEFAULT_TIMEOUT_SEC"),
]


@pytest.mark.parametrize(("field", "env", "value", "origin"), MONITOR)
def test_the_environment_stands_in_for_what_the_document_leaves_out(load, wiring, field, env, value, origin):
    monitor = load(wiring(), **env).truth.monitor
    assert (getattr(monitor, field), monitor.origins[field]) == (value, origin)


def test_the_document_comes_before_the_environment():
    raw = (CORPUS / "good" / "user_guide.json").read_bytes()
    env = {
        "HB_INTERVAL_SEC": "4",
        "HEALER_HEARTBEAT_CHANNEL": "own",
        "ALERT_CHANNEL": "events",
        "DEFAULT_TIMEOUT_SEC": "45",
    }
    assert parse(raw, env=env).truth.monitor == Monitor()


def test_bad_environment_variables_are_reported_with_the_rest(load, wiring):
    text = refusal(
        load,
        wiring({"rss_agg": {"severity": "high"}}),
        DEFAULT_TIMEOUT_SEC="soon",
        HB_INTERVAL_SEC="-1",
        ALERT_CHANNEL="a\nb",
        SERVICE_ID="rss_agg",
    )
    assert sorted(line.split(": found")[0] for line in text.splitlines()) == [
        "env ALERT_CHANNEL",
        "env DEFAULT_TIMEOUT_SEC",
        "env HB_INTERVAL_SEC",
        "env SERVICE_ID",
        "truth.json:1: services.rss_agg.severity",
    ]


def test_events_go_to_a_bus_that_is_there_when_the_document_names_none(load, wiring):
    watch = [{"bus": "main", "key": "a:heartbeat"}]
    assert load(wiring(watch=watch, buses={"main": {"url": "redis://m"}})).truth.monitor.alerts_bus == "main"
    both = {"main": {"url": "redis://m"}, "system-redis": {"url": "redis://s"}}
    assert load(wiring(watch=watch, buses=both)).truth.monitor.alerts_bus == "system-redis"


def test_a_bus_on_which_nothing_beats_is_seeded_but_not_watched(load, wiring):
    loaded = load(wiring(buses={"system-redis": {"url": "redis://s"}, "idle": {"url": "redis://i"}}))
    assert [bus.name for bus in loaded.truth.buses] == ["system-redis"]
    assert [bus.name for bus in loaded.declared] == ["idle", "system-redis"]


def test_the_hash_changes_with_the_meaning_alone(load, wiring):
    def sha(**changes):
        return load(wiring({"rss_agg": {"heartbeat": {"interval_sec": 10, **changes}}})).truth.sha256

    assert sha(interval_sec=10.0) == sha()
    assert sha(timeout_sec=30) == sha()
    assert sha(interval_sec=9) != sha()
    assert sha(timeout_sec=31) != sha()


def test_a_password_changes_no_hash_and_shows_nowhere(load, wiring):
    def truth(password):
        return load(wiring(buses={"system-redis": {"url": f"redis://:{password}@s"}})).truth

    assert truth("hunter2").sha256 == truth("hunter3").sha256
    assert "hunter2" not in repr(truth("hunter2"))


@pytest.mark.parametrize("version", [True, None, [], "a\nb", "\ud800", {}])
def test_a_version_that_no_label_could_hold_counts_as_none(load, wiring, version):
    assert load(wiring(version=version)).truth.version == ""


def test_a_file_that_is_not_there_is_said_like_any_other_fault(tmp_path):
    with pytest.raises(
        TruthError, match="the file: found no such file or directory, expected a readable file"
    ):
        load_file(tmp_path / "missing.json", {})


def test_ten_thousand_services_load_in_seconds(wiring):
    names = [f"service_{number}" for number in range(10_000)]
    text = json.dumps(
        wiring({name: {"heartbeat": {"interval_sec": 5}} for name in names}, watch=names), indent=1
    )
    assert len(parse(text, env={}).truth.services) == 10_000


@pytest.mark.timeout(20)
def test_thousands_of_services_that_are_watched_by_other_names_are_told_in_seconds(load, wiring):
    services = {f"market_service_{number}": {"heartbeat": {"interval_sec": 10}} for number in range(2000)}
    loaded = load(wiring(services, watch=[f"market_worker_{number}" for number in range(2000)]))
    assert len(loaded.warnings) == 2000


@pytest.mark.timeout(20)
def test_thousands_of_buses_that_are_called_otherwise_are_told_in_seconds_and_in_short(load, wiring):
    watch = [{"bus": f"market_radis_{number}", "key": f"s{number}:heartbeat"} for number in range(2000)]
    buses = {f"market_redis_{number}": {"url": "redis://a"} for number in range(2000)}
    with pytest.raises(TruthError) as caught:
        load(wiring(watch=watch, buses=buses))
    assert len(caught.value.problems) >= 2000
    assert max(len(str(problem)) for problem in caught.value.problems) < 1000
