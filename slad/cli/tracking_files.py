"""Files of trackings: JSON lines, or CSV for spreadsheets. `read_…` reads what `write_…` writes."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TextIO

from dateutil.parser import isoparse
from google.protobuf.json_format import MessageToDict, Parse, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.exits import CommandError
from slad.cli.option_types import enum_word, parse_enum_word
from slad.cli.output import json_text
from slad.cli.parse_errors import problem
from slad.cli.schedule_text import (
    add_holidays,
    escaped,
    parse_hours,
    split_rules,
    write_holidays,
    write_hours,
)

FORMATS: Final = ("jsonl", "csv")

ATTRIBUTE_PREFIX: Final = "attribute."
"""A column `attribute.queue` holds the attribute `queue`."""

_IDS: Final = ("tenant_id", "ticket_id", "policy_id", "priority_id")
_MINUTES: Final = ("response_time_minutes", "resolution_time_minutes")
_LEVELS: Final = ("escalation_1_percent", "escalation_2_percent", "escalation_3_percent")
_DUE_DATES: Final = ("response_due_at", "resolution_due_at")
_OPEN_TIMES: Final = ("response_open_time", "resolution_open_time")
_REASON: Final = "SLA_PAUSE_REASON_"
_OWN_REASON: Final = "other:"
"""Before the code of a reason of the caller's own."""
_ON_RESOLUTION: Final = "SLA_RESPONSE_ON_RESOLUTION_"
_ACCOUNTING: Final = "PAUSE_ACCOUNTING_"

COLUMNS: Final = (
    *_IDS,
    "started_at",
    *_MINUTES,
    *_DUE_DATES,
    *_OPEN_TIMES,
    *_LEVELS,
    "notification_thresholds",
    "is_24x7",
    "schedule_id",
    "timezone",
    "hours",
    "holidays",
    "pause_accounting",
    "response_on_resolution",
    "clocks",
    "facts",
    "pauses",
    "response_completed_at",
    "response_met",
    "closed",
    "fired",
    "attributes",
)


class Row(NamedTuple):
    """A row of a file: its line, and the tracking, or what is wrong with it."""

    line: int
    tracking: rpc.SlaTrackingImport | None
    ticket_id: str = ""
    field: str = ""
    problem: str = ""


# --- JSON lines


def read_jsonl(file: Iterable[str]) -> Iterator[Row]:
    """One tracking (slad.v1.SlaTrackingImport) a line."""
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        if not text.lstrip().startswith("{"):
            yield Row(line, None, problem="each line must be one JSON object")
            continue
        try:
            yield Row(line, Parse(text, rpc.SlaTrackingImport()))
        except ParseError as error:
            field, told = problem(error, rpc.SlaTrackingImport())
            yield Row(line, None, field=field, problem=told)


def write_jsonl(trackings: Iterable[rpc.SlaTrackingImport], file: TextIO) -> None:
    """Writes one tracking (slad.v1.SlaTrackingImport) a line."""
    for tracking in trackings:
        content = MessageToDict(tracking, preserving_proto_field_name=True)
        file.write(json_text(content, ensure_ascii=False, separators=(",", ":")) + "\n")


# --- CSV


def read_csv(file: Iterable[str]) -> Iterator[Row]:
    """Rows under a header of COLUMNS, in any order. Columns may be missing. Raises CommandError."""
    lines = iter(file)
    head = next(lines, "").removeprefix("\ufeff")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(_again(head, lines), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    _check_header(header)
    for cells in reader:
        if not any(cells):
            continue
        content = dict(zip(header, map(str.strip, cells), strict=False))
        line, ticket_id = reader.line_num, content.get("ticket_id", "")
        if len(cells) > len(header):
            yield Row(line, None, ticket_id, problem=f"{len(cells)} cells under {len(header)} headings")
            continue
        try:
            yield Row(line, _from_cells(content), ticket_id)
        except _CellError as error:
            yield Row(line, None, ticket_id, error.column, str(error))


def _again(head: str, rest: Iterator[str]) -> Iterator[str]:
    yield head
    yield from rest


def _check_header(header: list[str]) -> None:
    if "ticket_id" not in header:
        raise CommandError(
            f"the first line must name the columns, with ticket_id among them: {', '.join(COLUMNS)}"
        )
    for name in header:
        if name not in COLUMNS and not name.startswith(ATTRIBUTE_PREFIX):
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COLUMNS)}"
            raise CommandError(f"there is no column {name!r}; {hint}")


class _CellError(ValueError):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def _from_cells(cells: Mapping[str, str]) -> rpc.SlaTrackingImport:
    row = rpc.SlaTrackingImport()
    start, target = row.start, row.start.targets.add()
    for name in _IDS:
        setattr(start, name, cells.get(name, ""))
    target.priority_id = start.priority_id
    for name in (*_MINUTES, *_LEVELS):
        if cells.get(name):
            _cell(cells, name, partial(_fill_number, target, name))
    for column, fill in _FILLERS.items():
        if cells.get(column):
            _cell(cells, column, partial(fill, row))
    for name, value in cells.items():
        if name.startswith(ATTRIBUTE_PREFIX) and value:
            start.attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = value
    return row


def _cell(cells: Mapping[str, str], column: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(cells[column])
    except (ValueError, OverflowError, ParseError) as error:
        # Some messages name the value already.
        told = str(error) if "'" in str(error) else f"{cells[column]!r}: {error}"
        raise _CellError(column, told) from None


def _to(stamp: Timestamp, text: str) -> None:
    try:
        moment = isoparse(text.strip().replace(" ", "T", 1))
    except ValueError:
        raise ValueError(f"{text!r} is not an instant, such as 2026-03-02T09:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("an instant needs a zone, as in 2026-03-02T09:00:00Z")
    stamp.FromDatetime(moment)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _fill_number(target: pb.SlaPolicyTarget, name: str, text: str) -> None:
    setattr(target, name, _number(text))


def _yes(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError("must be true or false")
    return known[text.lower()]


def _fill_hours(schedule: pb.BusinessHoursSchedule, text: str) -> None:
    hours = parse_hours(text)
    schedule.entries.extend(hours.entries)
    schedule.date_overrides.extend(hours.date_overrides)


def _fill_pauses(row: rpc.SlaTrackingImport, text: str) -> None:
    for part in filter(None, map(str.strip, split_rules(text))):
        stretch, _, reason = part.partition(" ")
        begin, _, end = stretch.partition("/")
        pause = row.pauses.add(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE)
        _to(pause.paused_at, begin)
        if end:
            _to(pause.resumed_at, end)
        if reason.startswith(_OWN_REASON):
            pause.reason, pause.reason_code = pb.SLA_PAUSE_REASON_OTHER, reason.removeprefix(_OWN_REASON)
        elif reason:
            pause.reason = pb.SlaPauseReason.ValueType(parse_enum_word(reason, pb.SlaPauseReason, _REASON))


def _fill_closed(row: rpc.SlaTrackingImport, text: str) -> None:
    for part in filter(None, map(str.strip, text.split(";"))):
        stretch, _, how = part.partition(" ")
        if how not in ("", "resolved"):
            raise ValueError(f"{how!r} is not 'resolved'")
        begin, _, end = stretch.partition("/")
        closed = row.closed.add(resolved=how == "resolved")
        _to(closed.closed_at, begin)
        _to(closed.reopened_at, end)


def _fill_json(message: Message, name: str, text: str) -> None:
    ParseDict({name: json.loads(text)}, message)


def _fill_span(target: pb.SlaPolicyTarget, name: str, text: str) -> None:
    ParseDict({name: text}, target)


def _fill_attributes(row: rpc.SlaTrackingImport, text: str) -> None:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("attributes must be a JSON object")  # noqa: TRY004 - reported as any other wrong cell
    for key, value in content.items():
        row.start.attributes[key] = str(value)


_FILLERS: Final[dict[str, Callable[[rpc.SlaTrackingImport, str], Any]]] = {
    "started_at": lambda row, text: _to(row.start.started_at, text),
    "notification_thresholds": lambda row, text: row.start.notification_thresholds.extend(
        map(_number, text.replace(",", " ").split())
    ),
    **{
        name: lambda row, text, name=name: _to(getattr(row.start.targets[0], name), text)  # type: ignore[misc]
        for name in _DUE_DATES
    },
    **{
        name: lambda row, text, name=name: _fill_span(row.start.targets[0], name, text)  # type: ignore[misc]
        for name in _OPEN_TIMES
    },
    "is_24x7": lambda row, text: setattr(row.start.targets[0], "is_24x7", _yes(text)),
    "schedule_id": lambda row, text: setattr(row.start.schedule, "schedule_id", text),
    "timezone": lambda row, text: setattr(row.start.schedule, "timezone", text),
    "hours": lambda row, text: _fill_hours(row.start.schedule, text),
    "holidays": lambda row, text: add_holidays(row.start.schedule, text),
    "pause_accounting": lambda row, text: setattr(
        row.start, "pause_accounting", parse_enum_word(text, pb.PauseAccounting, _ACCOUNTING)
    ),
    "response_on_resolution": lambda row, text: setattr(
        row.start,
        "response_on_resolution",
        parse_enum_word(text, pb.SlaResponseOnResolution, _ON_RESOLUTION),
    ),
    "clocks": lambda row, text: _fill_json(row.start, "clocks", text),
    "facts": lambda row, text: _fill_json(row, "facts", text),
    "pauses": _fill_pauses,
    "response_completed_at": lambda row, text: _to(row.response_completed_at, text),
    "response_met": lambda row, text: setattr(row, "response_met", _yes(text)),
    "closed": _fill_closed,
    "fired": lambda row, text: _fill_json(row, "fired", text),
    "attributes": _fill_attributes,
}
"""Column → what puts a cell that is not empty into the row."""


def write_csv(trackings: Iterable[rpc.SlaTrackingImport], file: TextIO) -> None:
    """Writes a header of COLUMNS, then one tracking a row."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for tracking in trackings:
        writer.writerow(_to_cells(tracking))


def _written_reason(pause: pb.SlaPause) -> str:
    if pause.reason == pb.SLA_PAUSE_REASON_OTHER:
        return escaped(f"{_OWN_REASON}{pause.reason_code}")
    return enum_word(pb.SlaPauseReason.Name(pause.reason), _REASON)


def _to_cells(row: rpc.SlaTrackingImport) -> dict[str, str]:
    start, target = row.start, row.start.targets[0]
    cells = {name: getattr(start, name) for name in _IDS}
    cells |= {name: str(getattr(target, name)) for name in _MINUTES if target.HasField(name)}
    cells |= {name: str(getattr(target, name)) for name in _LEVELS if getattr(target, name)}
    cells |= {
        name: getattr(target, name).ToJsonString()
        for name in (*_DUE_DATES, *_OPEN_TIMES)
        if target.HasField(name)
    }
    cells["started_at"] = start.started_at.ToJsonString()
    cells["notification_thresholds"] = " ".join(map(str, start.notification_thresholds))
    cells["is_24x7"] = "true" if target.is_24x7 else "false"
    cells["schedule_id"] = start.schedule.schedule_id
    cells["timezone"] = start.schedule.timezone
    cells["hours"] = write_hours(start.schedule.entries, start.schedule.date_overrides)
    cells["holidays"] = write_holidays(start.schedule.holidays)
    cells["pause_accounting"] = enum_word(pb.PauseAccounting.Name(start.pause_accounting), _ACCOUNTING)
    cells["pauses"] = "; ".join(
        f"{pause.paused_at.ToJsonString()}/"
        f"{pause.resumed_at.ToJsonString() if pause.HasField('resumed_at') else ''} "
        f"{_written_reason(pause)}"
        for pause in row.pauses
    )
    if row.HasField("response_completed_at"):
        cells["response_completed_at"] = row.response_completed_at.ToJsonString()
    if row.HasField("response_met"):
        cells["response_met"] = "true" if row.response_met else "false"
    cells["closed"] = "; ".join(
        f"{closed.closed_at.ToJsonString()}/{closed.reopened_at.ToJsonString()}"
        f"{' resolved' if closed.resolved else ''}"
        for closed in row.closed
    )
    if start.response_on_resolution:
        name = pb.SlaResponseOnResolution.Name(start.response_on_resolution)
        cells["response_on_resolution"] = enum_word(name, _ON_RESOLUTION)
    content = MessageToDict(row, preserving_proto_field_name=True)
    for column, found in (("clocks", content["start"]), ("facts", content), ("fired", content)):
        if column in found:
            cells[column] = json.dumps(found[column], ensure_ascii=False, separators=(",", ":"))
    cells["attributes"] = json.dumps(dict(start.attributes), ensure_ascii=False) if start.attributes else ""
    return cells
