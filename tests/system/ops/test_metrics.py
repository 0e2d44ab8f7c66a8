"""The metrics: their names are those that are documented, their values those of what was done."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.addresses import AddressError
from slad.config.settings import MetricsSettings
from slad.config.sinks import read_sinks
from slad.core.metrics import Metric, MetricKind, Sample
from slad.daemon.metrics_server import MetricsServer
from slad.service import prometheus
from slad.service.prometheus import MetricsCollector
from slad.storage.backup import back_up, restore
from tests.delivery.sinks.desk import Desk
from tests.slad_under_test import MONDAY_9, Slad, slad_running
from tests.system.ops.scrape import (
    ANYWHERE,
    CERTIFICATE_EXPIRES,
    REPLICA_AGE_MS,
    TEMPORAL_AWAY,
    TOKEN_EXPIRES,
    busy_slad,
    documented,
    fenced_slad,
    guarded_slad,
    scrape,
    scrape_everything,
)


async def test_what_is_exposed_is_what_is_documented(tmp_path: Path) -> None:
    found = await scrape_everything(tmp_path)
    told = documented()
    assert {name: metric.kind for name, metric in found.items()} == {
        name: kind for name, (kind, _) in told.items()
    }
    for name, metric in found.items():
        assert metric.samples, (
            f"{name} was never seen with a value: let `scrape_everything` do something for it"
        )
        for _, labels in metric.samples:
            assert {label for label, _ in labels} - {"le"} == told[name][1], name


async def test_values_after_a_known_morning(tmp_path: Path) -> None:
    async with busy_slad(tmp_path) as slad:
        value = await scrape(slad.daemon.observability.metrics_address)

    assert value("slad_calls_total", rpc="StartSlaTracking", code="OK") == 3
    assert value("slad_calls_total", rpc="PauseSla", code="OK") == 1
    assert value("slad_calls_total", rpc="PauseSla", code="INVALID_ARGUMENT") == 1
    assert value("slad_calls_total", rpc="CancelSla", code="NOT_FOUND") == 1
    assert value("slad_calls_total", rpc="CancelSla", code="INTERNAL") == 0
    assert value("slad_refusals_total", rpc="PauseSla", reason="REQUIRED") == 1
    assert value("slad_refusals_total", rpc="CancelSla", reason="TRACKING_NOT_FOUND") == 1
    assert value("slad_batched_commands_total", command="pause", code="OK") == 1
    assert value("slad_batched_commands_total", command="command", code="INVALID_ARGUMENT") == 1
    assert value("slad_batched_commands_total", command="start", code="OK") == 0
    assert value("slad_refusals_total", rpc="ExecuteSla", reason="REQUIRED") == 1
    assert value("slad_call_duration_seconds_count", rpc="StartSlaTracking") == 3
    assert 0 < value("slad_call_duration_seconds_sum", rpc="StartSlaTracking") < 60
    assert value("slad_calls_open", rpc="WatchSlaEvents") == 1
    assert value("slad_calls_open", rpc="StartSlaTracking") == 0
    assert value("slad_verdict_differences_total", phase="response", clock="response") == 1
    assert value("slad_verdict_differences_total", phase="resolution", clock="resolution") == 0

    assert value("slad_events_total", type="STARTED") == 3
    assert value("slad_events_total", type="PAUSED") == 1
    assert value("slad_events_total", type="PHASE_COMPLETED") == 1
    assert value("slad_events_total", type="CANCELLED") == 0
    assert value("slad_breaches_total", phase="response", clock="response") == 1
    assert value("slad_breaches_total", phase="resolution", clock="resolution") == 0
    # T-1 has 50, 70, 75, 90, 100 and 110 % of its response behind it, of its resolution nothing yet.
    assert value("slad_events_total", type="THRESHOLD_REACHED") == 6
    assert value("slad_head_sequence") == 11

    assert value("slad_queue_depth") == 0
    assert value("slad_writable") == 1
    assert value("slad_commit_failures_total") == 0
    assert value("slad_commit_duration_seconds_count") == value("slad_commit_commands_count")
    # Three starts, a pause and its repetition, a completion, the consumer and its acknowledgement.
    assert value("slad_commit_commands_sum") == 8
    assert value("slad_last_commit_timestamp_seconds") == (MONDAY_9 + 66 * 60_000) / 1_000
    assert value("slad_timers_overdue") == 0
    assert value("slad_clock_steps_total", direction="forward") == 0
    assert value("slad_threshold_lateness_seconds_count") == 0, "a virtual clock is never late"

    assert value("slad_consumer_lag_events", consumer="psa") == 11 - 3
    assert value("slad_consumer_lag_seconds", consumer="psa") == 70 * 60
    assert value("slad_consumer_streams", consumer="psa") == 1

    assert value("slad_open_tickets", timer="armed") == 2
    assert value("slad_open_tickets", timer="none") == 1, "paused"
    by_status = {"ON_TRACK": 1, "AT_RISK": 0, "RESPONSE_BREACHED": 1, "RESOLUTION_BREACHED": 0, "PAUSED": 1}
    assert value["slad_tickets_by_status"].values_of("status") == by_status.keys()
    for status, tickets in by_status.items():
        assert value("slad_tickets_by_status", status=status) == tickets, status
    assert value("slad_last_backup_timestamp_seconds") == 0, "never"
    assert value("slad_database_size_bytes") > 0
    assert value("slad_wal_size_bytes") > 0
    assert value("slad_disk_free_bytes") > 0
    assert value("process_open_fds") < value("process_max_fds")


async def test_when_secrets_expire_and_when_the_last_backup_was(tmp_path: Path) -> None:
    async with guarded_slad(tmp_path / "slad") as slad:
        before = time.time()
        back_up(tmp_path / "slad" / "data", tmp_path / "backup.db")
        found = await scrape(slad.daemon.observability.metrics_address)
    assert abs(found("slad_certificate_expires_timestamp_seconds") - CERTIFICATE_EXPIRES.timestamp()) < 1
    (expires,) = found["slad_token_expires_timestamp_seconds"].samples.values()
    assert expires == TOKEN_EXPIRES.timestamp()
    assert before - 1 < found("slad_last_backup_timestamp_seconds") < time.time() + 1


async def test_how_old_the_replica_is_and_whether_the_fence_lets_it_serve(tmp_path: Path) -> None:
    fence = tmp_path / "fence"
    async with fenced_slad(tmp_path / "slad") as slad:
        found = await scrape(slad.daemon.observability.metrics_address)
        assert REPLICA_AGE_MS / 1_000 <= found("slad_replica_age_seconds") < REPLICA_AGE_MS / 1_000 + 30
        assert (found("slad_epoch"), found("slad_may_serve")) == (0, 1)
    assert b'"lease_ms":0' in fence.read_bytes(), "given back"


async def test_a_sink_that_delivers_and_one_that_cannot(tmp_path: Path) -> None:
    good = {"type": "jsonl", "path": str(tmp_path / "events.jsonl")}
    bad = {"type": "jsonl", "path": str(tmp_path / "folder")}
    (tmp_path / "folder").mkdir()
    sinks = read_sinks({"good": good, "bad": bad})
    async with slad_running(tmp_path / "data", metrics=ANYWHERE, sinks=sinks) as slad:
        await slad.start("T-1")
        desk = Desk(slad)
        await desk.until("good", lag=0)
        await desk.until("bad", failures=lambda count: count > 0)
        value = await scrape(slad.daemon.observability.metrics_address)
    assert value("slad_sink_ready", sink="good") == 1
    assert value("slad_sink_delivered_total", sink="good") == 1
    assert value("slad_sink_last_delivery_timestamp_seconds", sink="good") == MONDAY_9 / 1_000
    assert value("slad_sink_ready", sink="bad") == 0
    assert value("slad_sink_delivered_total", sink="bad") == 0
    assert value("slad_sink_failures_total", sink="bad") >= 1
    assert value("slad_sink_parked_events", sink="bad") == 0
    assert value("slad_consumer_lag_events", consumer="sink:bad") == 1


async def test_what_waits_for_a_temporal_that_is_away(tmp_path: Path) -> None:
    async with slad_running(tmp_path, metrics=ANYWHERE, temporal=TEMPORAL_AWAY) as slad:
        await slad.start("T-1", tenant_id="remote")
        await slad.start("T-2")
        await until_unreachable(slad)
        value = await scrape(slad.daemon.observability.metrics_address)
    assert value("slad_temporal_outbox_messages") == 1
    assert value("slad_temporal_outbox_oldest_seconds") == 0, "by the virtual clock"
    assert value("slad_temporal_trackings") == 1
    assert value("slad_temporal_late_trackings") == 0
    assert value("slad_temporal_parked_workflows") == 0
    assert value("slad_temporal_fallbacks_total") == 0
    assert value("slad_temporal_reachable") == 0


async def until_unreachable(slad: Slad) -> None:
    async with asyncio.timeout(60):
        while (await scrape(slad.daemon.observability.metrics_address))("slad_temporal_reachable"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_without_temporal_there_is_nothing_to_tell_of_it(tmp_path: Path) -> None:
    async with slad_running(tmp_path, metrics=ANYWHERE) as slad:
        found = await scrape(slad.daemon.observability.metrics_address)
    assert not found["slad_temporal_reachable"].samples


async def test_buckets_are_cumulative_and_end_with_the_count(tmp_path: Path) -> None:
    async with busy_slad(tmp_path) as slad:
        found = await scrape(slad.daemon.observability.metrics_address)
    buckets = [
        (float(dict(labels)["le"]), count)
        for (name, labels), count in found["slad_call_duration_seconds"].samples.items()
        if name.endswith("_bucket") and ("rpc", "StartSlaTracking") in labels
    ]
    assert [end for end, _ in buckets] == [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, float("inf"),
    ]  # fmt: skip
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == 3


async def test_lag_after_a_restore_does_not_count_the_sequences_that_were_left_out(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "a") as slad:
        for number in range(5):
            await slad.start(f"T-{number}")
        reader = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await reader.read()
        await slad.backend.AckSlaEvents(rpc.AckSlaEventsRequest(consumer="psa", sequence=2))
        reader.cancel()
    back_up(tmp_path / "a", tmp_path / "copy.db")
    restore(tmp_path / "copy.db", tmp_path / "b")
    async with slad_running(tmp_path / "b", metrics=ANYWHERE) as slad:
        assert (await scrape(slad.daemon.observability.metrics_address))(
            "slad_consumer_lag_events", consumer="psa"
        ) == 3
        await slad.start("T-9")
        value = await scrape(slad.daemon.observability.metrics_address)
        assert value("slad_consumer_lag_events", consumer="psa") == 4
        assert value("slad_head_sequence") == 1_000_000_001


class Failing:
    metrics = (Metric("slad_failing", MetricKind.GAUGE, "Never told."),)

    async def samples(self) -> list[Sample]:
        raise OSError("no such disk")


async def test_a_part_that_cannot_be_asked_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector([Failing()], asyncio.get_running_loop())
    families = {family.name: family for family in await asyncio.to_thread(collector.collect)}
    assert families["slad_failing"].samples == []
    assert families["slad_scrape_errors"].samples[0].value == 1
    assert "Failing gave no metrics" in caplog.text


async def test_a_scrape_of_a_hung_daemon_is_a_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "SCRAPE_TIMEOUT_S", 0.01)
    collector = MetricsCollector([], asyncio.get_running_loop())
    server = MetricsServer(collector.registry(), "127.0.0.1:0")
    try:
        with pytest.raises(HTTPError) as caught:  # on the very loop that would have to answer
            urlopen(f"http://{server.address}/metrics", timeout=30)  # noqa: ASYNC210
        assert caught.value.code == 503
        with pytest.raises(HTTPError) as caught:
            urlopen(f"http://{server.address}/secrets", timeout=30)  # noqa: ASYNC210
        assert caught.value.code == 404
    finally:
        await server.stop()


async def test_named_clocks_are_told_apart_if_the_configuration_lists_them(tmp_path: Path) -> None:
    kind = pb.SLA_CLOCK_KIND_FROM_START
    names = ("workaround", "vendor", "other-team")
    clocks = [pb.SlaClockTerms(name=name, kind=kind, target_minutes=30) for name in names]
    metrics = MetricsSettings("127.0.0.1:0", clocks=("workaround", "quiet", "workaround"))
    async with slad_running(tmp_path, metrics=metrics) as slad:
        await slad.start(clocks=clocks)
        await slad.advance(minutes=31)
        for name in names[:2]:
            request = rpc.CompleteSlaRequest(ticket_id="T-1", clock=name, met=True)
            assert (await slad.backend.CompleteSla(request)).met_differs
        value = await scrape(slad.daemon.observability.metrics_address)
    breaches, differences = value["slad_breaches_total"], value["slad_verdict_differences_total"]
    labels = {"response", "resolution", "workaround", "quiet", "other"}
    assert breaches.values_of("clock") == differences.values_of("clock") == labels
    assert breaches.values_of("phase") == {"response", "resolution", "other"}
    assert value("slad_breaches_total", phase="other", clock="workaround") == 1
    assert value("slad_breaches_total", phase="other", clock="other") == 2
    assert value("slad_breaches_total", phase="other", clock="quiet") == 0
    assert value("slad_verdict_differences_total", phase="other", clock="workaround") == 1
    assert value("slad_verdict_differences_total", phase="other", clock="other") == 1


async def test_after_the_stop_nobody_listens(tmp_path: Path) -> None:
    async with slad_running(tmp_path, metrics=ANYWHERE) as slad:
        host, port = slad.daemon.observability.metrics_address.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=30)


async def test_an_address_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match=r"no\.such\.host\.invalid:1"):
        async with slad_running(tmp_path, metrics=MetricsSettings("no.such.host.invalid:1")):
            pass


async def test_a_port_that_is_taken_is_said_and_no_second_daemon_shares_it(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "a", metrics=ANYWHERE) as slad:
        taken = slad.daemon.observability.metrics_address
        with pytest.raises(AddressError, match="--metrics-listen"):
            async with slad_running(tmp_path / "b", metrics=MetricsSettings(taken)):
                pass
        assert (await scrape(taken))("slad_writable") == 1


async def test_metrics_over_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # a machine without IPv6 has nothing to serve on
    async with slad_running(tmp_path, metrics=MetricsSettings("[::1]:0")) as slad:
        assert slad.daemon.observability.metrics_address.startswith("[::1]:")
        assert (await scrape(slad.daemon.observability.metrics_address))("slad_writable") == 1
