"""Rows of files: CSV and JSON lines, both ways."""

from __future__ import annotations

import io
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.exits import CommandError
from slad.cli.tracking_files import COLUMNS, read_csv, read_jsonl, write_csv, write_jsonl
from tests.slad_under_test import MONDAY_9, OFFICE, stamp, start_request

FULL = rpc.SlaTrackingImport(
    start=start_request(
        'T "1", or so; é',
        priority_id="high",
        targets=[
            pb.SlaPolicyTarget(
                priority_id="high",
                response_time_minutes=60,
                resolution_time_minutes=480,
                escalation_1_percent=70,
                escalation_3_percent=110,
            )
        ],
        started_at=stamp(MONDAY_9 + 1),
        notification_thresholds=[50, 80],
        pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
        attributes={"queue": "net\nwork", "é": "ß"},
    ),
    pauses=[
        pb.SlaPause(paused_at=stamp(MONDAY_9 + 2), resumed_at=stamp(MONDAY_9 + 3), reason=1),
        pb.SlaPause(paused_at=stamp(MONDAY_9 + 9), reason=2),
    ],
    response_completed_at=stamp(MONDAY_9 + 4),
    response_met=False,
    closed=[rpc.SlaClosedTime(closed_at=stamp(MONDAY_9 + 5), reopened_at=stamp(MONDAY_9 + 6))],
    fired=[
        rpc.SlaFiredThreshold(phase=1, percent=50, scheduled_at=stamp(MONDAY_9), fired_at=stamp(MONDAY_9))
    ],
)
FULL.start.schedule.holidays.add(holiday_date="2026-12-25", is_recurring=True, holiday_name="A; B\\")
FULL.start.schedule.date_overrides.add(
    name="Half; day",
    from_date="2026-12-24",
    entries=[pb.DateOverrideEntry(start_time="09:00", end_time="13:00")],
)
FULL.start.schedule.date_overrides.add(from_date="2026-12-27", to_date="2026-12-31", is_recurring=True)
NAMED = rpc.SlaTrackingImport(
    start=start_request(
        targets=[
            pb.SlaPolicyTarget(
                response_time_minutes=60,
                resolution_due_at=stamp(MONDAY_9 + 90_000),
                resolution_open_time={"seconds": 90},
            )
        ],
        started_at=stamp(MONDAY_9),
        pause_accounting=pb.PAUSE_ACCOUNTING_BUSINESS_TIME,
        response_on_resolution=pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED,
        clocks=[
            pb.SlaClockTerms(
                name="level-2",
                kind=pb.SLA_CLOCK_KIND_OWNERSHIP,
                target_minutes=60,
                owner="niveau ü, 2",
                schedule=OFFICE,
                paused_by=pb.SlaPausedBy(reasons=["vendor; B"]),
            ),
            pb.SlaClockTerms(name="resolution", paused_by=pb.SlaPausedBy(never=True)),
        ],
    ),
    pauses=[
        pb.SlaPause(
            paused_at=stamp(MONDAY_9 + 2),
            resumed_at=stamp(MONDAY_9 + 3),
            reason=pb.SLA_PAUSE_REASON_OTHER,
            reason_code="vendor; B\\",
        ),
        pb.SlaPause(
            paused_at=stamp(MONDAY_9 + 2), reason=pb.SLA_PAUSE_REASON_OTHER, reason_code="status-pause"
        ),
    ],
    facts=[
        rpc.SlaFact(at=stamp(MONDAY_9 + 1), kind=rpc.SLA_FACT_KIND_ASSIGNED, owner="x"),
        rpc.SlaFact(
            at=stamp(MONDAY_9 + 2), kind=rpc.SLA_FACT_KIND_CLOCK_COMPLETED, clock="level-2", met=False
        ),
    ],
    closed=[rpc.SlaClosedTime(closed_at=stamp(MONDAY_9), reopened_at=stamp(MONDAY_9 + 1), resolved=True)],
)
NAMED.start.schedule.schedule_id = "office"
BARE = rpc.SlaTrackingImport(
    start=rpc.StartSlaTrackingRequest(
        tenant_id="acme",
        ticket_id="T-2",
        started_at=stamp(MONDAY_9),
        targets=[pb.SlaPolicyTarget(response_time_minutes=5, is_24x7=True)],
        pause_accounting=pb.PAUSE_ACCOUNTING_BUSINESS_TIME,
    )
)


@pytest.mark.parametrize(("write", "read"), [(write_csv, read_csv), (write_jsonl, read_jsonl)])
def test_what_is_written_can_be_read_again(write: Any, read: Any) -> None:
    file = io.StringIO(newline="")
    write([FULL, NAMED, BARE], file)
    rows = list(read(io.StringIO(file.getvalue(), newline="")))
    assert [row.problem for row in rows] == ["", "", ""]
    assert [row.tracking for row in rows] == [FULL, NAMED, BARE]


def csv_rows(text: str) -> Any:
    return list(read_csv(io.StringIO(text, newline="")))


def test_a_spreadsheet_of_europe_with_few_columns() -> None:
    head = "\ufeffticket_id;response_time_minutes;hours;timezone;attribute.queue;pauses"
    (row,) = csv_rows(head + "\r\nT-1; 60 ;Mon-Fri 09:00-17:00;UTC;net;2026-03-02T10:00Z/\r\n;;;;;\r\n")
    assert row.line == 2
    tracking = row.tracking
    assert tracking.start.targets == [pb.SlaPolicyTarget(response_time_minutes=60)]
    assert tracking.start.schedule == OFFICE
    assert tracking.start.attributes == {"queue": "net"}
    assert tracking.pauses[0].reason == pb.SLA_PAUSE_REASON_STATUS_PAUSE
    assert not tracking.pauses[0].HasField("resumed_at")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("response_time_minutes", "1h", "'1h' is not a whole number"),
        ("notification_thresholds", "50 x", "'x' is not a whole number"),
        ("started_at", "2026-03-02T09:00", "an instant needs a zone"),
        ("started_at", "Monday", "Monday"),
        ("hours", "9-17", "'9-17' is not a rule of business hours"),
        ("holidays", "Easter", "'Easter' is not understood; write"),
        ("is_24x7", "maybe", "'maybe': must be true or false"),
        ("pauses", "2026-03-02T10:00Z/ lunch", "'lunch' is not one of awaiting-client, status-pause"),
        ("closed", "2026-03-02T10:00Z", ""),
        ("pause_accounting", "mine", "'mine' is not one of business-time"),
        ("fired", "[{", ""),
        ("fired", '[{"percents": 5}]', "percents"),
        ("attributes", "{", ""),
        ("attributes", "[]", ""),
        ("escalation_1_percent", str(2**40), ""),
    ],
)
def test_a_wrong_cell_is_told_by_line_and_column(column: str, value: str, told: str) -> None:
    file = io.StringIO(newline="")
    write_csv([BARE], file)
    lines = file.getvalue().splitlines()
    cells = dict(zip(COLUMNS, lines[1].split(","), strict=True))
    cells[column] = '"' + value.replace('"', '""') + '"'
    row, after = csv_rows("\n".join([lines[0], ",".join(cells.values()), lines[1]]))
    assert (row.line, row.ticket_id, row.field, row.tracking) == (2, "T-2", column, None)
    assert told in row.problem
    assert after.tracking == BARE, "the others are taken"


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("", "must name the columns"),
        ("tenant_id,hours", "ticket_id among them"),
        ("ticket_id,hour", "no column 'hour'; did you mean 'hours'"),
        ("ticket_id,xyzzy", "no column 'xyzzy'; there are tenant_id"),
    ],
)
def test_a_wrong_header_is_told_at_once(head: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        csv_rows(head + "\nx,y\n")


def test_too_many_cells() -> None:
    (row,) = csv_rows("ticket_id\nT-1,more\n")
    assert row.problem == "2 cells under 1 headings"


def test_a_wrong_line_of_json_is_told() -> None:
    good = io.StringIO()
    write_jsonl([BARE], good)
    rows = list(read_jsonl(["{\n", "\n", '{"starts": {}}\n', good.getvalue(), "[]\n"]))
    assert [(row.line, bool(row.problem)) for row in rows] == [(1, True), (3, True), (4, False), (5, True)]
    assert rows[1].problem == "there is no field 'starts'; did you mean 'start'?"


@pytest.mark.parametrize(
    ("line", "field", "told"),
    [
        ('{"start": {"ticketid": "T"}}', "start", "there is no field 'ticketid'; did you mean 'ticket_id'?"),
        ('{"start": {"schedule": {"entires": []}}}', "start.schedule", "did you mean 'entries'?"),
        ('{"start": {"targets": [{"xyz": 1}]}}', "start.targets[0]", "there are target_id, "),
        ('{"start": {"targets": 5}}', "start.targets", "must be a list, not 5"),
        ('{"pauses": [{"paused_at": "noon"}]}', "pauses[0].paused_at", "not an instant, such as 2026-"),
        ('{"pauses": [{"reason": "x"}]}', "pauses[0].reason", "'x' is not one of its values"),
        ('{"start": {"targets": [{"response_time_minutes": "soon"}]}}', "start.targets.response_time_minutes",
         "'soon' is not a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_told_in_words_of_slad(line: str, field: str, told: str) -> None:
    (row,) = read_jsonl([line])
    assert row.field == field
    assert told in row.problem
    assert "slad.v1" not in row.problem
