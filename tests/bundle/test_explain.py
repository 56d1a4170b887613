"""The times that `--explain` promises, against what the rules do with deaths and returns at every phase."""

from __future__ import annotations

import io
import json
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.bundle.conftest import Timeline, service, truth

from healer.bundle import People, Settings, render, write
from healer.bundle.explain import detection, doubts, explain, recovery

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.servers import Servers

TIMEOUT = 30.0
AWAY = 160.0
PHASES = 40


def first_evaluation(scrape: float, evaluation: float, after: float) -> float:
    """When the rules first see a sample that was taken after this moment."""
    return next(at for at in (evaluation * n for n in count()) if at // scrape * scrape > after)


@pytest.mark.parametrize(("scrape", "evaluation"), [(5.0, 7.0), (7.0, 5.0), (15.0, 4.0)])
def test_no_death_and_no_return_takes_longer_than_promised_and_some_take_just_that(
    scrape: float, evaluation: float, servers: Servers, tmp_path: Path
) -> None:
    settings = Settings(scrape_interval=scrape, evaluation_interval=evaluation)
    of = truth(*(service(f"s{index:02}") for index in range(PHASES)))
    write(render(of, settings), tmp_path)
    line = Timeline([tmp_path / "rules" / "heartbeat.rules.yml"], servers.promtool.path, step=scrape, end=420)
    line.evaluation = evaluation
    deaths, returns = [], []
    for index, each in enumerate(of.services):
        death = 60.01 + index * scrape * evaluation / PHASES
        back = death + AWAY

        def seen(now: float, death: float = death, back: float = back) -> float:
            return now if now < death else death if now < back else back

        line.service(each.name, watch=1, seen=seen)
        missed = first_evaluation(scrape, evaluation, death + TIMEOUT)
        ended = first_evaluation(scrape, evaluation, back)
        for at, fires in ((missed - evaluation, 0), (missed, 1), (ended - evaluation, 1), (ended, 0)):
            alert = f'max by (svc) (ALERTS{{alertname="HeartbeatMiss", svc="{each.name}"}})'
            line.expect(at, alert, {f'{{svc="{each.name}"}}': 1.0} if fires else {})
        deaths.append(missed - death)
        returns.append(ended - back)
    line.hold()
    for times, way in ((deaths, detection(of.services[0], settings)), (returns, recovery(settings))):
        _, worst = way.to_rules()
        assert worst - 2.5 < max(times) <= worst


def test_a_death_is_typically_known_half_an_interval_of_each_earlier() -> None:
    way = detection(service("a", interval=10, timeout=30), Settings(scrape_interval=4, evaluation_interval=6))
    assert way.to_rules() == (30 - 5 + 2 + 3, 30 + 4 + 6)


def test_people_wait_for_the_group_and_events_only_after_a_miss_just_before() -> None:
    settings = Settings(group_interval=5, people=People(rate_limit=90))
    way = detection(service("a"), settings)
    assert (way.sentinel.typical, way.sentinel.worst) == (0, 5)
    assert (way.people.typical, way.people.worst) == (5, 90)
    assert (recovery(settings).sentinel.worst, recovery(settings).people.worst) == (5, 90)


@pytest.mark.parametrize(
    ("timeout", "scrape", "doubtful"), [(16.0, 5.0, False), (15.9, 5.0, True), (30.0, 20.0, True)]
)
def test_a_timeout_without_room_for_interval_scrape_and_slack_is_doubtful(
    timeout: float, scrape: float, doubtful: bool
) -> None:
    said = list(doubts(service("a", interval=10, timeout=timeout), Settings(scrape_interval=scrape)))
    assert bool(said) is doubtful
    if said:
        assert said[0].endswith(f"Set timeout_sec to {max(30, 10 + scrape + 1):g}.")


def test_an_evaluation_so_slow_that_prometheus_forgets_is_doubtful() -> None:
    (said,) = doubts(service("a", interval=200, timeout=900), Settings(evaluation_interval=200))
    assert said.startswith("evaluation_interval is 3m20s, and Prometheus forgets")


def run(path: Path, name: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return explain(str(path), name, Settings(), {}, out=out, err=err), out.getvalue(), err.getvalue()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    watch = [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]
    rss = {"heartbeat": {"channel": "rss_agg:heartbeat", "interval_sec": 7.5}}
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps({"services": {"rss_agg": rss, "healer": {"access_points": {"subscribe_to": watch}}}})
    )
    return path


def test_the_page_names_each_link_and_where_its_length_comes_from(document: Path) -> None:
    status, out, err = run(document, "rss_agg")
    assert (status, err) == (0, "")
    assert out == PAGE


def test_a_service_that_is_not_watched_is_named_with_what_was_probably_meant(document: Path) -> None:
    status, out, err = run(document, "rss-agg")
    assert (status, out) == (1, "")
    assert err == "the truth watches no service 'rss-agg'. Did you mean rss_agg?\n"


PAGE = """\
rss_agg on system-redis, channel rss_agg:heartbeat
  a beat every 7.5s (services.rss_agg.heartbeat.interval_sec)
  missing after 30s (default)

from its death                        typical     worst
  last beat                            -3.75s        0s  beats every 7.5s until it dies
  timeout                                 30s       30s  default
  scrape                                 2.5s        5s  every 5s
  evaluation                             2.5s        5s  every 5s
  = HeartbeatMiss fires                31.25s       40s
  sentinel route                           0s        5s  group_wait 0s; if it was missing just before, group_interval 5s
  = heartbeat_miss on healer:alerts    31.25s       45s
  people route                             5s        1m  group_wait 5s; if it was just told of, group_interval 1m
  = people are told                    36.25s     1m40s

from its first beat                 typical     worst
  scrape                               2.5s        5s  every 5s
  evaluation                           2.5s        5s  every 5s
  = HeartbeatMiss ends                   5s       10s
  sentinel route                       2.5s        5s  every 5s
  = heartbeat_ok on healer:alerts      7.5s       15s
  people route                          30s        1m  every 1m
  = people are told                     35s     1m10s

never heard since an exporter began to listen: missing 32.5s later at worst, 22.5s of it warm-up
nobody is configured to be told: set WEBHOOK_URL_FILE or SMTP_HOST
"""
