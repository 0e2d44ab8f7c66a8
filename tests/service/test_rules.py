"""The rules of semantics.md through the wire, one by one; each test names the rule it would miss."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.slad_under_test import (
    MONDAY_9,
    OFFICE,
    Slad,
    refused,
    slad_running,
    stamp,
    start_request,
    target,
    told,
)

pytestmark = pytest.mark.usefixtures("engine")

IDS = {"tenant_id": "acme", "ticket_id": "T-1"}
CLIENT, STATUS = pb.SLA_PAUSE_REASON_AWAITING_CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION


async def pause(slad: Slad, reason: pb.SlaPauseReason = CLIENT, **fields: object) -> rpc.PauseSlaResponse:
    return await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=reason, **(IDS | fields)))


async def resume(slad: Slad, **fields: object) -> rpc.ResumeSlaResponse:
    return await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**(IDS | fields)))


async def complete(slad: Slad, phase: pb.SlaPhase, **fields: object) -> rpc.CompleteSlaResponse:
    return await slad.backend.CompleteSla(rpc.CompleteSlaRequest(phase=phase, **(IDS | fields)))


async def cancel(slad: Slad, **fields: object) -> rpc.CancelSlaResponse:
    return await slad.backend.CancelSla(rpc.CancelSlaRequest(**(IDS | fields)))


async def status(slad: Slad, **fields: object) -> pb.SlaStatus:
    reply = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**(IDS | fields)))
    return reply.status


def percents(clock: pb.SlaClock) -> list[int]:
    return [threshold.percent for threshold in clock.thresholds]


def fired(clock: pb.SlaClock) -> list[int]:
    return [threshold.percent for threshold in clock.thresholds if threshold.HasField("fired_at")]


# --- clocks


async def test_c1_both_clocks_run_from_the_start_and_a_phase_without_target_has_none(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        both = (await slad.start()).status
        assert both.response.due_at.ToMilliseconds() == MONDAY_9 + HOUR_MS
        assert both.resolution.due_at.ToMilliseconds() == MONDAY_9 + 4 * HOUR_MS
        only = (await slad.start("T-2", targets=[target(None, 60)])).status
        assert not only.HasField("response")
        assert not only.HasField("response_remaining_minutes")
        assert only.resolution_remaining_minutes == 60


async def test_c3_c4_thresholds_fire_at_their_exact_instant_and_say_what_they_are(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(7, None)], notification_thresholds=[33, 90])
        await slad.advance(hours=1)
        reached = [e for e in await slad.events() if e.HasField("threshold")]
        assert [(e.threshold.percent, e.occurred_at.ToMilliseconds() - MONDAY_9) for e in reached] == [
            (percent, 7 * MINUTE_MS * percent // 100) for percent in (33, 70, 90, 100, 110)
        ]
        meanings = {
            e.threshold.percent: (e.threshold.notification, e.threshold.escalation_level, e.threshold.breach)
            for e in reached
        }
        assert meanings == {
            33: (True, 0, False),
            70: (False, 1, False),
            90: (True, 2, False),
            100: (True, 0, True),
            110: (False, 3, False),
        }


async def test_c4_default_notification_thresholds_are_50_75_90(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        reply = await slad.start(targets=[target(60, None, (0, 0, 0))])
        assert percents(reply.status.response) == [50, 75, 90, 100]


async def test_c5_an_escalation_alone_does_not_spare_people_a_notification(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (70, 0, 110))], notification_thresholds=[60, 80])
        before = await slad.events()
    async with slad_running(tmp_path, now=MONDAY_9 + 3 * HOUR_MS) as slad:
        overdue = [e.threshold for e in await slad.events() if e.sequence > before[-1].sequence]
    assert [(t.percent, t.superseded, t.notification_superseded) for t in overdue] == [
        (60, True, True),
        (70, True, True),
        (80, True, True),
        (100, True, False),
        (110, False, False),
    ]


async def test_c5_overdue_after_downtime_fire_in_order_of_their_instants_over_all_tickets(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("A", targets=[target(100, None, (0, 0, 0))])
        await slad.start("B", targets=[target(120, None, (0, 0, 0))])
        before = await slad.events()
    # slad was down for three hours: virtual time begins later.
    async with slad_running(tmp_path, now=MONDAY_9 + 3 * HOUR_MS) as slad:
        overdue = [e for e in await slad.events() if e.sequence > before[-1].sequence]
        instants = [e.occurred_at.ToMilliseconds() for e in overdue]
        assert instants == sorted(instants)
        # B's 75 and A's 90 are of one instant, and have no order.
        overdue.sort(key=lambda e: (e.occurred_at.ToMilliseconds(), e.ticket_id))
        assert [(e.ticket_id, e.threshold.percent) for e in overdue] == [
            ("A", 50), ("B", 50), ("A", 75), ("A", 90), ("B", 75), ("A", 100), ("B", 90), ("B", 100)
        ]  # fmt: skip
        assert [e.threshold.superseded for e in overdue] == [True, True, True, True, True, False, True, False]
        assert [e.threshold.notification_superseded for e in overdue] == [
            e.threshold.superseded for e in overdue
        ]
        assert all(e.threshold.fired_at.ToMilliseconds() == MONDAY_9 + 3 * HOUR_MS for e in overdue)
        assert [e.occurred_at for e in overdue] == [e.threshold.scheduled_at for e in overdue]
    async with slad_running(tmp_path, now=MONDAY_9 + 4 * HOUR_MS) as slad:
        assert len(await slad.events()) == len(before) + len(overdue), "fired twice"


async def test_c5_a_clock_set_back_fires_nothing_twice_and_retracts_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(hours=2)
        before = await slad.events()
    async with slad_running(tmp_path, now=MONDAY_9) as slad:
        assert (await pause(slad)).changed
        assert (await resume(slad)).changed
        await slad.advance(hours=2)
        kinds = told([e for e in await slad.events() if e.sequence > before[-1].sequence])
        assert kinds == ["PAUSED", "RESUMED"]
        await slad.advance(hours=1)
        assert told(await slad.events())[-1] == "RESOLUTION 75 REACHED"


async def test_c6_a_paused_ticket_fires_nothing_and_a_breached_clock_goes_on_above_100(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None)])
        await slad.advance(minutes=50)
        await pause(slad)
        await slad.advance(hours=5)
        assert "RESPONSE 100 REACHED" not in told(await slad.events())
        await resume(slad)
        await slad.advance(minutes=20)
        assert told(await slad.events())[-2:] == ["RESPONSE 100 REACHED", "RESPONSE 110 REACHED"]
        late = await complete(slad, RESPONSE)
        assert not late.met
        assert late.status.response.breached_at.ToMilliseconds() == MONDAY_9 + 6 * HOUR_MS


# --- commands


async def test_m1_a_start_for_a_live_tracking_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        first = await slad.start()
        again = await slad.start(targets=[target(5, 5)], policy_id="other")
        assert first.created
        assert not again.created
        assert again.status == first.status
        assert told(await slad.events()) == ["STARTED"]


async def test_m1_replace_cancels_and_starts_the_next_generation(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=45)
        reply = await slad.start(on_existing=pb.ON_EXISTING_REPLACE)
        assert reply.created
        assert reply.status.generation == 2
        assert reply.status.response_remaining_minutes == 60
        assert told(await slad.events())[-2:] == ["CANCELLED", "STARTED"]
        assert (await status(slad, generation=1)).state == pb.SLA_TRACKING_STATE_CANCELLED


async def test_m1_continue_cancelled_takes_over_start_pauses_and_fired_thresholds(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240, (0, 0, 0))])
        await slad.advance(minutes=10)
        await pause(slad)
        await slad.advance(minutes=10)
        await resume(slad)
        await slad.advance(minutes=40)  # 50 of 60 minutes: 50 and 75 % have fired
        await cancel(slad)
        reply = await slad.start(
            targets=[target(60, 120, (0, 0, 0))], on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED
        )
        assert reply.created
        assert reply.status.generation == 2
        assert reply.status.started_at.ToMilliseconds() == MONDAY_9
        assert reply.status.response_remaining_minutes == 10
        assert reply.status.total_pause_minutes == 10
        assert fired(reply.status.response) == [50, 75]
        assert told(await slad.events())[-2:] == ["CANCELLED", "STARTED"], "nothing fires again"


async def test_m1_continue_cancelled_retracts_what_the_new_policy_makes_untrue(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=50)
        await cancel(slad)
        await slad.start(targets=[target(80, None, (0, 0, 0))], on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)
        assert told(await slad.events())[-2:] == ["STARTED", "RESPONSE 75 RETRACTED"]
        await slad.advance(minutes=10)
        assert told(await slad.events())[-1] == "RESPONSE 75 REACHED"


async def test_m1_continue_cancelled_only_within_the_window(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await cancel(slad)
        await slad.advance(minutes=11)
        reply = await slad.start(
            on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED, continue_within={"seconds": 600}
        )
        assert reply.status.started_at.ToMilliseconds() == MONDAY_9 + 11 * MINUTE_MS


async def test_m1_continue_cancelled_keeps_a_completed_ticket_completed(tmp_path: Path) -> None:
    """A PSA whose ticket is closed may change its policy by cancel and start: no clock comes alive."""
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=10)
        await complete(slad, RESPONSE)
        await complete(slad, RESOLUTION)
        before = await slad.events()
        assert (await refused(cancel(slad))).reason == "TRACKING_COMPLETED"
        for _ in range(2):
            reply = await slad.start(
                policy_id="silver",
                on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED,
                continue_within={"seconds": 600},
            )
            assert not reply.created
            assert reply.status.state == pb.SLA_TRACKING_STATE_COMPLETED
            assert (reply.status.generation, reply.status.policy_id) == (1, "gold")
            await slad.advance(hours=24)
        assert await slad.events() == before, "nothing is told, and no clock runs"


@pytest.mark.parametrize(
    "on_existing",
    [pb.ON_EXISTING_KEEP, pb.ON_EXISTING_FAIL, pb.ON_EXISTING_REPLACE, pb.ON_EXISTING_CONTINUE_OR_NEW],
)
async def test_m1_any_other_start_after_a_completed_ticket_is_the_next_generation(
    tmp_path: Path, on_existing: pb.OnExisting
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await complete(slad, RESOLUTION)
        await slad.advance(minutes=1)
        reply = await slad.start(on_existing=on_existing)
        assert reply.created
        assert reply.status.generation == 2
        assert reply.status.started_at.ToMilliseconds() == MONDAY_9 + MINUTE_MS


async def test_m1_continue_cancelled_after_a_reopening_continues_the_reopened_life(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await complete(slad, RESOLUTION)
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME, **IDS))
        await cancel(slad)
        reply = await slad.start(on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)
        assert reply.created
        assert (reply.status.generation, reply.status.state) == (3, pb.SLA_TRACKING_STATE_ACTIVE)


async def test_m1_continue_or_new_continues_a_cancelled_ticket(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=10)
        await cancel(slad)
        reply = await slad.start(on_existing=pb.ON_EXISTING_CONTINUE_OR_NEW)
        assert reply.status.started_at.ToMilliseconds() == MONDAY_9


@pytest.mark.parametrize(
    ("again", "policy_id", "expected"),
    [([], "gold", [60, 80, 100]), ([], "silver", [50, 75, 90, 100]), ([20], "gold", [20, 100])],
)
async def test_m1_thresholds_that_a_continuing_start_leaves_out_stay_under_the_same_policy(
    tmp_path: Path, again: list[int], policy_id: str, expected: list[int]
) -> None:
    async with slad_running(tmp_path) as slad:
        terms = {"targets": [target(100, None, (0, 0, 0))], "policy_id": "gold"}
        await slad.start(notification_thresholds=[60, 80, 100], **terms)
        await slad.advance(minutes=65)
        await cancel(slad)
        reply = await slad.start(
            **(terms | {"policy_id": policy_id}),
            notification_thresholds=again,
            on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED,
        )
        assert percents(reply.status.response) == expected
        if policy_id == "gold" and not again:
            assert told(await slad.events())[-2:] == ["CANCELLED", "STARTED"], "60 fires once"


async def test_m1_a_start_in_the_past_fires_what_is_past_at_once_or_silently(tmp_path: Path) -> None:
    started_at = stamp(MONDAY_9 - 3 * 24 * HOUR_MS)  # Friday 09:00
    async with slad_running(tmp_path) as slad:
        await slad.start(started_at=started_at, targets=[target(60, None, (0, 0, 0))])
        loud = await slad.events()
        assert told(loud) == ["STARTED", *(f"RESPONSE {p} REACHED" for p in (50, 75, 90, 100))]
        assert [e.threshold.superseded for e in loud[1:]] == [True, True, True, False]
        reply = await slad.start("T-2", started_at=started_at, suppress_past=True)
        assert told(await slad.events())[len(loud) :] == ["STARTED"]
        assert fired(reply.status.response) == percents(reply.status.response)
        assert reply.status.status == pb.SLA_TIMER_STATUS_RESPONSE_BREACHED


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


async def test_m5_retarget_keeps_the_facts_and_derives_the_rest(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=46)  # 50 and 75 have fired

        async def retarget(minutes: int, **fields: object) -> rpc.RetargetSlaResponse:
            return await slad.backend.RetargetSla(
                rpc.RetargetSlaRequest(
                    **IDS, schedule=OFFICE, targets=[target(minutes, None, (0, 0, 0))], **fields
                )
            )

        longer = await retarget(90)
        assert longer.changed
        assert longer.status.response.elapsed.ToMilliseconds() == 46 * MINUTE_MS
        assert told(await slad.events())[-2:] == ["RETARGETED", "RESPONSE 75 RETRACTED"]
        shorter = await retarget(48)
        assert fired(shorter.status.response) == [50, 75, 90]
        assert told(await slad.events())[-3:] == [
            "RETARGETED", "RESPONSE 75 REACHED", "RESPONSE 90 REACHED"
        ]  # fmt: skip
        assert not (await retarget(48)).changed
        silent = await retarget(40, suppress_past=True)
        assert fired(silent.status.response) == [50, 75, 90, 100]
        assert told(await slad.events())[-1] == "RETARGETED"


async def test_m5_reopen_resume_goes_on_where_it_stood_and_restart_from_zero(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 100, (0, 0, 0))])
        await slad.advance(minutes=60)
        await complete(slad, RESOLUTION)
        await slad.advance(minutes=120)
        reopened = await slad.backend.ReopenSla(rpc.ReopenSlaRequest(**IDS, mode=pb.REOPEN_MODE_RESUME))
        assert reopened.changed
        assert reopened.status.generation == 2
        assert reopened.status.resolution.elapsed.ToMilliseconds() == 60 * MINUTE_MS
        assert reopened.status.total_pause_minutes == 0
        await slad.advance(minutes=15)
        assert told(await slad.events())[-2:] == ["REOPENED", "RESOLUTION 75 REACHED"]
        await cancel(slad)
        restarted = await slad.backend.ReopenSla(rpc.ReopenSlaRequest(**IDS, mode=pb.REOPEN_MODE_RESTART))
        assert restarted.status.generation == 3
        assert restarted.status.resolution_remaining_minutes == 100
        assert fired(restarted.status.resolution) == []
        again = await slad.backend.ReopenSla(rpc.ReopenSlaRequest(**IDS, mode=pb.REOPEN_MODE_RESTART))
        assert not again.changed


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


async def test_m6_an_end_ahead_fires_nothing_once_the_next_generation_has_begun(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 1, (0, 0, 0))], notification_thresholds=[50])
        await slad.advance(ms=28_000)
        await complete(slad, RESOLUTION, effective_at=ahead(slad, 4))
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME, **IDS))
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


# --- status


async def test_t1_the_first_that_applies(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        seen = [(await slad.start(targets=[target(40, 100)])).status.status]
        for minutes in (30, 10, 35, 25):
            await slad.advance(minutes=minutes)
            seen.append((await status(slad)).status)
        await pause(slad)
        seen.append((await status(slad)).status)
        assert [pb.SlaTimerStatus.Name(s).removeprefix("SLA_TIMER_STATUS_") for s in seen] == [
            "ON_TRACK", "AT_RISK", "RESPONSE_BREACHED", "RESPONSE_BREACHED", "RESPONSE_BREACHED", "PAUSED"
        ]  # fmt: skip
        await slad.start("T-2", targets=[target(None, 100)])
        await slad.advance(minutes=100)
        assert (await status(slad, ticket_id="T-2")).status == pb.SLA_TIMER_STATUS_RESOLUTION_BREACHED


async def test_t2_minutes_are_floored_negative_once_past_and_absent_when_closed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)])
        await slad.advance(ms=1)
        assert (await status(slad)).response_remaining_minutes == 59
        await slad.advance(ms=HOUR_MS)
        assert (await status(slad)).response_remaining_minutes == -1
        await complete(slad, RESPONSE)
        closed = await status(slad)
        assert not closed.HasField("response_remaining_minutes")
        assert closed.resolution_remaining_minutes == 179


async def test_t2_while_paused_the_deadline_is_that_of_a_resume_now(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=20)
        await pause(slad)
        await slad.advance(ms=30 * MINUTE_MS + 59_999)
        got = await status(slad)
        assert got.total_pause_minutes == 30
        assert got.response.due_at.ToMilliseconds() == slad.now + 40 * MINUTE_MS
        assert got.response.next_threshold.percent == 50


# --- list, timeline, preview


async def test_list_pages_through_what_fits_in_the_order_of_creation(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for number in range(25):
            await slad.start(f"T-{number}", targets=[target(10 if number % 2 else 100, None)])
        for number in range(5):
            await cancel(slad, ticket_id=f"T-{number}")
        await slad.start("other", tenant_id="globex")

        async def listed(**fields: object) -> list[str]:
            found, token = [], ""
            while True:
                page = await slad.backend.ListSlaTrackings(
                    rpc.ListSlaTrackingsRequest(page_size=7, page_token=token, **fields)
                )
                assert len(page.trackings) <= 7
                found += [s.ticket_id for s in page.trackings]
                if not (token := page.next_page_token):
                    return found

        every = [f"T-{number}" for number in range(25)]
        assert await listed(tenant_id="acme") == every
        assert await listed() == [*every, "other"]
        assert await listed(tenant_id="acme", states=[pb.SLA_TRACKING_STATE_ACTIVE]) == every[5:]
        due = await listed(tenant_id="acme", due_before=stamp(MONDAY_9 + 11 * MINUTE_MS))
        assert due == [name for number, name in enumerate(every) if number % 2 and number >= 5]
        await slad.advance(minutes=20)
        breached = await listed(statuses=[pb.SLA_TIMER_STATUS_RESPONSE_BREACHED], tenant_id="acme")
        assert breached == due
        assert await listed(tenant_id="nobody") == []


async def test_timeline_tells_every_stretch_and_why(tmp_path: Path) -> None:
    friday_16 = MONDAY_9 + (4 * 24 + 7) * HOUR_MS
    schedule = pb.BusinessHoursSchedule()
    schedule.CopyFrom(OFFICE)
    schedule.holidays.add(holiday_date="2026-03-09", holiday_name="Founders' Day")
    async with slad_running(tmp_path, now=friday_16) as slad:
        await slad.start(schedule=schedule, targets=[target(600, None)])
        await slad.advance(hours=24 * 3 + 18)  # Tuesday 10:00
        await pause(slad)
        await slad.advance(hours=1)
        await resume(slad)
        await slad.advance(hours=1)
        life = await slad.backend.GetSlaTimeline(rpc.GetSlaTimelineRequest(**IDS))
        kinds = [
            (pb.SlaTimelineKind.Name(s.kind).removeprefix("SLA_TIMELINE_KIND_"), s.cause)
            for s in life.segments
        ]
        assert kinds == [
            ("COUNTED", ""),
            ("CLOSED", "outside business hours"),
            ("CLOSED", "weekend"),
            ("CLOSED", "holiday: Founders' Day"),
            ("CLOSED", "outside business hours"),
            ("COUNTED", ""),
            ("PAUSED", "paused: awaiting client"),
            ("COUNTED", ""),
        ]
        for left, right in zip(life.segments, life.segments[1:], strict=False):
            assert left.to_time == right.from_time
        assert life.segments[0].from_time == life.status.started_at
        assert life.segments[-1].to_time == life.status.as_of
        counted = sum(
            s.to_time.ToMilliseconds() - s.from_time.ToMilliseconds()
            for s in life.segments
            if s.kind == pb.SLA_TIMELINE_KIND_COUNTED
        )
        assert counted == life.status.response.elapsed.ToMilliseconds()
        assert told(life.events) == ["STARTED", "PAUSED", "RESUMED"]


async def test_preview_says_what_a_tracking_would(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        request = start_request()
        preview = await slad.backend.PreviewSla(
            rpc.PreviewSlaRequest(
                targets=request.targets,
                schedule=request.schedule,
                started_at=stamp(MONDAY_9),
                pauses=[
                    pb.SlaPause(
                        paused_at=stamp(MONDAY_9 + 10 * MINUTE_MS),
                        resumed_at=stamp(MONDAY_9 + 25 * MINUTE_MS),
                    )
                ],
                as_of=stamp(MONDAY_9 + HOUR_MS),
            )
        )
        await slad.start()
        await slad.advance(minutes=10)
        await pause(slad)
        await slad.advance(minutes=15)
        await resume(slad)
        await slad.advance(minutes=35)
        real = await status(slad)
        for clock in (real.response, real.resolution):
            for threshold in clock.thresholds:
                threshold.ClearField("fired_at")
        assert preview.response == real.response
        assert preview.resolution == real.resolution


async def test_is_24x7_on_the_target_overrides_the_schedule(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        always = pb.SlaPolicyTarget(resolution_time_minutes=7 * 24 * 60, is_24x7=True)
        reply = await slad.start(targets=[always])
        assert reply.status.resolution.due_at.ToMilliseconds() == MONDAY_9 + 7 * 24 * HOUR_MS


async def test_the_priority_chooses_the_target(tmp_path: Path) -> None:
    urgent = pb.SlaPolicyTarget(priority_id="urgent", response_time_minutes=15)
    normal = pb.SlaPolicyTarget(priority_id="normal", response_time_minutes=60)
    async with slad_running(tmp_path) as slad:
        chosen = await slad.start("A", targets=[normal, urgent], priority_id="urgent")
        assert chosen.status.response_remaining_minutes == 15
        assert chosen.status.priority_id == "urgent"
        first = await slad.start("B", targets=[normal, urgent])
        assert first.status.response_remaining_minutes == 60


async def test_wall_clock_pauses_move_deadlines_by_floored_minutes(tmp_path: Path) -> None:
    """PauseAccounting ALGA_WALL_CLOCK: a pause overnight moves the deadline by its whole length."""
    async with slad_running(tmp_path) as slad:
        for name, accounting in (
            ("exact", pb.PAUSE_ACCOUNTING_BUSINESS_TIME),
            ("alga", pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK),
        ):
            await slad.start(name, targets=[target(None, 600, (0, 0, 0))], pause_accounting=accounting)
        await slad.advance(hours=7)  # 16:00
        for name in ("exact", "alga"):
            await pause(slad, ticket_id=name)
        await slad.advance(ms=18 * HOUR_MS + 59_000)  # Tuesday 10:00:59
        for name in ("exact", "alga"):
            await resume(slad, ticket_id=name)
        exact = await status(slad, ticket_id="exact")
        alga = await status(slad, ticket_id="alga")
        # 7 h of 10 h are used. Exact: 3 h from now. Alga: Tuesday 11:00 and 18 h, whenever that is.
        assert exact.resolution.due_at.ToMilliseconds() == slad.now + 3 * HOUR_MS
        assert alga.resolution.due_at.ToMilliseconds() == MONDAY_9 + (26 + 18) * HOUR_MS


async def test_e1_events_of_one_instant_have_ids_of_their_own(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        for minutes in (30, 60, 30, 60):
            await slad.backend.RetargetSla(
                rpc.RetargetSlaRequest(**IDS, schedule=OFFICE, targets=[target(minutes, None)])
            )
        events = await slad.events()
        assert told(events) == ["STARTED", *["RETARGETED"] * 4]
        assert len({e.event_id for e in events}) == 5
