"""Whatever the document: it loads or is refused, and what is not ours changes nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healer.truth.load import Loaded, parse
from healer.truth.problems import TruthError
from healer.truth.show import as_json
from healer.truth.windows import Once

GOOD = sorted((Path(__file__).parent / "corpus" / "good").glob("*.json"))

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
seconds = st.integers(-5, 200) | st.floats() | st.just("10") | anything
urls = st.sampled_from(
    ["redis://a", "rediss://u:p@b:1/2", "unix:///s", "redis://x:y@z@w", "http://c", "redis://[::1", "x"]
)
names = st.sampled_from(["rss_agg", "mesh", "healer", "", "a b", "é", "system-redis"]) | st.text(max_size=6)
channels = names.map(lambda name: f"{name}:heartbeat") | names | anything


def block(**keys):
    """An object with some of the keys, mostly with values of the right kind."""
    return st.fixed_dictionaries({}, optional=keys) | anything


heartbeats = block(
    channel=channels,
    interval_sec=seconds,
    timeout_sec=seconds,
    ttl_sec=seconds,
    redis_url=urls | anything,
    source=st.sampled_from(["pubsub", "key", "file", "push"]) | anything,
    path=st.sampled_from(["/run/beat", "/", "beat", "/a/../b"]) | anything,
)
entries = st.lists(block(bus=names | anything, key=channels), max_size=5) | anything
moments = st.sampled_from(
    [
        "22:00",
        "00:00",
        "24:00",
        "2026-03-29T02:30",
        "2026-10-25T02:30",
        "2027-01-01T00:00Z",
        "2026-02-30T00:00",
    ]
)
windows = block(
    **{"from": moments | anything, "to": moments | anything},
    days=st.lists(st.sampled_from(["monday", "sunday", "sonntag"]), max_size=2) | anything,
    time_zone=st.sampled_from(["Europe/Berlin", "UTC", "Nowhere"]) | anything,
    reason=anything,
)
maintenance = st.lists(windows, max_size=3) | anything
services = block(
    heartbeat=heartbeats,
    severity=anything,
    team=names | anything,
    runbook_url=urls | anything,
    maintenance=maintenance,
)
machines = block(
    node_exporter=st.sampled_from(["10.0.0.5:9100", "[::1]:9100", "x:99999"]) | anything,
    units=st.lists(st.sampled_from(["a.service", "b"]) | anything, max_size=2) | anything,
    mounts=st.lists(st.sampled_from(["/", "data"]) | anything, max_size=2) | anything,
    disk=block(warning_percent=seconds, critical_percent=seconds) | anything,
    restarts=block(more_than=seconds, window_sec=seconds) | anything,
    heartbeat_files=st.lists(block(path=st.just("/a") | anything, timeout_sec=seconds), max_size=2)
    | anything,
    logs=st.lists(block(unit=anything, path=st.just("/b"), pattern=st.sampled_from(["x", "("])), max_size=2)
    | anything,
)
healers = st.fixed_dictionaries(
    {"access_points": st.fixed_dictionaries({"subscribe_to": entries}, optional={"publish_to": entries})},
    optional={"heartbeat": heartbeats, "threshold": block(heartbeat_cadence=seconds)},
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "version": anything,
        "buses": st.dictionaries(names, block(url=urls | anything) | urls, max_size=3) | anything,
        "services": st.builds(
            lambda known, healer: {**known, "healer": healer},
            st.dictionaries(names, services, max_size=3),
            healers,
        ),
        "components": anything,
        "hosts": st.dictionaries(names, machines, max_size=2) | anything,
        "teams": st.dictionaries(names, block(maintenance=maintenance), max_size=2) | anything,
    },
)


def outcome(raw, **env):
    try:
        return parse(raw, env=env)
    except TruthError as error:
        str(error).encode()
        return error


def holds_together(result):
    """What every part relies on in a truth; nothing to check in a refusal."""
    if isinstance(result, TruthError):
        return
    truth = result.truth
    assert {service.bus for service in truth.services} | {truth.monitor.alerts_bus} == {
        bus.name for bus in truth.buses
    }
    assert all(0 < service.interval < service.timeout for service in (*truth.services, truth.monitor))
    assert len({service.name for service in truth.services}) == len(truth.services)
    for window in (window for owner in (*truth.services, *truth.teams) for window in owner.maintenance):
        assert window.start < window.end if isinstance(window, Once) else window.start != window.end
    as_json(result).encode()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(documents | anything, st.sampled_from([None, 1]))
def test_any_json_loads_or_is_refused(document, indent):
    holds_together(outcome(json.dumps(document, indent=indent)))


def places(value):
    """Every (container, key or position) in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield value, key
        yield from places(item)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(GOOD), st.data())
def test_a_good_document_with_one_thing_changed_loads_or_is_refused(path, data):
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    container, key = data.draw(st.sampled_from(list(places(document))))
    container[key] = data.draw(seconds | urls | names | channels | entries | services)
    holds_together(outcome(json.dumps(document)))


@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]",:0eE-.\\u\n \'nN"aIt', max_size=30).map(lambda text: text.encode())
)
def test_any_bytes_load_or_are_refused(raw):
    assert isinstance(outcome(raw), TruthError)


@given(st.text(st.characters(exclude_characters="\0"), max_size=12))
def test_any_environment_loads_or_is_refused(value):
    raw = GOOD[0].read_bytes()
    for name in (
        "DEFAULT_TIMEOUT_SEC",
        "HB_INTERVAL_SEC",
        "ALERT_CHANNEL",
        "HEALER_HEARTBEAT_CHANNEL",
        "SERVICE_ID",
    ):
        assert isinstance(outcome(raw, **{name: value}), Loaded | TruthError)


def shuffled(value, order, extra):
    """The same with its keys in another order and, in blocks that hold other things too, foreign ones added."""
    if isinstance(value, list):
        return [shuffled(item, order, extra) for item in value]
    if not isinstance(value, dict):
        return value
    pairs = [(key, shuffled(item, order, extra)) for key, item in value.items()]
    if not value.keys() & {
        "interval_sec",
        "ttl_sec",
        "timeout_sec",
        "channel",
        "source",
        "redis_url",
        "heartbeat_cadence",
        "from",
        "warning_percent",
        "more_than",
        "path",
        "unit",
    }:
        pairs += [(f"x-foreign-{index}", item) for index, item in enumerate(extra)]
    order.shuffle(pairs)
    return dict(pairs)


@given(st.sampled_from(GOOD), st.integers(), st.lists(anything, max_size=2))
def test_foreign_keys_and_the_order_of_keys_mean_nothing(path, seed, extra):
    raw = path.read_text(encoding="utf-8-sig")
    other = shuffled(json.loads(raw), random.Random(seed), extra)
    assert parse(json.dumps(other), env={}).truth == parse(raw, env={}).truth
