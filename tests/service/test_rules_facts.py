"""The rules of pauses, completions and late facts (M2-M4, M6, M7) through the wire, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.commands import (
    CLIENT,
    IDS,
    RESOLUTION,
    RESPONSE,
    STATUS,
    cancel,
    complete,
    pause,
    resume,
    status,
)
from tests.slad_under_test import MONDAY_9, Slad, refused, slad_running, stamp, target, told

pytestmark = pytest.mark.usefixtures("engine")


async def test_m2_pause_and_resume_are_idempotent(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        assert (await pause(slad, CLIENT)).changed
        assert not (await pause(slad, CLIENT)).changed
        assert (await resume(slad)).changed
        assert not (await resume(slad)).changed
        assert told(await slad.events()) == ["STARTED", "PAUSED", "RESUMED"]


async def test_k5_a_further_reason_adds_to_the_first_and_a_plain_resume_lets_all_go(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await pause(slad, CLIENT)
        again = await pause(slad, STATUS)
        assert again.changed
        assert again.status.pause_reason == CLIENT
        assert (await resume(slad)).status.status == pb.SLA_TIMER_STATUS_ON_TRACK
        assert told(await slad.events()) == ["STARTED", "PAUSED", "PAUSE_CHANGED", "RESUMED"]


async def test_m3_resolution_closes_both_clocks_in_order(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=10)
        reply = await complete(slad, RESOLUTION)
        assert reply.changed
        assert reply.met
        assert reply.status.state == pb.SLA_TRACKING_STATE_COMPLETED
        assert reply.status.response.completed_at == reply.status.resolution.completed_at
        events = await slad.events()
        assert told(events) == [
            "STARTED", "RESPONSE PHASE_COMPLETED", "RESOLUTION PHASE_COMPLETED", "COMPLETED"
        ]  # fmt: skip
        assert [e.met for e in events[1:]] == [True, True, True]
        again = await complete(slad, RESOLUTION)
        assert not again.changed
        assert again.met
        assert await slad.events() == events


@pytest.mark.parametrize(("late_ms", "met"), [(0, True), (1, False)])
async def test_m3_met_is_completed_at_or_before_the_100_percent_instant(
    tmp_path: Path, late_ms: int, met: bool
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(ms=HOUR_MS + late_ms)
        reply = await complete(slad, RESPONSE)
        assert reply.met is met
        assert reply.status.response.met is met


async def test_m3_a_verdict_that_differs_is_said_and_recorded(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        reply = await complete(slad, RESPONSE, met=False)
        assert reply.met
        assert reply.met_differs
        assert reply.status.response.reported_met is False
        assert not (await complete(slad, RESOLUTION, met=True)).met_differs


async def test_m4_cancel_ends_without_verdict_and_repeats_are_successes(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        assert (await cancel(slad)).changed
        again = await cancel(slad)
        assert not again.changed
        assert not again.status.response.HasField("met")
        assert told(await slad.events()) == ["STARTED", "CANCELLED"]
        assert (await refused(complete(slad, RESOLUTION))).reason == "TRACKING_CANCELLED"


async def test_m4_what_happens_to_a_cancelled_ticket_counts_when_it_is_continued(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=10)
        await pause(slad)
        await slad.advance(minutes=10)
        await cancel(slad)
        await slad.advance(minutes=10)
        told_before = await slad.events()
        for call in (resume(slad), complete(slad, RESPONSE)):
            reply = await call
            assert not reply.changed
            assert reply.status.state == pb.SLA_TRACKING_STATE_CANCELLED
            assert not reply.status.response.HasField("completed_at")
        assert await slad.events() == told_before
        await slad.advance(minutes=10)
        got = (await slad.start(on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)).status
        assert not got.is_paused
        assert got.total_pause_minutes == 20
        assert got.resolution_remaining_minutes == 240 - 20
        assert got.response.completed_at.ToMilliseconds() == MONDAY_9 + 30 * MINUTE_MS
        new = told((await slad.events())[len(told_before) :])
        assert new == ["STARTED", "RESUMED", "RESPONSE PHASE_COMPLETED"]


async def test_m4_a_pause_of_a_cancelled_ticket_holds_when_it_is_continued(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await cancel(slad)
        await slad.advance(minutes=10)
        assert not (await pause(slad)).changed
        await slad.advance(minutes=10)
        got = (await slad.start(on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)).status
        assert (got.is_paused, got.pause_reason, got.total_pause_minutes) == (True, CLIENT, 10)
        assert told(await slad.events())[-2:] == ["STARTED", "PAUSED"]


async def test_m4_a_reopening_leaves_out_what_happened_while_the_ticket_was_cancelled(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await cancel(slad)
        await slad.advance(minutes=10)
        await pause(slad)
        await complete(slad, RESPONSE)
        reply = await slad.backend.ReopenSla(rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME, **IDS))
        assert not reply.status.is_paused
        assert not reply.status.response.HasField("completed_at")


async def test_m4_a_completed_ticket_and_a_resolution_of_a_cancelled_one_are_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await cancel(slad)
        assert (await refused(complete(slad, RESOLUTION))).reason == "TRACKING_CANCELLED"
        other = {"ticket_id": "T-2"}
        await slad.start("T-2")
        await complete(slad, RESOLUTION, **other)
        for call in (pause(slad, **other), resume(slad, **other)):
            assert (await refused(call)).reason == "TRACKING_COMPLETED"


async def test_m6_a_late_pause_retracts_what_it_makes_untrue_once(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=46)
        reply = await pause(slad, effective_at=stamp(MONDAY_9 + 40 * MINUTE_MS))
        assert reply.status.response.elapsed.ToMilliseconds() == 40 * MINUTE_MS
        events = await slad.events()
        assert told(events)[-2:] == ["PAUSED", "RESPONSE 75 RETRACTED"]
        assert events[-2].occurred_at.ToMilliseconds() == MONDAY_9 + 40 * MINUTE_MS
        await resume(slad)
        await slad.advance(minutes=5)
        events = await slad.events()
        assert told(events)[-2:] == ["RESUMED", "RESPONSE 75 REACHED"]
        ids = [e.event_id for e in events]
        assert len(set(ids)) == len(ids), "a threshold that fires again is another event"


async def test_m6_commands_in_the_wrong_order_end_as_in_the_right_one(tmp_path: Path) -> None:
    minute = [stamp(MONDAY_9 + n * MINUTE_MS) for n in range(60)]
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=59)
        await resume(slad, effective_at=minute[20])
        await pause(slad, effective_at=minute[10])
        await complete(slad, RESPONSE, effective_at=minute[30])
        got = await status(slad)
        assert not got.is_paused
        assert got.total_pause_minutes == 10
        assert got.response.elapsed.ToMilliseconds() == 20 * MINUTE_MS
        assert got.resolution.elapsed.ToMilliseconds() == 49 * MINUTE_MS


async def test_m6_a_repeated_request_id_returns_the_first_answer(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        first = await slad.start(request_id="r1")
        await slad.advance(minutes=10)
        assert await slad.start(request_id="r1") == first
        paused = await pause(slad, request_id="r2")
        await resume(slad)
    async with slad_running(tmp_path, now=MONDAY_9 + HOUR_MS) as slad:
        assert await pause(slad, request_id="r2") == paused, "remembered over a restart"
        assert not (await status(slad)).is_paused
        assert (await refused(resume(slad, request_id="r2"))).reason == "REQUEST_ID_REUSED"


def ahead(slad: Slad, seconds: int) -> object:
    """By the clock of a caller that is so much ahead of slad's."""
    return stamp(slad.now + seconds * 1_000)


async def test_m6_a_fact_of_a_caller_whose_clock_is_ahead_is_repeated_without_effect(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        paused_at = ahead(slad, 4)
        assert (await pause(slad, effective_at=paused_at)).changed
        await slad.advance(ms=2_000)
        assert (await resume(slad, effective_at=ahead(slad, 4))).changed
        await slad.advance(ms=8_000)
        again = await pause(slad, effective_at=paused_at)
        assert not again.changed
        assert not again.status.is_paused
        await slad.advance(minutes=20)
        got = await status(slad)
        assert not got.is_paused
        assert got.response.due_at.ToMilliseconds() == MONDAY_9 + HOUR_MS + 2_000


async def test_m6_facts_ahead_that_arrive_out_of_order_end_in_their_order(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        assert (await pause(slad, effective_at=ahead(slad, 4))).changed
        assert not (await resume(slad, effective_at=ahead(slad, 1))).changed
        assert (await status(slad)).is_paused, "the pause is the later one"
        assert (await resume(slad, effective_at=ahead(slad, 5))).changed
        assert not (await status(slad)).is_paused


async def test_m6_thresholds_up_to_an_instant_ahead_fire_at_their_own(tmp_path: Path) -> None:
    """A minute of 100 %: 50 % is at 30 s, and the pause, told at 28 s, begins at 32 s."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(1, None, (0, 0, 0))], notification_thresholds=[50, 60])
        await slad.advance(ms=28_000)
        await pause(slad, effective_at=ahead(slad, 4))
        assert told(await slad.events()) == ["STARTED", "PAUSED"]
        await slad.advance(hours=1)
        events = await slad.events()
        assert told(events) == ["STARTED", "PAUSED", "RESPONSE 50 REACHED"]
        assert events[-1].threshold.fired_at.ToMilliseconds() == MONDAY_9 + 30_000
        assert (await status(slad)).response.elapsed.ToMilliseconds() == 32_000


async def test_m6_thresholds_before_a_resolution_that_is_ahead_fire_too(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 1, (0, 0, 0))], notification_thresholds=[50])
        await slad.advance(ms=28_000)
        await complete(slad, RESOLUTION, effective_at=ahead(slad, 4))
        await slad.advance(hours=1)
        events = await slad.events()
        assert told(events)[-1] == "RESOLUTION 50 REACHED"
        assert events[-1].occurred_at.ToMilliseconds() == MONDAY_9 + 30_000


@pytest.mark.parametrize("mode", [pb.REOPEN_MODE_RESUME, pb.REOPEN_MODE_RESTART])
async def test_m6_an_end_ahead_fires_nothing_once_there_is_a_next_generation(
    tmp_path: Path, mode: pb.ReopenMode
) -> None:
    """Told at 28 s: the end at 32 s, after 50 % at 30 s, and a reopening that begins at the end."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 1, (0, 0, 0))], notification_thresholds=[50])
        await slad.advance(ms=28_000)
        await complete(slad, RESOLUTION, effective_at=ahead(slad, 4))
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(mode=mode, **IDS))
        await slad.advance(hours=1)
        reached = [e for e in await slad.events() if e.HasField("threshold")]
        assert [(e.generation, e.threshold.percent) for e in reached] == [(2, 50), (2, 100)]


async def test_m6_a_fact_a_little_before_the_start_counts_as_at_the_start(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        reply = await complete(slad, RESPONSE, effective_at=stamp(MONDAY_9 - 5_000))
        assert reply.changed
        assert reply.status.response.completed_at.ToMilliseconds() == MONDAY_9
        early = complete(slad, RESOLUTION, effective_at=stamp(MONDAY_9 - 5_001))
        assert (await refused(early)).reason == "BEFORE_START"


async def test_e1_a_late_end_of_a_reopened_ticket_is_told(tmp_path: Path) -> None:
    """It moves the deadline, as the ticket was closed for longer."""
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=30)
        await complete(slad, RESOLUTION)
        await slad.advance(minutes=10)
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME, **IDS))
        before = await slad.events()
        due = (await status(slad)).resolution.due_at.ToMilliseconds()
        reply = await cancel(slad, effective_at=stamp(MONDAY_9 + 20 * MINUTE_MS))
        assert reply.changed
        assert reply.status.resolution.due_at.ToMilliseconds() == due + 10 * MINUTE_MS
        assert told((await slad.events())[len(before) :]) == ["RETARGETED", "RESPONSE 50 RETRACTED"]


async def test_m7_not_found_names_the_tenant_that_was_asked(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        for call in (status(slad, tenant_id="nope"), pause(slad, tenant_id="nope")):
            assert (await refused(call)).message == "no tracking of ticket 'T-1' of tenant 'nope'"
        assert (await refused(status(slad, tenant_id="", ticket_id="T-2"))).message.endswith("'T-2'")


async def test_m6_a_command_without_an_instant_follows_what_is_ahead(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await pause(slad, effective_at=ahead(slad, 4))
        assert (await resume(slad)).changed
        assert not (await status(slad)).is_paused


async def test_m7_the_tenant_may_be_left_out_when_it_is_clear(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        assert (await pause(slad, tenant_id="")).status.tenant_id == "acme"
        await slad.start(tenant_id="globex")
        assert (await refused(resume(slad, tenant_id=""))).reason == "TENANT_AMBIGUOUS"
        assert (await refused(status(slad, tenant_id=""))).reason == "TENANT_AMBIGUOUS"
        await cancel(slad, tenant_id="globex")
        assert (await resume(slad, tenant_id="")).status.tenant_id == "acme", "live under one only"
