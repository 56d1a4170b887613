import json

from healer.demo import truth
from healer.truth.load import parse


def test_the_demos_truth_loads_without_a_doubt() -> None:
    loaded = parse(json.dumps(truth.document()), env={})
    assert loaded.warnings == ()
    assert {service.name: service.bus for service in loaded.truth.services} == truth.SERVICES
    assert {(service.interval, service.timeout) for service in loaded.truth.services} == {(1.0, 3.0)}
    assert (loaded.truth.monitor.interval, loaded.truth.monitor.timeout) == (1.0, 5.0)
    assert [bus.name for bus in loaded.declared] == ["market-redis", "system-redis"]
