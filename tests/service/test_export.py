"""Export: what is live here, so that an import elsewhere goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS
from tests.core.tickets import at
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

RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION
BERLIN = pb.BusinessHoursSchedule(
    timezone="Europe/Berlin",
    entries=[
        pb.BusinessHoursEntry(day_of_week=1, start_time="09:00:30", end_time="12:00", is_enabled=True),
        pb.BusinessHoursEntry(day_of_week=1, start_time="22:00", end_time="06:00", is_enabled=True),
        pb.BusinessHoursEntry(day_of_week=2, start_time="00:00", end_time="24:00", is_enabled=True),
        pb.BusinessHoursEntry(day_of_week=3, start_time="", end_time="", is_enabled=False),
    ],
    holidays=[
        pb.Holiday(holiday_name="New Year; or so", holiday_date="2020-01-01", is_recurring=True),
        pb.Holiday(holiday_date="2026-04-03T00:00:00Z"),
    ],
)


async def exported(slad: Slad, tenant_id: str = "") -> list[rpc.SlaTrackingImport]:
    call = slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest(tenant_id=tenant_id))
    return [row async for reply in call for row in reply.trackings]


async def imported(slad: Slad, rows: list[rpc.SlaTrackingImport]) -> rpc.ImportSlaTrackingsResponse:
    return await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest(trackings=rows)]))


async def statuses(slad: Slad) -> dict[tuple[str, str], pb.SlaStatus]:
    request = rpc.ListSlaTrackingsRequest(states=[pb.SLA_TRACKING_STATE_ACTIVE], page_size=1000)
    reply = await slad.backend.ListSlaTrackings(request)
    found = {}
    for status in reply.trackings:
        status.generation = 0  # an imported ticket is the first of its name
        found[status.tenant_id, status.ticket_id] = status
    return found


async def busy_desk(slad: Slad) -> None:
    """Tickets of every kind, on Monday at 17:00."""
    backend = slad.backend
    await slad.start("plain", attributes={"queue": "net"}, targets=[target(60, 600)])
    await slad.start("round-the-clock", targets=[pb.SlaPolicyTarget(response_time_minutes=90, is_24x7=True)])
    await slad.start("berlin", schedule=BERLIN, policy_id="silver", notification_thresholds=[10, 80])
    await slad.start(
        "wall",
        pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
        tenant_id="other",
        targets=[target(None, 600)],
    )
    for ticket in ("done", "cancelled", "reopened", "reopened-paused"):
        await slad.start(ticket, targets=[target(60, 600)])
    await slad.advance(hours=1)
    for ticket in ("plain", "wall", "reopened-paused"):
        await backend.PauseSla(rpc.PauseSlaRequest(ticket_id=ticket, reason=1))
    await slad.advance(hours=1)
    await backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id="plain"))
    for ticket in ("done", "reopened", "reopened-paused"):
        await backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id=ticket, phase=RESOLUTION))
    await backend.CancelSla(rpc.CancelSlaRequest(ticket_id="cancelled"))
    await slad.advance(hours=1)
    for ticket in ("reopened", "reopened-paused"):
        await backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id=ticket, mode=pb.REOPEN_MODE_RESUME))
    await backend.PauseSla(rpc.PauseSlaRequest(ticket_id="reopened-paused", reason=2))
    await backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="plain", phase=RESPONSE, met=True))
    # Late: what had fired is taken back.
    await backend.PauseSla(rpc.PauseSlaRequest(ticket_id="berlin", reason=1, effective_at=stamp(MONDAY_9)))
    await slad.advance(hours=5)


async def test_an_import_of_the_export_goes_on_where_the_desk_stood(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "old") as old:
        await busy_desk(old)
        rows = await exported(old)
        assert [row.start.ticket_id for row in rows] == [
            "plain", "round-the-clock", "berlin", "wall", "reopened", "reopened-paused"
        ]  # fmt: skip
        async with slad_running(tmp_path / "new", now=old.now) as new:
            reply = await imported(new, rows)
            assert (reply.created, reply.rejected_count) == (len(rows), 0)
            assert await statuses(new) == await statuses(old)
            assert await exported(new) == rows
            assert not [event for event in told(await new.events()) if "REACHED" in event]
            # From here on both tell the same.
            heads = [max(event.sequence for event in await slad.events()) for slad in (old, new)]
            for slad in (old, new):
                for ticket in ("berlin", "wall", "reopened-paused"):
                    await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id=ticket))
                await slad.advance(hours=300)
            told_by = [
                [(e.ticket_id, e.occurred_at.ToMilliseconds(), *told([e])) for e in await slad.events(head)]
                for slad, head in zip((old, new), heads, strict=True)
            ]
            assert len(told_by[0]) > 8
            assert told_by[1] == told_by[0]


async def test_a_start_that_was_moved_behind_what_had_been_announced_is_taken(tmp_path: Path) -> None:
    """A threshold that stays true keeps the instant for which it was announced, here before the start."""
    async with slad_running(tmp_path / "old") as old, slad_running(tmp_path / "new") as new:
        promise = {"targets": [target(120, None, (0, 0, 0))], "schedule": OFFICE}
        await old.start("merged", notification_thresholds=[10, 90], **promise)
        for slad in (old, new):
            await slad.advance(hours=2)
        retarget = rpc.RetargetSlaRequest(ticket_id="merged", started_at=stamp(MONDAY_9 + HOUR_MS), **promise)
        retarget.notification_thresholds.extend([10, 90])
        await old.backend.RetargetSla(retarget)
        rows = await exported(old)
        (reached, retracted, _) = rows[0].fired
        assert reached.scheduled_at.ToMilliseconds() < MONDAY_9 + HOUR_MS
        assert (reached.HasField("fired_at"), retracted.HasField("fired_at")) == (True, False)
        assert not (await imported(new, rows)).rejected
        assert await statuses(new) == await statuses(old)
        assert await exported(new) == rows


async def test_what_is_of_clocks_that_a_retarget_removed_or_made_another_kind_stays_behind(
    tmp_path: Path,
) -> None:
    clocks = {
        name: pb.SlaClockTerms(name=name, kind=kind, target_minutes=30)
        for name, kind in (
            ("gone", pb.SLA_CLOCK_KIND_FROM_START),
            ("once", pb.SLA_CLOCK_KIND_PERIODIC_UPDATE),
            ("often", pb.SLA_CLOCK_KIND_FROM_START),
        )
    }
    async with slad_running(tmp_path / "old") as old, slad_running(tmp_path / "new") as new:
        await old.start("T-1", clocks=clocks.values())
        for slad in (old, new):
            await slad.advance(hours=1)
        await old.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-1", clock="gone"))
        clocks["once"].kind, clocks["often"].kind = clocks["often"].kind, clocks["once"].kind
        await old.backend.RetargetSla(
            rpc.RetargetSlaRequest(
                ticket_id="T-1",
                policy_id="gold",
                targets=[target()],
                schedule=OFFICE,
                clocks=[clocks["once"], clocks["often"]],
            )
        )
        rows = await exported(old)
        assert not rows[0].facts
        assert {fired.clock for fired in rows[0].fired} == {"", "once", "often"}
        assert not (await imported(new, rows)).rejected
        assert await statuses(new) == await statuses(old)
        assert await exported(new) == rows


async def test_a_ticket_that_was_answered_and_closed_at_once_and_reopened_has_the_same_cycles(
    tmp_path: Path,
) -> None:
    clocks = [
        pb.SlaClockTerms(name=name, kind=kind, target_minutes=30)
        for name, kind in (
            ("updates", pb.SLA_CLOCK_KIND_PERIODIC_UPDATE),
            ("next-reply", pb.SLA_CLOCK_KIND_NEXT_REPLY),
        )
    ]
    async with slad_running(tmp_path / "old") as old, slad_running(tmp_path / "new") as new:
        await old.start("T-1", clocks=clocks)
        for sender in (pb.SLA_MESSAGE_SENDER_AGENT, pb.SLA_MESSAGE_SENDER_CUSTOMER):
            await old.advance(hours=1)
            await old.backend.RecordSlaMessage(rpc.RecordSlaMessageRequest(ticket_id="T-1", sender=sender))
        await old.advance(minutes=10)
        answer = rpc.RecordSlaMessageRequest(ticket_id="T-1", sender=pb.SLA_MESSAGE_SENDER_AGENT)
        await old.backend.RecordSlaMessage(answer)
        await old.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-1", phase=RESOLUTION))
        await old.advance(minutes=10)
        await old.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=pb.REOPEN_MODE_RESUME))
        await new.advance_to(old.now)
        rows = await exported(old)
        assert not (await imported(new, rows)).rejected
        assert await statuses(new) == await statuses(old)
        assert await exported(new) == rows


async def test_what_fell_due_between_export_and_import_fires(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "old") as old:
        await old.start(targets=[target(None, 240)])
        await old.advance(hours=2)
        rows = await exported(old)
    async with slad_running(tmp_path / "new", now=MONDAY_9 + 3 * HOUR_MS) as new:
        await imported(new, rows)
        assert told(await new.events()) == ["STARTED", "RESOLUTION 70 REACHED", "RESOLUTION 75 REACHED"]


async def test_only_the_tenant_that_is_asked_for(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await busy_desk(slad)
        assert [row.start.ticket_id for row in await exported(slad, "other")] == ["wall"]
        assert await exported(slad, "nobody") == []
        assert (await refused(anext(aiter(exporting(slad, "x" * 201))))).fields == ["tenant_id"]


async def exporting(slad: Slad, tenant_id: str) -> Any:
    async for reply in slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest(tenant_id=tenant_id)):
        yield reply


async def test_a_large_desk_comes_in_several_messages(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        rows = [rpc.SlaTrackingImport(start=start_request(f"T-{n}")) for n in range(700)]
        await imported(slad, rows)
        for row in rows[::2]:
            await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id=row.start.ticket_id))
        found = await exported(slad, "acme")
        assert [row.start.ticket_id for row in found] == [row.start.ticket_id for row in rows[1::2]]
        assert await exported(slad) == found


HOUR = MONDAY_9 + HOUR_MS


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"closed": [{"closed_at": stamp(HOUR)}]}, "closed[0].reopened_at"),
        ({"closed": [{"reopened_at": stamp(HOUR)}]}, "closed[0].closed_at"),
        ({"closed": [{"closed_at": stamp(HOUR), "reopened_at": stamp(MONDAY_9)}]}, "closed[0].reopened_at"),
        (
            {"closed": [{"closed_at": stamp(MONDAY_9 - 1), "reopened_at": stamp(HOUR)}]},
            "closed[0].closed_at",
        ),
        (
            {"closed": [{"closed_at": stamp(HOUR), "reopened_at": stamp(HOUR + 9 * HOUR_MS)}]},
            "closed[0].reopened_at",
        ),
        (
            {
                "closed": [{"closed_at": stamp(HOUR), "reopened_at": stamp(HOUR + 9)}],
                "pauses": [{"paused_at": stamp(HOUR + 8), "reason": 1}],
            },
            "closed[0]",
        ),
        (
            {"closed": [{"closed_at": stamp(HOUR), "reopened_at": stamp(HOUR + 9)}] * 2},
            "closed[1]",
        ),
        (
            {"fired": [{"percent": 50, "scheduled_at": stamp(HOUR), "fired_at": stamp(HOUR)}]},
            "fired[0].phase",
        ),
        ({"fired": [{"phase": 1, "scheduled_at": stamp(HOUR), "fired_at": stamp(HOUR)}]}, "fired[0].percent"),
        ({"fired": [{"phase": 1, "percent": 50, "fired_at": stamp(HOUR)}]}, "fired[0].scheduled_at"),
        ({"fired": [{"phase": 1, "percent": 50, "scheduled_at": stamp(HOUR)}]}, "fired[0].fired_at"),
        (
            {
                "fired": [
                    {"phase": 1, "clock": "resolution", "percent": 50, "scheduled_at": stamp(HOUR)}
                    | {"fired_at": stamp(HOUR)}
                ]
            },
            "fired[0].phase",
        ),
        ({"facts": [{"at": stamp(HOUR), "kind": 5, "clock": "response", "met": False}]}, "facts[0].met"),
        (
            {"fired": [{"phase": 1, "percent": 50, "scheduled_at": stamp(HOUR), "retractions": -1}]},
            "fired[0].retractions",
        ),
        (
            {"fired": [{"phase": 1, "percent": 50, "scheduled_at": stamp(HOUR), "retractions": 1}] * 2},
            "fired[1].percent",
        ),
        (
            {"fired": [{"phase": 1, "percent": 5, "scheduled_at": stamp(0), "fired_at": stamp(HOUR)}]},
            "fired[0].scheduled_at",
        ),
        (
            {"fired": [{"phase": 1, "percent": 5, "scheduled_at": stamp(HOUR), "fired_at": stamp(HOUR * 2)}]},
            "fired[0].fired_at",
        ),
        (
            {"fired": [{"phase": 1, "percent": 5, "scheduled_at": stamp(HOUR), "retractions": 1}] * 1001},
            "fired",
        ),
    ],
)
async def test_a_wrong_row_is_refused_by_its_field(
    tmp_path: Path, fields: dict[str, Any], field: str
) -> None:
    row = rpc.SlaTrackingImport(start=start_request(started_at=stamp(MONDAY_9)), **fields)
    async with slad_running(tmp_path, now=MONDAY_9 + 3 * HOUR_MS) as slad:
        reply = await imported(slad, [row])
        assert [rejected.field for rejected in reply.rejected] == [field]
        assert not await exported(slad)


async def test_a_status_says_by_which_zone_it_counts(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        assert (await slad.start("berlin", schedule=BERLIN)).status.timezone == "Europe/Berlin"
        always = await slad.start(
            "always", targets=[pb.SlaPolicyTarget(response_time_minutes=5, is_24x7=True)]
        )
        assert always.status.timezone == ""


async def test_a_timeline_may_look_ahead(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(hours=1)
        until = at("2026-03-03T12:00:00Z")
        request = rpc.GetSlaTimelineRequest(ticket_id="T-1", until=stamp(until))
        ahead = await slad.backend.GetSlaTimeline(request)
        kinds = [
            (segment.kind, segment.from_time.ToJsonString(), segment.to_time.ToJsonString())
            for segment in ahead.segments
        ]
        assert kinds == [
            (1, "2026-03-02T09:00:00Z", "2026-03-02T17:00:00Z"),
            (3, "2026-03-02T17:00:00Z", "2026-03-03T09:00:00Z"),
            (1, "2026-03-03T09:00:00Z", "2026-03-03T12:00:00Z"),
        ]
        assert ahead.status.as_of == stamp(slad.now), "the status is that of now"
        request.until.CopyFrom(stamp(MONDAY_9))
        behind = await slad.backend.GetSlaTimeline(request)
        assert [s.to_time for s in behind.segments] == [stamp(slad.now)]
