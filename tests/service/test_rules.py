"""The rules of clocks, thresholds and queries (C, T, E) through the wire, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.commands import IDS, RESPONSE, cancel, complete, pause, percents, resume, status
from tests.slad_under_test import MONDAY_9, OFFICE, slad_running, stamp, start_request, target, told

pytestmark = pytest.mark.usefixtures("engine")

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
