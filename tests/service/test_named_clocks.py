"""Named clocks through the wire, rule by rule (K1–K9), and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MINUTE_MS
from tests.slad_under_test import MONDAY_9, Slad, refused, slad_running, stamp, told

IDS = {"tenant_id": "acme", "ticket_id": "T-1"}

NEXT_REPLY = pb.SlaClockTerms(name="next-reply", kind=pb.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=60)
UPDATES = pb.SlaClockTerms(name="updates", kind=pb.SLA_CLOCK_KIND_PERIODIC_UPDATE, target_minutes=120)
WORKAROUND = pb.SlaClockTerms(name="workaround", kind=pb.SLA_CLOCK_KIND_FROM_START, target_minutes=180)
LEVEL_2 = pb.SlaClockTerms(
    name="level-2", kind=pb.SLA_CLOCK_KIND_OWNERSHIP, target_minutes=60, owner="team-b", is_24x7=True
)


async def message(slad: Slad, sender: str, **fields: Any) -> rpc.RecordSlaMessageResponse:
    kind = pb.SlaMessageSender.Value(f"SLA_MESSAGE_SENDER_{sender}")
    return await slad.backend.RecordSlaMessage(rpc.RecordSlaMessageRequest(**IDS, sender=kind, **fields))


async def assign(slad: Slad, owner: str, **fields: Any) -> rpc.AssignSlaResponse:
    return await slad.backend.AssignSla(rpc.AssignSlaRequest(**IDS, owner=owner, **fields))


async def complete(slad: Slad, clock: str, **fields: Any) -> rpc.CompleteSlaResponse:
    return await slad.backend.CompleteSla(rpc.CompleteSlaRequest(**IDS, clock=clock, **fields))


def clock(status: pb.SlaStatus, name: str) -> pb.SlaClockStatus:
    return next(clock for clock in status.clocks if clock.name == name)


def later(minutes: int, ms: int = 0) -> Any:
    return stamp(MONDAY_9 + minutes * MINUTE_MS + ms)


async def test_k2_next_reply_counts_from_the_oldest_unanswered_message(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[NEXT_REPLY])
        assert not (await message(slad, "CUSTOMER")).changed, "the first answer is still owed"
        await slad.advance(minutes=10)
        first = await message(slad, "AGENT")
        assert first.changed
        assert first.status.response.completed_at == later(10), "an agent's message is the response"
        await slad.advance(minutes=10)
        await message(slad, "CUSTOMER")
        await slad.advance(minutes=20)
        again = await message(slad, "CUSTOMER")
        assert not again.changed, "it counts from the oldest"
        await slad.advance(minutes=41)
        status = (await message(slad, "AGENT")).status
        reply = clock(status, "next-reply")
        assert (reply.cycle, reply.cycles_closed, reply.cycles_missed) == (1, 1, 1)
        assert reply.opened_at == later(20)
        assert reply.status == pb.SLA_TIMER_STATUS_RESOLUTION_BREACHED
        events = [e for e in await slad.events() if e.clock == "next-reply"]
        assert [pb.SlaEventType.Name(e.type).removeprefix("SLA_EVENT_TYPE_") for e in events] == [
            "CLOCK_OPENED", *["THRESHOLD_REACHED"] * 4, "CLOCK_CLOSED"
        ]  # fmt: skip
        assert {e.cycle_opened_at.ToMilliseconds() for e in events} == {MONDAY_9 + 20 * MINUTE_MS}
        assert not events[-1].met


async def test_k2_updates_are_owed_again_after_each_message(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[UPDATES])
        await slad.advance(minutes=30)
        assert clock((await message(slad, "AGENT")).status, "updates").cycle == 2
        await slad.advance(minutes=121)
        status = (await message(slad, "AGENT")).status
        updates = clock(status, "updates")
        assert (updates.cycle, updates.cycles_met, updates.cycles_missed) == (3, 1, 1)


async def test_k2_ownership_counts_while_the_owner_is_the_one(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[LEVEL_2])
        assert (await assign(slad, "team-a")).changed
        assert clock((await assign(slad, "team-a")).status, "level-2").cycle == 0
        await slad.advance(minutes=5)
        taken = await assign(slad, "team-b")
        assert taken.status.owner == "team-b"
        assert clock(taken.status, "level-2").opened_at == later(5)
        await slad.advance(minutes=20)
        given_back = clock((await assign(slad, "")).status, "level-2")
        assert (given_back.cycles_met, given_back.clock.elapsed.seconds) == (1, 20 * 60)
        owners = [e.owner for e in await slad.events() if e.type == pb.SLA_EVENT_TYPE_OWNER_CHANGED]
        assert owners == ["team-a", "team-b", ""]


async def test_k3_a_late_completion_hears_of_the_cycle_that_it_closes(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[NEXT_REPLY])
        await message(slad, "AGENT")
        await slad.advance(minutes=10)
        await message(slad, "CUSTOMER")
        await slad.advance(minutes=61)
        await message(slad, "AGENT")
        await message(slad, "CUSTOMER")
        await slad.advance(minutes=10)
        await message(slad, "AGENT")
        none = await complete(slad, "next-reply", effective_at=later(9), met=False)
        assert (none.changed, none.met, none.met_differs) == (False, True, False), "no cycle had opened"
        missed = await complete(slad, "next-reply", effective_at=later(70, ms=1), met=True)
        assert (missed.changed, missed.met, missed.met_differs) == (True, False, True)
        in_time = await complete(slad, "next-reply", effective_at=later(70), met=False)
        assert (in_time.changed, in_time.met, in_time.met_differs) == (True, True, True)
        second = await complete(slad, "next-reply", met=False)
        assert (second.changed, second.met, second.met_differs) == (False, True, True)


async def test_k3_a_discarded_cycle_has_no_verdict_and_a_resolution_judges_the_rest(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[NEXT_REPLY, UPDATES, WORKAROUND])
        await message(slad, "AGENT")
        await slad.advance(minutes=1)
        await message(slad, "CUSTOMER")
        dropped = await complete(slad, "next-reply", discard=True)
        assert dropped.changed
        assert clock(dropped.status, "next-reply").cycles_closed == 1
        assert clock(dropped.status, "next-reply").cycles_met == 0
        assert not (await complete(slad, "next-reply")).changed, "no cycle is open"
        await slad.advance(minutes=200)
        solved = (await complete(slad, "resolution")).status
        assert clock(solved, "workaround").cycles_missed == 1
        assert clock(solved, "updates").cycles_missed == 1
        assert solved.state == pb.SLA_TRACKING_STATE_COMPLETED


async def test_k4_a_late_fact_retracts_the_cycle_that_never_was(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[NEXT_REPLY])
        await message(slad, "AGENT")
        await slad.advance(minutes=10)
        await message(slad, "CUSTOMER")
        await slad.advance(minutes=50)
        before = await slad.events()
        # It had been opened by an earlier message, of which slad hears only now.
        moved = await message(slad, "CUSTOMER", effective_at=later(5))
        assert clock(moved.status, "next-reply").opened_at == later(5)
        new = (await slad.events())[len(before) :]
        kinds = [pb.SlaEventType.Name(e.type).removeprefix("SLA_EVENT_TYPE_") for e in new]
        assert "CLOCK_RETRACTED" in kinds
        assert "CLOCK_OPENED" in kinds
        retracted = [e for e in new if e.type == pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED]
        assert {e.cycle_opened_at.ToMilliseconds() for e in retracted} == {MONDAY_9 + 10 * MINUTE_MS}


async def test_k5_a_clock_heeds_the_reasons_that_it_names(tmp_path: Path) -> None:
    vendor = pb.SlaClockTerms(paused_by=pb.SlaPausedBy(reasons=["vendor"]))
    vendor.MergeFrom(WORKAROUND)
    never = pb.SlaClockTerms(name="resolution", paused_by=pb.SlaPausedBy(never=True))
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[vendor, never])

        async def pause(code: str) -> pb.SlaStatus:
            request = rpc.PauseSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_OTHER, reason_code=code)
            return (await slad.backend.PauseSla(request)).status

        await pause("freeze")
        await slad.advance(minutes=30)
        status = await pause("vendor")
        assert list(status.pause_reasons) == ["freeze", "vendor"]
        assert status.pause_reason == pb.SLA_PAUSE_REASON_OTHER
        assert clock(status, "workaround").is_paused
        assert not clock(status, "resolution").is_paused
        await slad.advance(minutes=30)
        request = rpc.ResumeSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_OTHER, reason_code="freeze")
        status = (await slad.backend.ResumeSla(request)).status
        assert status.is_paused
        assert not (await slad.backend.ResumeSla(request)).changed, "it is not held any more"
        elapsed = {clock.name: clock.clock.elapsed.seconds // 60 for clock in status.clocks}
        assert elapsed == {"response": 0, "resolution": 60, "workaround": 30}
        kinds = [event for event in told(await slad.events()) if "PAUSE" in event]
        assert kinds == ["PAUSED", "PAUSE_CHANGED", "PAUSE_CHANGED"]


async def test_k7_a_response_may_lapse_without_a_verdict(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(response_on_resolution=pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED)
        status = (await complete(slad, "resolution")).status
        assert not status.response.HasField("completed_at")
        assert not status.response.HasField("met")
        assert not status.HasField("response_remaining_minutes"), "it is closed all the same"


async def test_k8_a_timeline_can_be_asked_of_one_clock(tmp_path: Path) -> None:
    heeds_vendor = pb.SlaClockTerms(paused_by=pb.SlaPausedBy(reasons=["vendor"]))
    heeds_vendor.MergeFrom(LEVEL_2)
    async with slad_running(tmp_path) as slad:
        await slad.start(clocks=[heeds_vendor])
        await slad.advance(minutes=10)
        await assign(slad, "team-b")
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE))
        await slad.advance(minutes=10)
        vendor = {"reason": pb.SLA_PAUSE_REASON_OTHER, "reason_code": "vendor"}
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, **vendor))
        await slad.advance(minutes=5)
        await assign(slad, "")
        await slad.advance(minutes=5)

        async def segments(clock: str) -> list[tuple[str, str, int]]:
            request = rpc.GetSlaTimelineRequest(**IDS, clock=clock)
            reply = await slad.backend.GetSlaTimeline(request)
            return [
                (
                    pb.SlaTimelineKind.Name(segment.kind).removeprefix("SLA_TIMELINE_KIND_"),
                    segment.cause,
                    (segment.to_time.ToMilliseconds() - segment.from_time.ToMilliseconds()) // MINUTE_MS,
                )
                for segment in reply.segments
            ]

        assert await segments("level-2") == [
            ("CLOSED", "no open cycle", 10),
            ("COUNTED", "", 10),
            ("PAUSED", "paused: vendor", 5),
            ("CLOSED", "no open cycle", 5),
        ]
        assert await segments("resolution") == [("COUNTED", "", 10), ("PAUSED", "paused: status", 20)]
        unknown = await refused(segments("nobody"))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "CLOCK_NOT_FOUND")


async def test_k9_a_retarget_keeps_clocks_by_their_name(tmp_path: Path) -> None:
    longer = pb.SlaClockTerms(target_minutes=600)
    longer.MergeFrom(pb.SlaClockTerms(name="updates", kind=pb.SLA_CLOCK_KIND_PERIODIC_UPDATE))
    async with slad_running(tmp_path) as slad:
        begun = await slad.start(clocks=[UPDATES, WORKAROUND])
        await slad.advance(minutes=100)
        before = await slad.events()
        request = rpc.RetargetSlaRequest(**IDS, policy_id="gold", clocks=[longer, NEXT_REPLY])
        request.targets.add(response_time_minutes=60, resolution_time_minutes=240, is_24x7=True)
        status = (await slad.backend.RetargetSla(request)).status
        assert begun.status.clocks
        assert [clock.name for clock in status.clocks] == ["response", "resolution", "updates", "next-reply"]
        new = {(pb.SlaEventType.Name(e.type), e.clock) for e in (await slad.events())[len(before) :]}
        assert ("SLA_EVENT_TYPE_THRESHOLD_RETRACTED", "updates") in new
        assert ("SLA_EVENT_TYPE_CLOCK_CLOSED", "workaround") in new


async def test_export_and_import_carry_every_clock(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "a") as slad:
        await slad.start(clocks=[NEXT_REPLY, UPDATES, LEVEL_2, WORKAROUND])
        await message(slad, "AGENT")
        await assign(slad, "team-b")
        await slad.advance(minutes=10)
        await message(slad, "CUSTOMER")
        await complete(slad, "workaround", met=True)
        for code in ("freeze", "vendor"):
            await slad.backend.PauseSla(
                rpc.PauseSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_OTHER, reason_code=code)
            )
            await slad.advance(minutes=5)
        await slad.backend.ResumeSla(
            rpc.ResumeSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_OTHER, reason_code="freeze")
        )
        await slad.advance(minutes=50)
        here = (await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**IDS))).status
        rows = [row async for reply in slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest())
                for row in reply.trackings]  # fmt: skip
        now = slad.now
    async with slad_running(tmp_path / "b", now=now) as slad:
        reply = await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest(trackings=rows)]))
        assert reply.created == 1
        there = (await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**IDS))).status
        assert there == here
        assert [e for e in told(await slad.events()) if "REACHED" in e] == [], "what was announced stays so"
        # A list that says nothing of clocks leaves them as they are.
        for row in rows:
            del row.start.clocks[:]
            del row.facts[:]
        requests = [rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", trackings=rows)]
        assert not (await slad.backend.ReconcileSlaTrackings(iter(requests))).differences


BAD_CLOCKS = [
    (pb.SlaClockTerms(name="Next", kind=4, target_minutes=1), "name", "MALFORMED_NAME"),
    (pb.SlaClockTerms(kind=4, target_minutes=1), "name", "REQUIRED"),
    (pb.SlaClockTerms(name="a", target_minutes=1), "kind", "REQUIRED"),
    (pb.SlaClockTerms(name="a", kind=99, target_minutes=1), "kind", "UNKNOWN_ENUM_VALUE"),
    (pb.SlaClockTerms(name="a", kind=1, target_minutes=1), "kind", "NOT_FOR_THIS_CLOCK"),
    (pb.SlaClockTerms(name="response", kind=3), "kind", "NOT_FOR_THIS_CLOCK"),
    (pb.SlaClockTerms(name="a", kind=4), "target_minutes", "NOT_POSITIVE"),
    (pb.SlaClockTerms(name="a", kind=4, target_minutes=1, owner="x"), "owner", "NOT_FOR_THIS_CLOCK"),
    (pb.SlaClockTerms(name="a", kind=4, target_minutes=10**12), "target_minutes", "DEADLINE_OUT_OF_RANGE"),
    (
        pb.SlaClockTerms(name="a", kind=4, target_minutes=1, notification_thresholds=[0]),
        "notification_thresholds[0]",
        "PERCENT_OUT_OF_RANGE",
    ),
    (
        pb.SlaClockTerms(name="a", kind=4, target_minutes=1, escalation_2_percent=1001),
        "escalation_2_percent",
        "PERCENT_OUT_OF_RANGE",
    ),
    (
        pb.SlaClockTerms(name="a", kind=4, target_minutes=1, paused_by=pb.SlaPausedBy()),
        "paused_by",
        "CONTRADICTORY",
    ),
    (
        pb.SlaClockTerms(name="a", kind=4, target_minutes=1, paused_by=pb.SlaPausedBy(reasons=[""])),
        "paused_by.reasons[0]",
        "REQUIRED",
    ),
    (
        pb.SlaClockTerms(
            name="a", kind=4, target_minutes=1, schedule=pb.BusinessHoursSchedule(timezone="Mars")
        ),
        "schedule.timezone",
        "UNKNOWN_TIME_ZONE",
    ),
]


@pytest.mark.parametrize(("terms", "field", "reason"), BAD_CLOCKS)
async def test_a_clock_that_is_none_is_refused(
    tmp_path: Path, terms: pb.SlaClockTerms, field: str, reason: str
) -> None:
    async with slad_running(tmp_path) as slad:
        refusal = await refused(slad.start(clocks=[WORKAROUND, terms]))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert refusal.fields == [f"clocks[1].{field}"]
        assert await slad.events() == []


async def test_bad_input_about_clocks_names_its_field_and_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        many = [pb.SlaClockTerms(name=f"c{i}", kind=3, target_minutes=1) for i in range(17)]
        assert (await refused(slad.start(clocks=many))).reason == "TOO_MANY"
        assert (await refused(slad.start(clocks=[UPDATES, UPDATES]))).fields == ["clocks[1].name"]
        await slad.start(clocks=[NEXT_REPLY])
        before = await slad.events()
        unknown = await refused(complete(slad, "workaround"))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "CLOCK_NOT_FOUND")
        assert not (await complete(slad, "next-reply")).changed, "no cycle is open"
        assert (await refused(complete(slad, "resolution", discard=True))).fields == ["discard"]
        both = complete(slad, "response", phase=pb.SLA_PHASE_RESOLUTION)
        assert (await refused(both)).reason == "CONTRADICTORY"
        early = message(slad, "CUSTOMER", effective_at=later(-1))
        assert (await refused(early)).reason == "BEFORE_START"
        assert (await refused(message(slad, "UNSPECIFIED"))).fields == ["sender"]
        pause = rpc.PauseSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_OTHER)
        assert (await refused(slad.backend.PauseSla(pause))).fields == ["reason_code"]
        pause = rpc.PauseSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, reason_code="x")
        assert (await refused(slad.backend.PauseSla(pause))).reason == "NOT_FOR_THIS_REASON"
        resume = rpc.ResumeSlaRequest(**IDS, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
        assert not (await slad.backend.ResumeSla(resume)).changed
        assert await slad.events() == before
