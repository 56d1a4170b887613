"""Services shared out by name: each in one shard, for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healer.truth.load import parse
from healer.truth.model import Service
from healer.truth.shard import Shard, parse_shard, shard_of


def services(names):
    return [Service(name, "b", f"{name}:heartbeat", 10.0, 30.0) for name in names]


@given(st.sets(st.text(min_size=1)), st.integers(1, 9))
def test_each_service_is_in_exactly_one_shard(names, count):
    parts = [{one.name for one in Shard(number + 1, count).of(services(names))} for number in range(count)]
    assert set().union(*parts) == names
    assert sum(map(len, parts)) == len(names)


def test_the_shards_are_about_equal_and_never_change():
    names = [f"svc{number}" for number in range(10_000)]
    sizes = [len(Shard(number, 4).of(services(names))) for number in (1, 2, 3, 4)]
    assert max(sizes) < 1.1 * min(sizes)
    # Part of the contract: an exporter of another version must agree.
    assert [shard_of(name, 4) for name in ("rss_agg", "mesh", "massive", "é")] == [3, 3, 1, 3]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "01/3", "a/b", "1/1001", "1/3 ", "-1/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="expected K/N"):
        parse_shard(text)


def test_a_shard_is_read_as_it_is_written():
    assert parse_shard("2/12") == (2, 12)
    assert str(Shard(2, 12)) == "2/12"


def test_too_many_services_are_a_problem_that_says_what_to_do():
    entries = ",".join(f'{{"bus":"b","key":"s{number}:heartbeat"}}' for number in range(10))
    text = f'{{"services":{{"healer":{{"access_points":{{"subscribe_to":[{entries}]}}}}}}}}'
    truth = parse(text, env={}).truth
    assert Shard(most=10).fault(truth) is None
    problem = Shard(most=9).fault(truth)
    assert "found 10 services for one exporter, expected at most 9" in str(problem)
    assert "--shard K/N" in str(problem)
    assert Shard(1, 2, most=9).fault(truth) is None
