"""RetargetSlaTrackings (M9): many live trackings at once, each as by RetargetSla, or only thought of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.core.tickets import at
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refusal, slad_running, stamp, target


def book(
    schedule_id: str = "desk", opens: str = "09:00", *, every_hour: bool = False
) -> pb.BusinessHoursSchedule:
    made = pb.BusinessHoursSchedule()
    made.CopyFrom(OFFICE)
    made.schedule_id = schedule_id
    made.is_24x7 = every_hour
    for entry in made.entries:
        entry.start_time = opens
    return made


def by_schedule(schedule_id: str = "desk") -> rpc.SlaTrackingSelection:
    return rpc.SlaTrackingSelection(schedule_id=schedule_id)


class Told:
    """What a call told, all messages put together."""

    def __init__(self, replies: list[rpc.RetargetSlaTrackingsResponse]) -> None:
        self.progress = [(reply.done, reply.total) for reply in replies]
        self.differences = [difference for reply in replies for difference in reply.differences]
        self.refused = [(r.ticket_id, r.reason) for reply in replies for r in reply.refused]

    @property
    def due(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(minutes from Monday at nine, before and after) by ticket and clock."""
        return {
            (d.ticket_id, d.clock): (
                (d.due_before.ToMilliseconds() - MONDAY_9) // MINUTE_MS,
                (d.due_after.ToMilliseconds() - MONDAY_9) // MINUTE_MS,
            )
            for d in self.differences
        }


async def retarget(slad: Slad, which: rpc.SlaTrackingSelection, **what: Any) -> Told:
    request = rpc.RetargetSlaTrackingsRequest(**({"tenant_id": "acme", "which": which} | what))
    return Told([reply async for reply in slad.backend.RetargetSlaTrackings(request)])


async def dues(slad: Slad, *tickets: str) -> list[int]:
    """Minutes from Monday at nine until the resolution is due."""
    found = []
    for ticket in tickets:
        request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=ticket)
        clock = (await slad.backend.GetSlaStatus(request)).status.resolution
        found.append((clock.due_at.ToMilliseconds() - MONDAY_9) // MINUTE_MS)
    return found


async def desk(slad: Slad, count: int = 3) -> list[str]:
    tickets = [f"T-{number}" for number in range(1, count + 1)]
    for ticket in tickets:
        await slad.start(ticket, schedule=book(), targets=[target(None, 600, (0, 0, 0))])
    return tickets


async def test_an_edited_calendar_moves_the_deadlines_of_its_tickets_and_no_others(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        tickets = await desk(slad)
        await slad.start("other", schedule=book("other"), targets=[target(None, 600)])
        await slad.start("elsewhere", schedule=book(), targets=[target(None, 600)], tenant_id="umbrella")
        await slad.start(
            "always", targets=[pb.SlaPolicyTarget(resolution_time_minutes=600, is_24x7=True)], schedule=book()
        )
        told = await retarget(slad, by_schedule(), schedule=book(opens="08:00"))
        # On Tuesday it opens an hour earlier.
        assert await dues(slad, *tickets) == [26 * 60 - 60] * 3
        assert await dues(slad, "other", "always") == [26 * 60, 600]
        assert told.due == {(ticket, "resolution"): (26 * 60, 25 * 60) for ticket in tickets}
        assert told.progress == [(0, 3), (3, 3)]
        again = await retarget(slad, by_schedule(), schedule=book(opens="08:00"))
        assert again.differences == []
        events = [event for event in await slad.events() if event.type == pb.SLA_EVENT_TYPE_RETARGETED]
        assert sorted(event.ticket_id for event in events) == tickets


async def test_a_dry_run_tells_the_same_and_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        tickets = await desk(slad)
        await slad.advance(hours=3)
        before = await slad.events()
        what = {
            "schedule": book(opens="08:00"),
            "targets": [target(None, 300)],
            "notification_thresholds": [40],
        }
        thought = await retarget(slad, by_schedule(), dry_run=True, **what)
        assert await slad.events() == before
        assert await dues(slad, *tickets) == [26 * 60] * 3
        done = await retarget(slad, by_schedule(), **what)
        assert done.differences == thought.differences
        assert done.progress == thought.progress
        assert [list(d.fired) for d in done.differences] == [[40]] * 3


async def test_what_is_absent_stays(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await desk(slad, 1)
        await retarget(slad, rpc.SlaTrackingSelection(policy_id="gold"), policy_id="silver")
        request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="T-1")
        status = (await slad.backend.GetSlaStatus(request)).status
        assert status.policy_id == "silver"
        assert [t.percent for t in status.resolution.thresholds] == [50, 75, 90, 100]
        assert await dues(slad, "T-1") == [26 * 60]
        await retarget(slad, rpc.SlaTrackingSelection(policy_id="silver"), targets=[target(None, 60)])
        assert await dues(slad, "T-1") == [60]
        told = await retarget(
            slad, rpc.SlaTrackingSelection(ticket_ids=["T-1", "T-2"]), schedule=book(every_hour=True)
        )
        assert told.differences == []
        told = await retarget(slad, by_schedule(), targets=[target(None, 600)])
        assert told.due == {("T-1", "resolution"): (60, 600)}, (
            "it counts by the schedule still, which is 24x7"
        )


async def test_each_tracking_gets_the_target_of_its_priority(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for ticket, priority in (("T-1", "high"), ("T-2", "low"), ("T-3", "")):
            await slad.start(ticket, targets=[target(None, 600)], priority_id=priority)
        targets = [
            pb.SlaPolicyTarget(priority_id="high", resolution_time_minutes=60),
            pb.SlaPolicyTarget(priority_id="low", resolution_time_minutes=120),
        ]
        told = await retarget(slad, rpc.SlaTrackingSelection(policy_id="gold"), targets=targets)
        assert await dues(slad, "T-1", "T-2", "T-3") == [60, 120, 26 * 60]
        assert told.refused == [("T-3", "NO_TARGET")]


async def test_what_fired_is_treated_as_by_a_retarget(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(
            "T-1", schedule=book(), targets=[target(None, 100, (0, 0, 0))], notification_thresholds=[50]
        )
        await slad.advance(minutes=60)
        told = await retarget(slad, by_schedule(), targets=[target(None, 400, (0, 0, 0))])
        assert [list(d.retracted) for d in told.differences] == [[50]]
        told = await retarget(slad, by_schedule(), targets=[target(None, 60, (0, 0, 0))], suppress_past=True)
        assert [list(d.fired) for d in told.differences] == [[50, 100]]
        types = [event.type for event in await slad.events()]
        assert types.count(pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED) == 1
        assert types.count(pb.SLA_EVENT_TYPE_THRESHOLD_REACHED) == 1, "silently"


async def test_a_request_id_tells_the_same_again_and_is_not_used_twice(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await desk(slad, 50)
        what = {"schedule": book(opens="08:00"), "request_id": "edit-1"}
        first = await retarget(slad, by_schedule(), **what)
        assert len(first.differences) == 50
        assert first.progress[-1] == (50, 50)
        await retarget(slad, rpc.SlaTrackingSelection(ticket_ids=["T-7"]), schedule=book(opens="10:00"))
        again = await retarget(slad, by_schedule(), **what)
        assert again.differences == first.differences
        assert await dues(slad, "T-7") == [28 * 60], "what came later stays"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await retarget(slad, by_schedule(), **(what | {"schedule": book(opens="07:00")}))
        assert refusal(refused.value).reason == "REQUEST_ID_REUSED"


async def test_ended_tickets_are_left_out(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await desk(slad, 2)
        await slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id="T-1"))
        for dry_run in (True, False):
            told = await retarget(
                slad,
                rpc.SlaTrackingSelection(ticket_ids=["T-1", "T-2", "unknown", "T-2"]),
                schedule=book(opens="08:00"),
                dry_run=dry_run,
            )
            assert list(told.due) == [("T-2", "resolution")]
            assert told.refused == []


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"tenant_id": ""}, "tenant_id", "REQUIRED"),
        ({"which": rpc.SlaTrackingSelection()}, "which", "NOT_ONE"),
        ({"which": rpc.SlaTrackingSelection(schedule_id="a", policy_id="b")}, "which", "NOT_ONE"),
        ({"which": rpc.SlaTrackingSelection(ticket_ids=["T-1", ""])}, "which.ticket_ids[1]", "REQUIRED"),
        ({"schedule": None}, None, "NOTHING_TO_CHANGE"),
        ({"targets": [target(0, 60)]}, "targets[0].response_time_minutes", "NOT_POSITIVE"),
        ({"targets": [target(None, None)]}, "targets[0]", "NO_TARGET"),
        ({"notification_thresholds": [0]}, "notification_thresholds[0]", "PERCENT_OUT_OF_RANGE"),
        ({"schedule": pb.BusinessHoursSchedule(timezone="Paris")}, "schedule.timezone", "UNKNOWN_TIME_ZONE"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    tmp_path: Path, fields: dict[str, Any], field: str | None, reason: str
) -> None:
    async with slad_running(tmp_path) as slad:
        await desk(slad, 1)
        what = {"schedule": book(opens="08:00"), "which": by_schedule()} | fields
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await retarget(slad, **what)
        found = refusal(caught.value)
        assert (found.fields, found.reason) == ([field] if field else [], reason)
        assert await dues(slad, "T-1") == [26 * 60]


async def test_a_deadline_past_9999_is_refused_ticket_by_ticket(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await desk(slad, 2)
        told = await retarget(slad, by_schedule(), targets=[target(None, 4_000_000_000)])
        assert told.refused == [("T-1", "DEADLINE_OUT_OF_RANGE"), ("T-2", "DEADLINE_OUT_OF_RANGE")]
        assert await dues(slad, "T-1", "T-2") == [26 * 60] * 2


async def test_a_due_date_may_be_agreed_for_many(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        tickets = await desk(slad, 2)
        agreed = pb.SlaPolicyTarget(resolution_due_at=stamp(at("2026-03-03T11:00:00Z") + HOUR_MS))
        await retarget(slad, by_schedule(), targets=[agreed])
        assert await dues(slad, *tickets) == [27 * 60] * 2


async def test_a_named_clock_that_counts_by_the_schedule_is_found_and_alone_is_changed(
    tmp_path: Path,
) -> None:
    own = pb.SlaClockTerms(name="ola", kind=pb.SLA_CLOCK_KIND_FROM_START, target_minutes=600)
    same_hours, own_id = pb.SlaClockTerms(), pb.SlaClockTerms()
    for clock, schedule in ((same_hours, book("other")), (own_id, book("team"))):
        clock.MergeFrom(own)
        clock.schedule.CopyFrom(schedule)
    follows = pb.SlaClockTerms(name="updates", kind=pb.SLA_CLOCK_KIND_FROM_START, target_minutes=600)
    targets = [target(None, 600, (0, 0, 0))]
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1", schedule=book(), targets=targets, clocks=[own_id, follows])
        await slad.start("T-2", schedule=book(), targets=targets, clocks=[same_hours])
        await slad.start("T-3", schedule=book("team"), targets=targets, clocks=[own_id])
        always = [pb.SlaPolicyTarget(resolution_time_minutes=600, is_24x7=True)]
        await slad.start("T-4", targets=always, clocks=[own_id])
        what = {"schedule": book("team", opens="08:00")}
        thought = await retarget(slad, by_schedule("team"), dry_run=True, **what)
        told = await retarget(slad, by_schedule("team"), **what)
        assert told.differences == thought.differences
        earlier = (26 * 60, 25 * 60)
        assert told.due == {
            ("T-1", "ola"): earlier,
            ("T-3", "resolution"): earlier,
            ("T-3", "ola"): earlier,
            ("T-4", "ola"): earlier,
        }
        # The next edit finds the same ones.
        again = await retarget(slad, by_schedule("team"), schedule=book("team"))
        assert set(again.due) == set(told.due)
        # A clock with a schedule of its own does not follow that of its ticket, be they alike.
        moved = await retarget(slad, by_schedule(), schedule=book(opens="08:00"))
        followed = [("T-1", "resolution"), ("T-1", "updates"), ("T-2", "resolution")]
        assert moved.due == dict.fromkeys(followed, earlier)


async def test_what_a_schedule_is_called_is_exported_with_the_clock_that_counts_by_it(tmp_path: Path) -> None:
    clock = pb.SlaClockTerms(
        name="ola", kind=pb.SLA_CLOCK_KIND_FROM_START, target_minutes=600, schedule=book("team")
    )
    every_hour = pb.SlaClockTerms(name="always", kind=pb.SLA_CLOCK_KIND_FROM_START, target_minutes=60)
    every_hour.schedule.CopyFrom(book("round-the-clock", every_hour=True))
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1", schedule=book("other"), clocks=[clock, every_hour])
        replies = slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest())
        (row,) = [row async for reply in replies for row in reply.trackings]
        assert [c.schedule.schedule_id for c in row.start.clocks] == ["team", "round-the-clock"]
        await slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id="T-1"))
        await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest(trackings=[row])]))
        told = await retarget(slad, by_schedule("team"), schedule=book("team", opens="08:00"), dry_run=True)
        assert list(told.due) == [("T-1", "ola")]
