"""Fixed due dates in place of minutes, and a start that is moved (M5), through the wire."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from tests.core.tickets import at
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target

TUESDAY_11 = at("2026-03-03T11:00:00Z")  # ten office hours after Monday at nine
WAITS = pb.SLA_PAUSE_REASON_AWAITING_CLIENT


def due(instant: int) -> pb.SlaPolicyTarget:
    return pb.SlaPolicyTarget(resolution_due_at=stamp(instant))


def ids(ticket: str = "T-1") -> dict[str, str]:
    return {"tenant_id": "acme", "ticket_id": ticket}


def percents(events: list[pb.SlaEvent], kind: int = pb.SLA_EVENT_TYPE_THRESHOLD_REACHED) -> list[int]:
    return [event.threshold.percent for event in events if event.type == kind]


async def status(slad: Slad, ticket: str = "T-1") -> pb.SlaStatus:
    reply: rpc.GetSlaStatusResponse = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**ids(ticket)))
    return reply.status


async def retarget(
    slad: Slad, *targets: pb.SlaPolicyTarget, started_at: int | None = None
) -> rpc.RetargetSlaResponse:
    reply: rpc.RetargetSlaResponse = await slad.backend.RetargetSla(
        rpc.RetargetSlaRequest(
            **ids(),
            targets=targets,
            schedule=OFFICE,
            notification_thresholds=[50],
            started_at=None if started_at is None else stamp(started_at),
        )
    )
    return reply


async def test_a_due_date_becomes_open_time_and_the_status_says_both(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[due(TUESDAY_11)], notification_thresholds=[50])
        clock = (await status(slad)).resolution
        assert clock.target.ToMilliseconds() == 10 * HOUR_MS
        assert clock.due_at == clock.agreed_due_at == stamp(TUESDAY_11)
        assert not (await status(slad)).HasField("response")
        await slad.advance(hours=6)
        assert percents(await slad.events()) == [50]


async def test_a_later_pause_moves_the_deadline_and_not_what_was_agreed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[due(TUESDAY_11)])
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**ids(), reason=WAITS))
        await slad.advance(hours=2)
        await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**ids()))
        clock = (await status(slad)).resolution
        assert clock.due_at == stamp(TUESDAY_11 + 2 * HOUR_MS)
        assert clock.agreed_due_at == stamp(TUESDAY_11)
        again = await retarget(slad, due(TUESDAY_11))
        assert again.status.resolution.due_at == clock.due_at, "the same date keeps its open time"


@pytest.mark.parametrize("resumed", [True, False], ids=["after a pause", "during a pause"])
async def test_a_date_that_is_agreed_later_holds_as_things_stand(tmp_path: Path, resumed: bool) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)])
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**ids(), reason=WAITS))
        await slad.advance(hours=2)
        if resumed:
            await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**ids()))
        changed = await retarget(slad, due(TUESDAY_11))
        assert changed.changed
        assert changed.status.resolution.due_at == stamp(TUESDAY_11)
        assert changed.status.resolution.target.ToMilliseconds() == 8 * HOUR_MS
        assert not (await retarget(slad, due(TUESDAY_11))).changed
        minutes = await retarget(slad, target(None, 60))
        assert not minutes.status.resolution.HasField("agreed_due_at")


async def test_a_due_date_of_odd_milliseconds_is_met_to_the_millisecond(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[due(MONDAY_9 + HOUR_MS + 7)], notification_thresholds=[50])
        await slad.advance(hours=2)
        fired = {e.threshold.percent: e.occurred_at for e in (await slad.events())[1:]}
        assert fired == {50: stamp(MONDAY_9 + HOUR_MS // 2 + 4), 100: stamp(MONDAY_9 + HOUR_MS + 7)}


async def test_a_due_date_survives_export_and_import(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "here") as here, slad_running(tmp_path / "there") as there:
        await here.start(targets=[due(TUESDAY_11)])
        await here.backend.PauseSla(rpc.PauseSlaRequest(**ids(), reason=WAITS))
        await here.advance(hours=2)
        rows = [
            row
            async for reply in here.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest())
            for row in reply.trackings
        ]
        await there.advance(hours=3)
        reply = await there.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest(trackings=rows)]))
        assert (reply.created, reply.rejected_count) == (1, 0)
        await here.advance(hours=1)
        assert (await status(there)).resolution == (await status(here)).resolution
        list_again = rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", trackings=rows)
        assert not (await there.backend.ReconcileSlaTrackings(iter([list_again]))).differences


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        (due(MONDAY_9), "targets[0].resolution_due_at", "NO_OPEN_TIME"),
        (due(MONDAY_9 - DAY_MS), "targets[0].resolution_due_at", "NO_OPEN_TIME"),
        (due(0), "targets[0].resolution_due_at", "TOO_FAR_IN_THE_PAST"),
        (
            pb.SlaPolicyTarget(resolution_due_at=stamp(TUESDAY_11), resolution_time_minutes=60),
            "targets[0].resolution_due_at",
            "ALSO_IN_MINUTES",
        ),
        (
            pb.SlaPolicyTarget(resolution_time_minutes=60, resolution_open_time={"seconds": 60}),
            "targets[0].resolution_open_time",
            "ALSO_IN_MINUTES",
        ),
        (
            pb.SlaPolicyTarget(resolution_time_minutes=60, response_due_at=stamp(MONDAY_9)),
            "targets[0].response_due_at",
            "NO_OPEN_TIME",
        ),
    ],
)
async def test_a_due_date_that_cannot_be_is_refused(
    tmp_path: Path, given: pb.SlaPolicyTarget, field: str, reason: str
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("T-2")
        before = await slad.events()
        calls = (
            slad.start(targets=[given]),
            slad.backend.RetargetSla(rpc.RetargetSlaRequest(**ids("T-2"), targets=[given], schedule=OFFICE)),
            slad.backend.PreviewSla(
                rpc.PreviewSlaRequest(targets=[given], schedule=OFFICE, started_at=stamp(MONDAY_9))
            ),
        )
        for call in calls:
            found = await refused(call)
            assert (found.fields, found.reason) == ([field], reason)
        assert await slad.events() == before


# --- a start that is moved ------------------------------------------------------------------------------


async def test_an_earlier_start_fires_what_is_past_by_then(tmp_path: Path) -> None:
    async with slad_running(tmp_path, now=MONDAY_9 + HOUR_MS) as slad:
        await slad.start(targets=[target(None, 100, (0, 0, 0))], notification_thresholds=[50])
        moved = await retarget(slad, target(None, 100, (0, 0, 0)), started_at=MONDAY_9)
        assert moved.changed
        assert moved.status.started_at == stamp(MONDAY_9)
        assert moved.status.resolution.elapsed.ToMilliseconds() == HOUR_MS
        assert percents(await slad.events()) == [50]
        again = await retarget(slad, target(None, 100, (0, 0, 0)), started_at=MONDAY_9)
        assert not again.changed


async def test_a_later_start_retracts_what_is_untrue_and_keeps_the_facts(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 100, (0, 0, 0))], notification_thresholds=[50])
        await slad.advance(minutes=60)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**ids(), reason=WAITS))
        moved = await retarget(slad, target(None, 100, (0, 0, 0)), started_at=MONDAY_9 + 30 * MINUTE_MS)
        assert moved.status.is_paused
        assert moved.status.resolution.elapsed.ToMilliseconds() == 30 * MINUTE_MS
        assert percents(await slad.events(), pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED) == [50]


@pytest.mark.parametrize(
    ("started_at", "reason"),
    [
        (at("1999-12-31T23:59:59Z"), "TOO_FAR_IN_THE_PAST"),
        (MONDAY_9 + HOUR_MS + 6_000, "IN_THE_FUTURE"),
        (MONDAY_9 + 31 * MINUTE_MS, "AFTER_FIRST_FACT"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(tmp_path: Path, started_at: int, reason: str) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=30)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**ids(), reason=WAITS))
        await slad.advance(minutes=30)
        before = await status(slad)
        found = await refused(retarget(slad, target(), started_at=started_at))
        assert (found.fields, found.reason) == (["started_at"], reason)
        assert await status(slad) == before


async def test_events_tell_the_deadlines_after_their_change(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        ids = {"tenant_id": "acme", "ticket_id": "T-1"}
        status = (await slad.start("T-1")).status
        await slad.advance(minutes=10)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT, **ids))
        await slad.advance(minutes=7)
        resumed = (await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**ids))).status
        events = [event for event in await slad.events() if event.HasField("due_dates")]
    started, paused, after = [
        {
            told.clock: told.due_at.ToJsonString() if told.HasField("due_at") else ""
            for told in e.due_dates.cycles
        }
        for e in events
    ]
    assert started == {
        "response": status.response.due_at.ToJsonString(),
        "resolution": status.resolution.due_at.ToJsonString(),
    }
    assert paused == {"response": "", "resolution": ""}
    assert after == {
        "response": resumed.response.due_at.ToJsonString(),
        "resolution": resumed.resolution.due_at.ToJsonString(),
    }
