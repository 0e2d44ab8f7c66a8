"""Rules A1 to A7: the ledger, reports on it, annotations and forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import attainment_pb2 as pb
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as types

from slad.config.settings import LedgerSettings
from tests.core.tickets import at
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target

MARCH = at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z")
MINUTE = 60_000
REPLY = types.SlaClockTerms(name="reply", kind=types.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=30)


def asked(kind: Any, **fields: Any) -> Any:
    """A request about March, of the tenant of the tests."""
    from_ms, to_ms = fields.pop("period", MARCH)
    as_of = fields.pop("as_of", None)
    request = kind(**{"tenant_id": "acme"} | fields)
    request.from_time.FromMilliseconds(from_ms)
    request.to_time.FromMilliseconds(to_ms)
    if as_of is not None:
        request.as_of.FromMilliseconds(as_of)
    return request


async def report(slad: Slad, **fields: Any) -> pb.ReportSlaResponse:
    return await slad.backend.ReportSla(asked(pb.ReportSlaRequest, **fields))


async def unfolded(slad: Slad, **fields: Any) -> list[pb.SlaLedgerEntry]:
    replies = slad.backend.UnfoldSlaReport(asked(pb.UnfoldSlaReportRequest, **fields))
    return [entry async for reply in replies for entry in reply.entries]


async def complete(slad: Slad, ticket: str = "T-1", phase: int = 2, **fields: Any) -> None:
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id=ticket, phase=phase, **fields))


async def wrote(slad: Slad, sender: int, ticket: str = "T-1", **fields: Any) -> None:
    request = rpc.RecordSlaMessageRequest(ticket_id=ticket, sender=sender, **fields)
    await slad.backend.RecordSlaMessage(request)


async def annotate(slad: Slad, **fields: Any) -> bool:
    defaults = {"ticket_id": "T-1", "clock": "resolution"}
    reply = await slad.backend.AnnotateSla(pb.AnnotateSlaRequest(**defaults | fields))
    return bool(reply.changed)


def counts(row: pb.SlaReportRow) -> tuple[int, ...]:
    return (row.met, row.missed, row.missed_excused, row.none, row.open_overdue, row.open_in_time)


def rows(reply: pb.ReportSlaResponse) -> dict[tuple[str, ...], tuple[int, ...]]:
    return {tuple(row.group): counts(row) for row in reply.rows}


def verdict(entry: pb.SlaLedgerEntry) -> str:
    return pb.SlaVerdict.Name(entry.verdict).removeprefix("SLA_VERDICT_")


def told(entries: list[pb.SlaLedgerEntry]) -> list[tuple[Any, ...]]:
    return [(e.ticket_id, e.generation, e.clock, e.cycle, verdict(e), e.revision) for e in entries]


async def test_a_report_counts_what_was_kept_missed_and_is_open(tmp_path: Path, engine: str) -> None:
    async with slad_running(tmp_path) as slad:
        for ticket in ("kept", "late", "cancelled", "overdue"):
            await slad.start(ticket, targets=[target(None, 60)])
        await slad.start("ahead", targets=[target(None, 600)])
        assert counts((await report(slad)).total) == (0, 0, 0, 0, 0, 5)
        await slad.advance(minutes=30)
        await complete(slad, "kept")
        await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="cancelled"))
        await slad.advance(minutes=60)
        await complete(slad, "late")
        reply = await report(slad)
        assert counts(reply.total) == (1, 1, 0, 1, 1, 1)
        assert reply.total.attainment == 0.5
        assert reply.total.attainment_with_open == pytest.approx(1 / 3)
        assert reply.total.elapsed_p50.ToMilliseconds() == 30 * MINUTE
        assert reply.total.elapsed_p90.ToMilliseconds() == 90 * MINUTE
        assert reply.total.elapsed_max.ToMilliseconds() == 90 * MINUTE
        assert reply.as_of.ToMilliseconds() == slad.now
        assert not reply.rows


async def test_a_rate_of_nothing_is_absent(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)])
        await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="T-1"))
        total = (await report(slad)).total
        assert counts(total) == (0, 0, 0, 1, 0, 0)
        for name in (
            "attainment",
            "attainment_with_open",
            "attainment_excused",
            "paused_share",
            "elapsed_p50",
        ):
            assert not total.HasField(name), name
        assert counts((await report(slad, tenant_id="nobody")).total) == (0, 0, 0, 0, 0, 0)


async def test_a_cycle_that_ends_at_its_deadline_is_met_and_one_a_moment_later_is_not(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("in-time", targets=[target(None, 60)])
        await slad.start("late", targets=[target(None, 60)])
        await slad.advance(minutes=60)
        await complete(slad, "in-time")
        await slad.advance(ms=1)
        await complete(slad, "late")
        assert [e.ticket_id for e in await unfolded(slad, figures=[pb.SLA_FIGURE_MET])] == ["in-time"]


async def test_what_changes_a_closed_cycle_adds_a_revision(tmp_path: Path, engine: str) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)])
        await slad.advance(minutes=90)
        await complete(slad, phase=1)
        (response, _) = await unfolded(slad)
        assert (verdict(response), response.revision) == ("MISSED", 1)
        before = await report(slad)
        await slad.advance(minutes=1)
        # It was given after 30 minutes; slad hears of it late (M6).
        await complete(slad, phase=1, effective_at=stamp(MONDAY_9 + 30 * MINUTE))
        response = (await unfolded(slad))[0]
        assert (verdict(response), response.revision) == ("MET", 2)
        assert response.elapsed.ToMilliseconds() == 30 * MINUTE
        await slad.backend.RetargetSla(
            rpc.RetargetSlaRequest(ticket_id="T-1", targets=[target(20, 240)], schedule=_office())
        )
        response = (await unfolded(slad))[0]
        assert (verdict(response), response.revision) == ("MISSED", 3)
        assert response.target.ToMilliseconds() == 20 * MINUTE
        again = await report(slad, as_of=before.as_of.ToMilliseconds())
        assert again.SerializeToString(deterministic=True) == before.SerializeToString(deterministic=True)


def _office() -> types.BusinessHoursSchedule:
    schedule = types.BusinessHoursSchedule(timezone="UTC")
    for day in range(1, 6):
        schedule.entries.add(day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True)
    return schedule


async def test_the_example_of_the_rules(tmp_path: Path) -> None:
    """The table of docs/semantics.md."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)])
        await slad.advance(minutes=30)
        await complete(slad, phase=1)
        await slad.advance(minutes=270)
        await complete(slad)
        found = {entry.clock: entry for entry in await unfolded(slad)}
        assert found["resolution"].due_at.ToMilliseconds() == MONDAY_9 + 240 * MINUTE
        await slad.advance(minutes=30)
        half = await report(slad)
        await slad.advance(minutes=30)
        await complete(slad, effective_at=stamp(MONDAY_9 + 210 * MINUTE))
        assert told(await unfolded(slad, by=pb.SLA_REPORT_BY_CLOSED)) == [
            ("T-1", 1, "response", 1, "MET", 1),
            ("T-1", 1, "resolution", 1, "MET", 2),
        ]
        assert (half.total.attainment, (await report(slad)).total.attainment) == (0.5, 1.0)
        assert await report(slad, as_of=half.as_of.ToMilliseconds()) == half


async def test_a_cycle_that_a_late_fact_removes_counts_no_more(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)], clocks=[REPLY])
        await complete(slad, phase=1)
        await slad.advance(minutes=20)
        await wrote(slad, types.SLA_MESSAGE_SENDER_CUSTOMER)
        await slad.advance(minutes=10)
        await wrote(slad, types.SLA_MESSAGE_SENDER_AGENT)
        before = await report(slad, clocks=["reply"])
        assert counts(before.total) == (1, 0, 0, 0, 0, 0)
        await slad.advance(minutes=1)
        # The ticket had been resolved before the customer wrote.
        await complete(slad, effective_at=stamp(MONDAY_9 + 10 * MINUTE))
        assert counts((await report(slad, clocks=["reply"])).total) == (0, 0, 0, 0, 0, 0)
        again = await report(slad, clocks=["reply"], as_of=before.as_of.ToMilliseconds())
        assert again == before


async def test_a_clock_that_is_taken_away_leaves_what_it_closed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)], clocks=[REPLY])
        await complete(slad, phase=1)
        for minutes, sender in ((10, 1), (10, 2), (10, 1)):
            await slad.advance(minutes=minutes)
            await wrote(slad, sender)
        await slad.backend.RetargetSla(
            rpc.RetargetSlaRequest(ticket_id="T-1", targets=[target(60, 240)], schedule=_office())
        )
        found = told(await unfolded(slad, clocks=["reply"]))
        assert found == [("T-1", 1, "reply", 1, "MET", 1), ("T-1", 1, "reply", 2, "NONE", 1)]
        await complete(slad)
        assert told(await unfolded(slad, clocks=["reply"])) == found


@pytest.mark.parametrize("mode", ["resume", "restart", "continue"])
async def test_a_promise_that_goes_on_in_the_next_generation_counts_once(tmp_path: Path, mode: str) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, 240)])
        await slad.advance(minutes=10)
        await complete(slad, phase=1)
        if mode == "continue":
            await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="T-1"))
            assert counts((await report(slad)).total) == (1, 0, 0, 1, 0, 0)
            await slad.start(targets=[target(60, 240)], on_existing=types.ON_EXISTING_CONTINUE_CANCELLED)
        else:
            await complete(slad)
            assert counts((await report(slad)).total) == (2, 0, 0, 0, 0, 0)
            await slad.advance(minutes=10)
            number = {"resume": types.REOPEN_MODE_RESUME, "restart": types.REOPEN_MODE_RESTART}[mode]
            await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=number))
        if mode == "restart":
            assert counts((await report(slad)).total) == (2, 0, 0, 0, 0, 2)
        else:
            assert counts((await report(slad)).total) == (1, 0, 0, 0, 0, 1)
            await slad.advance(minutes=300)
            await complete(slad)
            assert told(await unfolded(slad, by=pb.SLA_REPORT_BY_CLOSED)) == [
                ("T-1", 2, "response", 1, "MET", 1),
                ("T-1", 2, "resolution", 1, "MISSED", 1),
            ]


async def test_an_annotation_excuses_and_leaves_the_verdict(tmp_path: Path, engine: str) -> None:
    """An annotation never changes a verdict (A3)."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)])
        await slad.start("T-2", targets=[target(None, 60)])
        await annotate(slad, reason_code="vendor", note="part was late", excused=True)  # still open
        await slad.advance(minutes=90)
        await complete(slad)
        await complete(slad, "T-2")
        total = (await report(slad)).total
        assert counts(total) == (0, 2, 1, 0, 0, 0)
        assert (total.attainment, total.attainment_excused) == (0.0, 0.0)
        (excused,) = await unfolded(slad, figures=[pb.SLA_FIGURE_MISSED_EXCUSED])
        assert (excused.ticket_id, excused.reason_code, excused.note) == ("T-1", "vendor", "part was late")
        assert (excused.revision, verdict(excused)) == (1, "MISSED")
        assert not await annotate(slad, reason_code="vendor", note="part was late", excused=True)
        assert await annotate(slad, reason_code="ours")
        assert counts((await report(slad)).total) == (0, 2, 0, 0, 0, 0)
        assert {e.revision for e in await unfolded(slad)} == {1, 2}
        audit = (
            await slad.backend.GetSlaTimeline(rpc.GetSlaTimelineRequest(ticket_id="T-1", include_audit=True))
        ).audit
        assert [(e.command, e.note) for e in audit if e.command == "Annotate"] == [
            ("Annotate", "resolution, cycle 1: vendor, excused"),
            ("Annotate", "resolution, cycle 1: ours, not excused"),
        ]


async def test_an_open_cycle_has_the_annotation_that_was_known_then(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)])
        before = slad.now, await unfolded(slad)
        await slad.advance(minutes=1)
        await annotate(slad, reason_code="vendor")
        between = slad.now, await unfolded(slad)
        await slad.advance(minutes=1)
        terms = {"targets": [target(None, 90)], "schedule": OFFICE}
        await slad.backend.RetargetSla(rpc.RetargetSlaRequest(ticket_id="T-1", **terms))
        await annotate(slad, reason_code="ours")
        for as_of, known in (before, between):
            assert await unfolded(slad, as_of=as_of) == known
        assert [e.reason_code for _, (e,) in (before, between)] == ["", "vendor"]


async def test_what_cannot_be_annotated(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)], clocks=[REPLY])
        call = slad.backend.AnnotateSla
        for fields, code, reason in (
            ({"ticket_id": "T-9"}, grpc.StatusCode.NOT_FOUND, "TRACKING_NOT_FOUND"),
            ({"generation": 2}, grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND"),
            ({"clock": "nobody"}, grpc.StatusCode.NOT_FOUND, "CLOCK_NOT_FOUND"),
            ({"clock": "reply"}, grpc.StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND"),
            ({"cycle": 2}, grpc.StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND"),
            ({"cycle": 0}, grpc.StatusCode.INVALID_ARGUMENT, "NOT_POSITIVE"),
            ({"clock": ""}, grpc.StatusCode.INVALID_ARGUMENT, "REQUIRED"),
            ({"reason_code": "x" * 101}, grpc.StatusCode.INVALID_ARGUMENT, "TOO_LONG"),
            ({"note": "a\nb"}, grpc.StatusCode.INVALID_ARGUMENT, "NOT_PRINTABLE"),
        ):
            defaults = {"ticket_id": "T-1", "clock": "resolution"}
            refusal = await refused(call(pb.AnnotateSlaRequest(**defaults | fields)))
            assert (refusal.code, refusal.reason) == (code, reason), fields
            assert refusal.fields == list(fields), "each is named by its field"
        await complete(slad)
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=types.REOPEN_MODE_RESUME))
        taken = pb.AnnotateSlaRequest(ticket_id="T-1", clock="resolution", generation=1, excused=True)
        refusal = await refused(call(taken))
        assert refusal.reason == "GENERATION_TAKEN_OVER"
        assert (await report(slad)).total.missed == 0


async def test_an_ended_generation_of_another_promise_can_be_annotated(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 60)])
        await slad.advance(minutes=90)
        await complete(slad)
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=types.REOPEN_MODE_RESTART))
        assert await annotate(slad, generation=1, excused=True)
        assert counts((await report(slad)).total) == (0, 1, 1, 0, 0, 1)
        await complete(slad)
        assert told(await unfolded(slad, by=pb.SLA_REPORT_BY_CLOSED)) == [
            ("T-1", 1, "resolution", 1, "MISSED", 2),
            ("T-1", 2, "resolution", 1, "MET", 1),
        ]


async def test_open_time_that_pauses_took_is_told_by_reason(tmp_path: Path) -> None:
    """Each row has it, and reports sum it up (A2)."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 240)])
        await slad.advance(minutes=60)
        awaiting = types.SLA_PAUSE_REASON_AWAITING_CLIENT
        vendor = {"reason": types.SLA_PAUSE_REASON_OTHER, "reason_code": "vendor"}
        await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="T-1", reason=awaiting))
        await slad.advance(minutes=10)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="T-1", **vendor))
        await slad.advance(minutes=10)
        await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id="T-1", reason=awaiting))
        await slad.advance(minutes=20)
        await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id="T-1"))
        await slad.advance(minutes=60)
        await complete(slad)
        total = (await report(slad)).total
        assert total.elapsed.ToMilliseconds() == 120 * MINUTE
        assert total.paused.ToMilliseconds() == 40 * MINUTE
        assert total.paused_share == 0.25
        assert [(p.reason, p.paused.ToMilliseconds() // MINUTE) for p in total.paused_by] == [
            ("AWAITING_CLIENT", 20),
            ("vendor", 20),
        ], "of two at a time, the one that was held longest"
        (entry,) = await unfolded(slad)
        assert entry.paused.ToMilliseconds() == 40 * MINUTE


async def test_rows_are_told_apart_by_everything_there_is(tmp_path: Path) -> None:
    settings = {"ledger": LedgerSettings(attributes=("region",))}
    async with slad_running(tmp_path, **settings) as slad:
        await slad.start("a", targets=[target(60, 60)], attributes={"region": "north", "secret": "x"})
        await slad.start("b", targets=[target(None, 60)], policy_id="silver", attributes={"region": "south"})
        await slad.backend.AssignSla(rpc.AssignSlaRequest(ticket_id="a", owner="ada"))
        await slad.advance(minutes=30)
        await complete(slad, "a")
        keys = [pb.SLA_GROUP_KEY_POLICY, pb.SLA_GROUP_KEY_CLOCK, pb.SLA_GROUP_KEY_OWNER]
        reply = await report(slad, group_by=keys, attributes=["region"])
        assert rows(reply) == {
            ("gold", "resolution", "ada", "north"): (1, 0, 0, 0, 0, 0),
            ("gold", "response", "ada", "north"): (1, 0, 0, 0, 0, 0),
            ("silver", "resolution", "", "south"): (0, 0, 0, 0, 0, 1),
        }
        assert [tuple(row.group) for row in reply.rows] == sorted(rows(reply))
        assert counts(reply.total) == (2, 0, 0, 0, 0, 1)
        (entry, _) = await unfolded(slad, clocks=["resolution"])
        assert dict(entry.attributes) == {"region": "north"}
        chosen = await unfolded(
            slad, group_by=keys, attributes=["region"], group=["gold", "response", "ada", "north"]
        )
        assert told(chosen) == [("a", 1, "response", 1, "MET", 1)]
        refusal = await refused(report(slad, attributes=["secret"]))
        assert (refusal.reason, refusal.fields) == ("ATTRIBUTE_NOT_KEPT", ["attributes[0]"])


async def test_days_weeks_and_months_are_those_of_the_zone(tmp_path: Path) -> None:
    """Around the change of clocks in Berlin: 2026-03-29, 02:00."""
    begin = at("2026-03-28T22:30:00Z")
    async with slad_running(tmp_path, now=begin) as slad:
        for ticket in range(1, 60, 6):  # due each three hours, from 22:31 on
            await slad.start(f"T-{ticket}", targets=[_always(ticket * 30)])
        period = (at("2026-03-01T00:00:00Z"), at("2026-05-01T00:00:00Z"))
        by_day = {"group_by": [pb.SLA_GROUP_KEY_DAY], "timezone": "Europe/Berlin", "period": period}
        # Open: grouped by slad in Python.
        opened = rows(await report(slad, **by_day))
        for ticket in range(1, 60, 6):
            await complete(slad, f"T-{ticket}")
        # Closed: grouped by SQL.
        closed = rows(await report(slad, **by_day))
        assert {group: row[0] for group, row in closed.items()} == {g: row[5] for g, row in opened.items()}
        # 24:00 of the 28th is 23:00 UTC, 24:00 of the 29th is 22:00 UTC.
        assert {group[0]: row[0] for group, row in closed.items()} == {
            "2026-03-29": 8,
            "2026-03-30": 2,
        } | ({"2026-03-28": 0} if ("2026-03-28",) in closed else {})
        by_month = rows(await report(slad, **by_day | {"group_by": [pb.SLA_GROUP_KEY_MONTH]}))
        assert by_month == {("2026-03",): (10, 0, 0, 0, 0, 0)}
        by_week = rows(await report(slad, **by_day | {"group_by": [pb.SLA_GROUP_KEY_WEEK]}))
        assert {group[0]: row[0] for group, row in by_week.items()} == {"2026-W13": 8, "2026-W14": 2}
        week = by_day | {"group_by": [pb.SLA_GROUP_KEY_WEEK], "group": ["2026-W14"]}
        assert len(await unfolded(slad, **week)) == 2


def _always(minutes: int) -> types.SlaPolicyTarget:
    return types.SlaPolicyTarget(resolution_time_minutes=minutes, is_24x7=True)


async def test_a_period_takes_cycles_by_one_of_their_instants(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[_always(120)])
        await slad.advance(minutes=60)
        await complete(slad)
        for by, offset in (
            (pb.SLA_REPORT_BY_OPENED, 0),
            (pb.SLA_REPORT_BY_CLOSED, 60),
            (pb.SLA_REPORT_BY_DUE, 120),
        ):
            instant = MONDAY_9 + offset * MINUTE
            for period, met in (
                ((instant, instant + 1), 1),
                ((instant - 1, instant), 0),
                ((instant + 1, instant + 2), 0),
            ):
                assert (await report(slad, by=by, period=period)).total.met == met, (by, period)


async def test_open_cycles_belong_to_no_period_by_their_closing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[_always(120)])
        assert counts((await report(slad, by=pb.SLA_REPORT_BY_CLOSED)).total) == (0, 0, 0, 0, 0, 0)
        assert await unfolded(slad, by=pb.SLA_REPORT_BY_CLOSED) == []


async def test_what_a_report_refuses(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for fields, field, reason in (
            ({"tenant_id": ""}, "tenant_id", "REQUIRED"),
            ({"period": (MARCH[1], MARCH[0])}, "to_time", "BEFORE_FROM"),
            ({"period": (MARCH[0], MARCH[0])}, "to_time", "BEFORE_FROM"),
            ({"period": (0, at("2200-01-01T00:00:00Z"))}, "to_time", "PERIOD_TOO_LONG"),
            ({"timezone": "Europe/Pariss"}, "timezone", "UNKNOWN_TIME_ZONE"),
            ({"group_by": [99]}, "group_by[0]", "UNKNOWN_ENUM_VALUE"),
            ({"group_by": [0]}, "group_by[0]", "REQUIRED"),
            ({"by": 9}, "by", "UNKNOWN_ENUM_VALUE"),
            ({"attributes": ["region"]}, "attributes[0]", "ATTRIBUTE_NOT_KEPT"),
            ({"clocks": [""]}, "clocks[0]", "REQUIRED"),
            ({"as_of": MONDAY_9 + 1}, "as_of", "IN_THE_FUTURE"),
        ):
            refusal = await refused(report(slad, **fields))
            assert (refusal.fields, refusal.reason) == ([field], reason)
        for name in ("from_time", "to_time"):
            request = asked(pb.ReportSlaRequest)
            request.ClearField(name)
            refusal = await refused(slad.backend.ReportSla(request))
            assert (refusal.fields, refusal.reason) == ([name], "REQUIRED")
        for fields, field, reason in (
            ({"group": ["a"]}, "group", "NOT_A_GROUP"),
            ({"group_by": [pb.SLA_GROUP_KEY_DAY], "group": ["yesterday"]}, "group", "NOT_A_GROUP"),
            ({"group_by": [pb.SLA_GROUP_KEY_WEEK], "group": ["2026-10"]}, "group", "NOT_A_GROUP"),
            ({"group_by": [pb.SLA_GROUP_KEY_MONTH], "group": ["2026-13"]}, "group", "NOT_A_GROUP"),
            ({"figures": [9]}, "figures[0]", "UNKNOWN_ENUM_VALUE"),
        ):
            refusal = await refused(
                slad.backend.UnfoldSlaReport(asked(pb.UnfoldSlaReportRequest, **fields)).read()
            )
            assert (refusal.fields, refusal.reason) == ([field], reason)


async def test_a_forecast_is_exact_and_paused_clocks_stand_still(tmp_path: Path, engine: str) -> None:
    """A forecast leaves out paused clocks (A6)."""
    async with slad_running(tmp_path) as slad:
        for ticket, minutes in (("overdue", 30), ("soon", 90), ("later", 300), ("paused", 100)):
            await slad.start(ticket, targets=[target(None, minutes)])
        await slad.backend.PauseSla(
            rpc.PauseSlaRequest(ticket_id="paused", reason=types.SLA_PAUSE_REASON_AWAITING_CLIENT)
        )
        await slad.advance(minutes=60)
        request = pb.ForecastSlaRequest(tenant_id="acme", group_by=[pb.SLA_GROUP_KEY_CLOCK])
        for offset, misses in ((89, 0), (90, 1)):
            request.until.FromMilliseconds(MONDAY_9 + offset * MINUTE)
            reply = await slad.backend.ForecastSla(request)
            row = reply.total
            assert (row.overdue, row.will_miss, row.in_time, row.paused) == (1, misses, 3 - misses, 1)
            assert row.overdue_max.ToMilliseconds() == 30 * MINUTE
            assert [list(row.group) for row in reply.rows] == [["resolution"]]
            assert [cycle.ticket_id for cycle in reply.cycles] == ["overdue", "soon"][: 1 + misses]
        assert reply.cycles[0].overdue_by.ToMilliseconds() == 30 * MINUTE
        assert reply.cycles[1].due_at.ToMilliseconds() == MONDAY_9 + 90 * MINUTE
        request.until.FromMilliseconds(MONDAY_9)
        refusal = await refused(slad.backend.ForecastSla(request))
        assert (refusal.fields, refusal.reason) == (["until"], "IN_THE_PAST")


async def test_the_answer_as_of_an_instant_stays_the_same_in_real_time_too(tmp_path: Path) -> None:
    async with slad_running(tmp_path, now=None) as slad:
        await slad.start(targets=[_always(60)])
        period = (slad.now - 60 * MINUTE, slad.now + 120 * MINUTE)
        before = await report(slad, period=period)
        assert before.total.open_in_time == 1
        await complete(slad)
        assert (await report(slad, period=period)).total.met == 1
        again = await report(slad, period=period, as_of=before.as_of.ToMilliseconds())
        assert again == before


async def test_imported_tickets_bring_what_had_closed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        row = rpc.SlaTrackingImport(
            start=rpc.StartSlaTrackingRequest(
                tenant_id="acme",
                ticket_id="T-1",
                targets=[_mixed()],
                started_at=stamp(MONDAY_9 - 90 * MINUTE),
            )
        )
        row.response_completed_at.FromMilliseconds(MONDAY_9 - 80 * MINUTE)
        await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest(trackings=[row])]))
        assert counts((await report(slad)).total) == (1, 0, 0, 0, 0, 1)


def _mixed() -> types.SlaPolicyTarget:
    return types.SlaPolicyTarget(response_time_minutes=30, resolution_time_minutes=240, is_24x7=True)
