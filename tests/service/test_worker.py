"""ReportSlaThresholds: the facts decide what a worker's report is worth."""

from __future__ import annotations

from pathlib import Path

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb
from slad_client.v1 import worker_pb2 as worker
from slad_client.v1 import worker_pb2_grpc

from slad.core.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from tests.slad_under_test import MONDAY_9, Slad, refused, slad_running, stamp, told

RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION
TAKEN, KNOWN = worker.SLA_REPORT_OUTCOME_TAKEN, worker.SLA_REPORT_OUTCOME_KNOWN
NOT_TRUE, EARLY = worker.SLA_REPORT_OUTCOME_NOT_TRUE, worker.SLA_REPORT_OUTCOME_EARLY


async def report(slad: Slad, *thresholds: tuple[pb.SlaPhase, int], **fields: object) -> list[int]:
    request = worker.ReportSlaThresholdsRequest(
        **({"tenant_id": "acme", "ticket_id": "T-1", "generation": 1} | fields)
    )
    for phase, percent in thresholds:
        request.reports.add(phase=phase, percent=percent)
    stub = worker_pb2_grpc.SlaWorkerStub(slad.channel)
    return list((await stub.ReportSlaThresholds(request)).outcomes)


async def test_c5_what_has_fired_is_known_and_makes_no_second_event(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=30)
        assert await report(slad, (RESPONSE, 50), (RESPONSE, 50)) == [KNOWN, KNOWN]
        assert await report(slad, (RESPONSE, 50), generation=0) == [KNOWN]
        assert told(await slad.events()) == ["STARTED", "RESPONSE 50 REACHED"]


async def test_what_the_facts_do_not_bear_out_is_not_true(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        ids = {"tenant_id": "acme", "ticket_id": "T-1"}
        assert await report(slad, (RESPONSE, 55)) == [NOT_TRUE], "no such threshold"
        assert await report(slad, (RESPONSE, 50)) == [EARLY]
        assert await report(slad, (RESPONSE, 50), generation=2) == [NOT_TRUE]
        await slad.advance(minutes=10)
        await slad.backend.PauseSla(
            rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, effective_at=stamp(MONDAY_9), **ids)
        )
        assert await report(slad, (RESPONSE, 50)) == [NOT_TRUE], "C6: a paused ticket fires nothing"
        await slad.backend.CancelSla(rpc.CancelSlaRequest(**ids))
        assert await report(slad, (RESPONSE, 50)) == [NOT_TRUE]
        assert told(await slad.events()) == ["STARTED", "PAUSED", "CANCELLED"]


async def test_k4_of_a_named_clock_the_very_cycle_is_meant(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        clock = pb.SlaClockTerms(name="next", kind=pb.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=10)
        await slad.start(clocks=[clock])
        for sender in (pb.SLA_MESSAGE_SENDER_AGENT, pb.SLA_MESSAGE_SENDER_CUSTOMER):
            await slad.advance(minutes=1)
            await slad.backend.RecordSlaMessage(
                rpc.RecordSlaMessageRequest(tenant_id="acme", ticket_id="T-1", sender=sender)
            )
        await slad.advance(minutes=10)
        request = worker.ReportSlaThresholdsRequest(tenant_id="acme", ticket_id="T-1", generation=1)
        for opened_at in (MONDAY_9 + 2 * MINUTE_MS, MONDAY_9 + MINUTE_MS):
            request.reports.add(clock="next", percent=100, cycle_opened_at=stamp(opened_at))
        request.reports.add(clock="other", percent=100)
        stub = worker_pb2_grpc.SlaWorkerStub(slad.channel)
        assert (await stub.ReportSlaThresholds(request)).outcomes == [KNOWN, NOT_TRUE, NOT_TRUE]
        request.reports[0].phase = RESPONSE
        refusal = await refused(stub.ReportSlaThresholds(request))
        assert (refusal.reason, refusal.fields) == ("CONTRADICTORY", ["reports[0].clock"])


async def test_a_worker_whose_clock_is_a_little_ahead_is_believed_once(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(ms=30 * MINUTE_MS - 5 * SECOND_MS - 1)
        assert await report(slad, (RESPONSE, 50)) == [EARLY]
        await slad.advance(ms=1)
        assert await report(slad, (RESPONSE, 50)) == [TAKEN]
        await slad.advance(hours=8)
        reached = [e for e in await slad.events() if e.HasField("threshold")]
        assert told(reached)[0] == "RESPONSE 50 REACHED"
        assert told(reached).count("RESPONSE 50 REACHED") == 1
        threshold = reached[0].threshold
        assert threshold.scheduled_at.ToMilliseconds() == MONDAY_9 + HOUR_MS // 2
        assert threshold.fired_at == threshold.scheduled_at


async def test_bad_reports_are_refused_with_the_field_named(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        unknown = await refused(report(slad, (RESPONSE, 50), ticket_id="T-9"))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "TRACKING_NOT_FOUND")
        for fields, thresholds, field in (
            ({"ticket_id": ""}, [], "ticket_id"),
            ({"generation": -1}, [], "generation"),
            ({}, [(0, 50)], "reports[0].phase"),
            ({}, [(RESPONSE, 50), (RESPONSE, 1001)], "reports[1].percent"),
            ({}, [(RESPONSE, 50)] * 201, "reports"),
        ):
            assert (await refused(report(slad, *thresholds, **fields))).fields == [field]
