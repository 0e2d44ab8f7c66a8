"""The rules of starts, continued starts, retargets and reopenings (M1, M5) through the wire, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.commands import (
    IDS,
    RESOLUTION,
    RESPONSE,
    cancel,
    complete,
    fired,
    pause,
    percents,
    resume,
    status,
)
from tests.slad_under_test import MONDAY_9, OFFICE, refused, slad_running, stamp, target, told

pytestmark = pytest.mark.usefixtures("engine")


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
