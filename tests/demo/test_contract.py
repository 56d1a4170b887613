import json

import pytest

from healer.demo.contract import faults
from healer.demo.events import Heard

NOW = 1762433458.4

MISS = {"type": "heartbeat_miss", "svc": "rss_agg", "late_sec": 31.2, "timeout_sec": 30.0, "ts": 1762433458}
GOOD = [
    MISS,
    {"type": "heartbeat_ok", "svc": "rss_agg", "age_sec": 2.7, "ts": 1762433458},
    {"type": "healer_miss", "svc": "healer", "late_sec": 35.0, "timeout_sec": 30.0, "ts": 1762433458},
    {"type": "healer_ok", "svc": "healer", "ts": 1762433458},
]


def heard(message: dict) -> Heard:
    return Heard(NOW, json.dumps(message).encode(), message)


@pytest.mark.parametrize("message", GOOD, ids=lambda message: message["type"])
def test_the_examples_of_the_contract_keep_it(message: dict) -> None:
    assert faults(heard(message)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": "heartbeat_late"}, "the type heartbeat_late is not in the contract"),
        ({"extra": 1}, "the keys are type, svc, late_sec, timeout_sec, ts, extra, expected"),
        ({"timeout_sec": 30}, "timeout_sec is a int, expected a float"),
        ({"ts": 1762433458.4}, "ts is a float, expected a int"),
        ({"ts": 1762433400}, "ts is 1762433400, but it came at 1762433458.4"),
        ({"late_sec": 29.9}, "late_sec 29.9 is below timeout_sec 30.0"),
    ],
)
def test_a_message_that_breaks_it_is_told_how(change: dict, fault: str) -> None:
    (found,) = faults(heard(MISS | change))
    assert found.startswith(fault)


def test_the_order_of_keys_is_part_of_it() -> None:
    assert faults(heard(dict(reversed(MISS.items()))))


def test_who_never_beat_is_late_after_the_warm_up() -> None:
    early = heard(MISS | {"late_sec": 22.5})
    assert faults(early, never_heard=True) == []
    assert faults(early) == ["late_sec 22.5 is below timeout_sec 30.0"]
    (fault,) = faults(heard(MISS | {"late_sec": 22.4}), never_heard=True)
    assert fault == "late_sec 22.4 is below the warm-up of timeout_sec 30.0"
