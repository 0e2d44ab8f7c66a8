"""ImportSlaTrackings: each row is judged on its own and counted; the same again makes no doubles."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS
from slad.service import bulk
from tests.service.importing import (
    FRIDAY_9,
    TOLERANCE_MS,
    import_rows,
    lively_rows,
    pause_of,
    row,
    status_of,
    tracked,
)
from tests.service.test_bad_input import LONG, add_holiday, everything, schedule, set_entry
from tests.slad_under_test import MONDAY_9, slad_running, stamp, target, told


async def test_rows_are_created_kept_or_rejected_and_counted(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", started_at=stamp(MONDAY_9 - HOUR_MS))
        before = await status_of(slad, "live")
        reply = await import_rows(slad, row("A"), row("live", policy_id="other"), row(""), row("B"), row("A"))
        assert (reply.created, reply.kept, reply.rejected_count) == (2, 2, 1)
        assert [(r.index, r.ticket_id, r.field, r.reason) for r in reply.rejected] == [
            (2, "", "start.ticket_id", "REQUIRED")
        ]
        assert set(await tracked(slad)) == {"live", "A", "B"}
        assert await status_of(slad, "live") == before, "what is live is as it was"


async def test_an_empty_stream_is_no_error(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        nothing = rpc.ImportSlaTrackingsResponse()
        assert await import_rows(slad) == nothing
        assert await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest()])) == nothing


class BadRow(NamedTuple):
    row: rpc.SlaTrackingImport
    field: str
    reason: str


def unspecified_start() -> rpc.SlaTrackingImport:
    return rpc.SlaTrackingImport(pauses=[pause_of(MONDAY_9)])


BAD_ROWS = [
    BadRow(unspecified_start(), "start.tenant_id", "REQUIRED"),
    BadRow(row(""), "start.ticket_id", "REQUIRED"),
    BadRow(row(LONG), "start.ticket_id", "TOO_LONG"),
    BadRow(row(tenant_id=""), "start.tenant_id", "REQUIRED"),
    BadRow(row(targets=[]), "start.targets", "NO_TARGET"),
    BadRow(row(targets=[target(0, 60)]), "start.targets[0].response_time_minutes", "NOT_POSITIVE"),
    BadRow(
        # Well-formed, but a threshold of it lies past year 9999: found out by the engine.
        row(targets=[target(1, 4_000_000_000)]),
        "start.targets[0].resolution_time_minutes",
        "DEADLINE_OUT_OF_RANGE",
    ),
    BadRow(
        row(schedule=schedule(lambda s: setattr(s, "timezone", "Mars/Olympus"))),
        "start.schedule.timezone",
        "UNKNOWN_TIME_ZONE",
    ),
    BadRow(
        row(schedule=schedule(set_entry(2, end_time="25:00"))),
        "start.schedule.entries[2].end_time",
        "MALFORMED_TIME",
    ),
    BadRow(
        row(schedule=schedule(add_holiday("2026-02-30"))),
        "start.schedule.holidays[0].holiday_date",
        "MALFORMED_DATE",
    ),
    BadRow(row(notification_thresholds=[0]), "start.notification_thresholds[0]", "PERCENT_OUT_OF_RANGE"),
    BadRow(row(started_at=MONDAY_9 + TOLERANCE_MS + 1), "start.started_at", "IN_THE_FUTURE"),
    BadRow(row(started_at=946_684_799_999), "start.started_at", "TOO_FAR_IN_THE_PAST"),
    BadRow(row(attributes={"": "x"}), "start.attributes", "KEY_LENGTH"),
    BadRow(row(pauses=[pb.SlaPause()]), "pauses[0].paused_at", "REQUIRED"),
    BadRow(row(pauses=[pause_of(MONDAY_9 - 1)]), "pauses[0].paused_at", "OUT_OF_ORDER"),
    BadRow(row(pauses=[pause_of(MONDAY_9, MONDAY_9 - 1)]), "pauses[0].resumed_at", "OUT_OF_ORDER"),
    BadRow(
        row(started_at=FRIDAY_9, pauses=[pause_of(FRIDAY_9, MONDAY_9), pause_of(MONDAY_9 - 1)]),
        "pauses[1].paused_at",
        "OUT_OF_ORDER",
    ),
    BadRow(row(pauses=[pause_of(MONDAY_9), pause_of(MONDAY_9)]), "pauses[1]", "OVERLAPS"),
    BadRow(row(pauses=[pause_of(MONDAY_9, reason=9)]), "pauses[0].reason", "UNKNOWN_ENUM_VALUE"),
    BadRow(row(pauses=[pause_of(MONDAY_9)] * 1_001), "pauses", "TOO_MANY"),
    BadRow(row(response_at=MONDAY_9 - 5_001), "response_completed_at", "BEFORE_START"),
    BadRow(row(response_at=MONDAY_9 + TOLERANCE_MS + 1), "response_completed_at", "IN_THE_FUTURE"),
    BadRow(row("live", on_existing=pb.ON_EXISTING_FAIL), "", "TRACKING_EXISTS"),
    BadRow(row("other", request_id="used"), "", "REQUEST_ID_REUSED"),
]


async def test_a_bad_row_is_rejected_by_its_index_and_field_and_the_others_are_kept(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", request_id="used")
        stream: list[rpc.SlaTrackingImport] = []
        for number, bad in enumerate(BAD_ROWS):
            stream += [row(f"good-{number}"), bad.row]
        # Seven rows a message: the index counts over the whole stream.
        reply = await import_rows(slad, *stream, size=7)
        assert reply.created == reply.rejected_count == len(reply.rejected) == len(BAD_ROWS)
        assert reply.kept == 0
        for number, (got, bad) in enumerate(zip(reply.rejected, BAD_ROWS, strict=True)):
            with subtests.test(f"{bad.field} {bad.reason}"):
                assert got.index == 2 * number + 1
                assert (got.field, got.reason) == (bad.field, bad.reason)
                assert got.ticket_id == bad.row.start.ticket_id[:200]
        names = {f"good-{number}" for number in range(len(BAD_ROWS))}
        assert set(await tracked(slad)) == names | {"live"}


async def test_of_more_than_10000_rejected_rows_10000_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        stream = [rpc.SlaTrackingImport()] * 10_100
        stream[7] = row("good")
        reply = await import_rows(slad, *stream)
        assert (reply.created, reply.rejected_count) == (1, 10_099)
        assert [r.index for r in reply.rejected] == [n for n in range(10_001) if n != 7]


async def test_the_rejected_rows_that_are_listed_are_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_LISTED", 10)
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, row("good"), *([row("")] * 300))
        assert reply.rejected_count == 300
        assert [r.index for r in reply.rejected] == list(range(1, 11))


async def test_a_reply_about_rejected_rows_stays_within_what_clients_take(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, *([row("x" * 1_000_000)] * 5), size=1)
        assert reply.rejected_count == 5
        assert reply.ByteSize() < 2 * 1024 * 1024


async def test_a_pause_in_the_future_is_rejected_by_its_field(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, row(pauses=[pause_of(MONDAY_9, MONDAY_9 + TOLERANCE_MS + 1)]))
        assert [(r.field, r.reason) for r in reply.rejected] == [("pauses[0].resumed_at", "IN_THE_FUTURE")]


# --- the same again


async def test_the_whole_stream_again_makes_no_doubles_and_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        rows = [*lively_rows(300), row("")]
        first = await import_rows(slad, *rows, size=70)
        assert (first.created, first.kept, first.rejected_count) == (300, 0, 1)
        before = await everything(slad)
        again = await import_rows(slad, *rows, size=50)
        assert (again.created, again.kept, again.rejected_count) == (0, 300, 1)
        assert await everything(slad) == before


async def test_a_row_for_an_ended_ticket_starts_its_next_generation_unless_its_request_id_is_known(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        rows = row("plain"), row("named", request_id="import-1/named")
        await import_rows(slad, *rows)
        for ticket in ("plain", "named"):
            await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id=ticket))
        again = await import_rows(slad, *rows)
        assert (again.created, again.kept) == (1, 1)
        assert (await status_of(slad, "plain")).generation == 2
        assert (await status_of(slad, "named")).state == pb.SLA_TRACKING_STATE_CANCELLED


async def test_request_ids_of_rows_are_those_of_starts(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        one = row("T-1", request_id="start/T-1")
        first = await slad.backend.StartSlaTracking(one.start)
        assert (await import_rows(slad, one)).kept == 1
        await import_rows(slad, row("T-2", request_id="start/T-2"))
        got = await slad.backend.StartSlaTracking(row("T-2", request_id="start/T-2").start)
        assert got.created, "the first answer"
        assert got.status.ticket_id == "T-2"
        assert await slad.backend.StartSlaTracking(one.start) == first
        assert told(await slad.events()) == ["STARTED"] * 2


async def test_a_request_id_with_other_facts_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, row(started_at=FRIDAY_9, request_id="r"))
        other = row(started_at=FRIDAY_9, request_id="r", pauses=[pause_of(FRIDAY_9 + HOUR_MS)])
        reply = await import_rows(slad, other)
        assert [r.reason for r in reply.rejected] == ["REQUEST_ID_REUSED"]
