"""The sentinel as a process: webhooks over HTTP in, the contract on Redis out."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time

from redis.asyncio import Redis
from tests.patience import PATIENCE, stopwatch, until

from .conftest import alert, health, seed, watchdog, webhook


def miss(at: float, *, svc: str = "rss_agg", **more: object) -> dict:
    return alert(svc=svc, starts=at, late_sec="2.5", timeout_sec="2", evaluated_at=at, **more)


def ok(since: float, at: float, *, svc: str = "rss_agg") -> dict:
    return alert(svc=svc, starts=since, ends=at, evaluated_at=at - 1, evaluation_interval_sec=1)


async def running(redis_server, sentinel, channel, **options):
    server = await redis_server()
    await seed(server.url, **options)
    guard = await sentinel(server.url)
    await guard.ready()
    return server, guard, await channel(server.url)


async def test_a_miss_and_its_end_are_the_contract(redis_server, sentinel, channel) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    assert await guard.post(miss(now)) == 200
    assert await guard.post(ok(now, now)) == 200, "an end in the instant of the beginning is stale"
    assert await guard.post(ok(now, now + 0.2)) == 200
    await until(lambda: len(heard.raw) == 2)
    pattern = rb'\{"type":"heartbeat_miss","svc":"rss_agg","late_sec":2\.\d,"timeout_sec":2\.0,"ts":\d{10}\}'
    assert re.fullmatch(pattern, heard.raw[0])
    assert re.fullmatch(
        rb'\{"type":"heartbeat_ok","svc":"rss_agg","age_sec":0\.\d,"ts":\d{10}\}', heard.raw[1]
    )
    assert await health(server.url, "rss_agg") == heard.raw[1]
    samples = await guard.metrics()
    assert samples['sentinel_events_total{type="heartbeat_miss"}'] == 1
    assert samples['sentinel_events_total{type="heartbeat_ok"}'] == 1
    assert samples['sentinel_webhook_requests_total{code="200"}'] == 3
    assert samples['sentinel_alerts_received_total{alertname="HeartbeatMiss",status="resolved"}'] == 2
    assert len(guard.logged("event published")) == 2


async def test_healer_misses_and_returns_by_its_alert(redis_server, sentinel, channel) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    await guard.post(alert("HealerMiss", "healer", starts=now, late_sec="35.0", timeout_sec=30))
    ended = alert(
        "HealerMiss", "healer", starts=now, ends=now + 1, evaluated_at=now, evaluation_interval_sec=1
    )
    await guard.post(ended)
    await until(lambda: len(heard.raw) == 2)
    pattern = rb'\{"type":"healer_miss","svc":"healer","late_sec":35\.0,"timeout_sec":30\.0,"ts":\d{10}\}'
    assert re.fullmatch(pattern, heard.raw[0])
    assert re.fullmatch(rb'\{"type":"healer_ok","svc":"healer","ts":\d{10}\}', heard.raw[1])


async def test_deliveries_come_twice_by_two_alertmanagers_to_two_sentinels_and_events_once(
    redis_server, sentinel, channel
) -> None:
    server, one, heard = await running(redis_server, sentinel, channel)
    two = await sentinel(server.url)
    await two.ready()
    now = time.time()
    for message in (miss(now), ok(now, now + 1), miss(now + 2), ok(now + 2, now + 3)):
        await asyncio.gather(
            *(
                guard.post(message, sender=sender)
                for guard in (one, two)
                for sender in ("http://a", "http://b") * 2
            )
        )
    await until(lambda: len(heard.raw) == 4)
    await asyncio.sleep(0.2)
    assert [type_ for type_, _ in heard.events()] == ["heartbeat_miss", "heartbeat_ok"] * 2


async def test_a_webhook_of_many_alerts_and_foreign_ones_is_carried_out(
    redis_server, sentinel, channel
) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    foreign = alert("DiskFull", "mesh", starts=now)
    nameless = alert(svc="", starts=now)
    crowd = [miss(now, svc=f"service-{number}") for number in range(500)]
    assert await guard.post(foreign, nameless, *crowd) == 200
    await until(lambda: len(heard.raw) == 500)
    samples = await guard.metrics()
    assert samples['sentinel_alerts_received_total{alertname="other",status="firing"}'] == 1
    assert samples['sentinel_alerts_received_total{alertname="HeartbeatMiss",status="invalid"}'] == 1


async def test_a_thousand_services_that_die_at_once_are_all_reported_without_a_503(
    redis_server, sentinel, channel
) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    answers = await asyncio.gather(
        *(guard.post(miss(now, svc=f"service-{number}")) for number in range(1000))
    )
    assert set(answers) == {200}
    await until(lambda: len(heard.raw) == 1000)
    assert len(set(heard.events())) == 1000
    assert guard.logged("redis lost, events wait") == []


async def test_metrics_are_served_before_redis_is_there_and_webhooks_are_put_off(
    redis_server, sentinel
) -> None:
    server = await redis_server()
    await server.kill()
    guard = await sentinel(server.url)
    samples = await guard.metrics()
    assert samples["sentinel_redis_up"] == 0
    assert samples["sentinel_watchdog_silent"] == 0
    status, text = await guard.request("/-/ready")
    assert (status, "no truth yet" in text) == (503, True)
    assert await guard.post(miss(time.time())) == 503
    assert await guard.post(watchdog(time.time())) == 200, "a beat needs no Redis"
    await server.restart()
    await seed(server.url)
    assert (await guard.request("/-/reload", b""))[0] == 200
    await guard.ready()
    assert await guard.post(miss(time.time())) == 200


async def test_an_outage_of_redis_puts_off_and_loses_nothing(redis_server, sentinel, channel) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    await guard.post(miss(now))
    await until(lambda: len(heard.raw) == 1)
    await server.kill()
    for _ in range(3):
        assert await guard.post(ok(now, now + 1), miss(now + 1, svc="mesh")) == 503
    await until(lambda: guard.logged("redis lost, events wait"))
    await asyncio.sleep(1.5)
    await server.restart()
    await until(lambda: heard.subscribed)
    assert await guard.post(ok(now, now + 1), miss(now + 1, svc="mesh")) == 200
    assert await guard.post(ok(now, now + 1), miss(now + 1, svc="mesh")) == 200
    await until(lambda: len(heard.raw) == 3)
    assert sorted(heard.events()[1:]) == [("heartbeat_miss", "mesh"), ("heartbeat_ok", "rss_agg")]
    assert len(guard.logged("redis lost, events wait")) == 1
    assert len(guard.logged("redis back")) == 1


async def test_a_hanging_redis_is_answered_for_within_seconds(redis_server, sentinel, channel) -> None:
    server, guard, _ = await running(redis_server, sentinel, channel)
    await server.pause()
    with stopwatch(guard.process.pid) as watch:
        assert await guard.post(miss(time.time())) == 503
    assert watch.seconds < 5.0
    await server.resume()
    assert await guard.post(miss(time.time())) == 200


async def test_what_is_no_webhook_is_refused_and_logged_once(redis_server, sentinel, channel) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    for body in (b"", b"[]", b'{"alerts":[7]}', b"\xff"):
        status, text = await guard.request("/webhook", body)
        assert (status, "webhook" in text) == (400, True)
    status, text = await guard.request("/webhook", b"x" * (9 << 20))
    assert (status, "larger" in text) == (413, True)
    samples = await guard.metrics()
    assert samples['sentinel_webhook_requests_total{code="400"}'] == 4
    assert samples['sentinel_webhook_requests_total{code="413"}'] == 1
    assert len(guard.logged("webhook refused")) == 1
    assert heard.raw == []


async def test_a_page_in_a_browser_reports_nothing(redis_server, sentinel, channel) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    body = webhook(miss(time.time()))
    plain = {"Content-Type": "text/plain;charset=UTF-8"}
    assert (await guard.request("/webhook", body, **plain))[0] == 415
    for origin in (
        "http://evil.example",
        guard.url,
    ):  # its own: a name of that site may resolve to this machine
        assert (await guard.request("/webhook", body, Origin=origin))[0] == 403
    assert (await guard.request("/webhook", body))[0] == 200
    await until(lambda: len(heard.raw) == 1)
    samples = await guard.metrics()
    assert samples['sentinel_webhook_requests_total{code="415"}'] == 1


async def test_a_silent_pipeline_is_a_healer_miss_until_it_beats_again(
    redis_server, sentinel, channel
) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel, own=1.5)
    beat = time.time()
    await guard.post(watchdog(beat))
    with stopwatch(guard.process.pid) as watch:
        while not heard.raw:
            await guard.post(watchdog(beat))  # Alertmanager repeats the last word of a dead Prometheus
            await guard.post(watchdog(beat + 1, resolved=True))
            await asyncio.sleep(0.1)
    assert watch.seconds < 2.5
    said = time.time()
    message = json.loads(heard.raw[0])
    assert (message["type"], message["svc"], message["timeout_sec"]) == ("healer_miss", "healer", 1.5)
    assert 1.5 <= message["late_sec"] <= said - beat + 0.051
    samples = await guard.metrics()
    assert samples["sentinel_watchdog_silent"] == 1
    assert await health(server.url, "healer") == heard.raw[0]
    await guard.post(watchdog(beat + 3))
    await until(lambda: len(heard.raw) == 2)
    assert heard.events()[1] == ("healer_ok", "healer")
    assert (await guard.metrics())["sentinel_watchdog_last_beat_timestamp_seconds"] <= time.time()
    assert [len(guard.logged(event)) for event in ("watchdog silent", "watchdog back")] == [1, 1]
    assert "resend-delay" not in str(guard.logged("watchdog back"))


async def test_healer_is_back_when_both_its_alert_and_the_silence_are_over(
    redis_server, sentinel, channel
) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel, own=1.0)
    await until(lambda: heard.raw)
    now = time.time()
    await guard.post(alert("HealerMiss", "healer", starts=now, late_sec=5, timeout_sec=1))
    await guard.post(watchdog(now))
    await asyncio.sleep(0.3)
    assert len(heard.raw) == 1
    await guard.post(
        alert("HealerMiss", "healer", starts=now, ends=now + 1, evaluated_at=now, evaluation_interval_sec=1)
    )
    await until(lambda: len(heard.raw) == 2)
    assert heard.events() == [("healer_miss", "healer"), ("healer_ok", "healer")]


async def test_a_restart_is_silent_and_remembers_what_is_missing(redis_server, sentinel, channel) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel, own=1.5)
    beat = time.time()
    await guard.post(watchdog(beat))
    await guard.post(miss(beat))
    await until(lambda: len(heard.raw) == 2)
    assert heard.events() == [("heartbeat_miss", "rss_agg"), ("healer_miss", "healer")]
    assert await guard.stop(signal.SIGKILL) == -signal.SIGKILL
    again = await sentinel(server.url)
    await again.ready()
    await again.post(watchdog(beat))
    await again.post(miss(beat))
    await asyncio.sleep(2.5)
    assert len(heard.raw) == 2, "neither said twice, nor ended by the echo of an old beat"
    await again.post(watchdog(beat + 9))
    await again.post(ok(beat, beat + 9))
    await until(lambda: len(heard.raw) == 4)
    assert sorted(heard.events()[2:]) == [("healer_ok", "healer"), ("heartbeat_ok", "rss_agg")]


async def test_an_expired_alert_is_no_recovery_until_the_pipeline_has_been_sound(
    redis_server, sentinel, channel
) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel, timeout=1.6, own=1.0)
    now = time.time()
    await guard.post(watchdog(now))
    for svc in ("rss_agg", "mesh"):
        await guard.post(miss(now, svc=svc))
        expired = alert(svc=svc, starts=now, ends=now + 4, evaluated_at=now, evaluation_interval_sec=1)
        await guard.post(expired)
    await until(lambda: ("healer_miss", "healer") in heard.events())
    assert (await guard.metrics())["sentinel_pending_resolutions"] == 2
    await guard.stop()
    guard = await sentinel(server.url)  # what is owed outlives the process
    await guard.ready()
    begun = time.monotonic()
    beats = 0
    while len(heard.raw) < 5:
        beats += 1
        await guard.post(watchdog(now + 10 + beats))
        if beats == 5:
            await guard.post(miss(now + 15, svc="mesh"))  # dead all the time
        await asyncio.sleep(0.2)
        assert time.monotonic() - begun < PATIENCE
    assert time.monotonic() - begun > 1.2 + 1.6 + 1.0, "warm-up, timeout and the pipeline's own"
    assert heard.events()[3:] == [("healer_ok", "healer"), ("heartbeat_ok", "rss_agg")]
    assert (await guard.metrics())["sentinel_pending_resolutions"] == 0


async def test_a_service_that_left_the_truth_is_not_called_recovered(redis_server, sentinel, channel) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel)
    now = time.time()
    await guard.post(miss(now, svc="retired"))
    await guard.post(ok(now, now + 1, svc="retired"))
    await guard.post(miss(now + 2, svc="retired"))
    await until(lambda: len(heard.raw) == 2)
    assert heard.events() == [("heartbeat_miss", "retired")] * 2
    assert len(guard.logged("incident closed without an event")) == 0
    assert any("incident closed" in line for line in guard.log.read_text().splitlines())


async def test_a_truth_that_does_not_load_changes_nothing(redis_server, sentinel, channel) -> None:
    server, guard, heard = await running(redis_server, sentinel, channel)
    async with Redis.from_url(server.url) as redis:
        await redis.set("truth:doc", '{"services":')
    status, text = await guard.request("/-/reload", b"")
    assert (status, "stays in force" in text) == (500, True)
    await guard.ready()
    assert await guard.post(miss(time.time())) == 200
    await until(lambda: heard.raw)


async def test_the_alerts_bus_moves_with_the_truth_and_incidents_with_it(
    redis_server, sentinel, channel
) -> None:
    server, guard, _ = await running(redis_server, sentinel, channel)
    now = time.time()
    await guard.post(miss(now))
    elsewhere = await redis_server()
    moved = await channel(elsewhere.url)
    await seed(elsewhere.url)
    async with Redis.from_url(elsewhere.url) as redis:
        text = await redis.get("truth:doc")
    async with Redis.from_url(server.url) as redis:
        await redis.set("truth:doc", text)
    guard.process.send_signal(signal.SIGHUP)
    await until(lambda: len(guard.logged("truth adopted")) == 2)
    assert await guard.post(miss(now)) == 200
    assert await guard.post(ok(now, now + 1)) == 200
    await until(lambda: moved.raw)
    assert moved.events() == [("heartbeat_ok", "rss_agg")]


async def test_it_stops_within_two_seconds_also_with_a_hanging_redis(redis_server, sentinel, channel) -> None:
    server, guard, _ = await running(redis_server, sentinel, channel)
    await server.pause()
    posting = asyncio.create_task(guard.request("/webhook", webhook(miss(time.time()))))
    await asyncio.sleep(0.3)
    with stopwatch(guard.process.pid) as watch:
        assert await guard.stop() == 0
    assert watch.seconds < 2.0
    await server.resume()
    await asyncio.gather(posting, return_exceptions=True)


async def test_a_watchdog_that_comes_too_seldom_is_told_from_one_that_is_out(
    redis_server, sentinel, channel
) -> None:
    _, guard, heard = await running(redis_server, sentinel, channel, own=1.0)
    await until(lambda: heard.raw)
    beat = time.time()
    for count in range(4):
        assert "resend-delay" not in (await guard.request("/"))[1]
        await guard.post(watchdog(beat + count))
        await until(lambda count=count: len(heard.raw) == 2 * count + 3)
    assert [("hint" in entry) for entry in guard.logged("watchdog back")] == [False, False, False, True]
    assert "resend-delay" in (await guard.request("/"))[1]
