"""What the page of a month shows: what share of promises was kept (A4)."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple

from slad_client.v1 import attainment_pb2 as pb

from slad.console.words import word
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime, to_datetime

GROUPS: Final = {
    "policy": pb.SLA_GROUP_KEY_POLICY,
    "priority": pb.SLA_GROUP_KEY_PRIORITY,
    "clock": pb.SLA_GROUP_KEY_CLOCK,
    "owner": pb.SLA_GROUP_KEY_OWNER,
    "day": pb.SLA_GROUP_KEY_DAY,
}
"""By what a report can be told apart."""

FIGURES: Final = {
    "met": pb.SLA_FIGURE_MET,
    "missed": pb.SLA_FIGURE_MISSED,
    "none": pb.SLA_FIGURE_NONE,
    "open_overdue": pb.SLA_FIGURE_OPEN_OVERDUE,
    "open_in_time": pb.SLA_FIGURE_OPEN_IN_TIME,
}
"""Figures whose promises can be listed."""

_COLUMNS: Final = (*FIGURES, "missed_excused")
_RATES: Final = ("attainment", "attainment_with_open", "attainment_excused", "paused_share")
_SPANS: Final = ("elapsed_p50", "elapsed_p90", "elapsed_max")


class Month(NamedTuple):
    """A month by some clocks, [from_ms, to_ms)."""

    name: str
    """`2026-10`."""
    from_ms: int
    to_ms: int
    before: str
    after: str


class RowView(NamedTuple):
    """One group."""

    name: str
    is_all: bool
    row: pb.SlaReportRow
    kept: float | None
    """Percent of the verdicts that are met; None: there is none."""
    kept_with_open: float | None


def month(text: str, zone: tzinfo, now: int) -> Month:
    """A month by its name; empty: the present one. Raises InvalidField."""
    if text:
        found = re.fullmatch(r"(\d{4})-(\d{2})", text)
        if found is None or not (2000 <= int(found[1]) < 9999 and 1 <= int(found[2]) <= 12):
            raise InvalidField("month", "MALFORMED_DATE", "it is not a month such as 2026-10, from 2000 on")
        year, number = int(found[1]), int(found[2])
    else:
        local = to_datetime(now).astimezone(zone)
        year, number = local.year, local.month
    at = year * 12 + number - 1
    return Month(_name(at), _begin(at, zone), _begin(at + 1, zone), _name(at - 1), _name(at + 1))


def _begin(months: int, zone: tzinfo) -> int:
    return from_datetime(datetime(months // 12, months % 12 + 1, 1, tzinfo=zone))


def _name(months: int) -> str:
    return f"{months // 12:04}-{months % 12 + 1:02}"


def group_key(text: str) -> str:
    """The name of a group. Raises InvalidField."""
    if text and text not in GROUPS:
        raise InvalidField("by", "UNKNOWN_ENUM_VALUE", f"it is one of {', '.join(GROUPS)}")
    return text or "policy"


def figure(text: str) -> str:
    """The name of a figure. Raises InvalidField."""
    if text not in FIGURES:
        raise InvalidField("figure", "UNKNOWN_ENUM_VALUE", f"it is one of {', '.join(FIGURES)}")
    return text


def rows(reply: pb.ReportSlaResponse) -> list[RowView]:
    """A row for each group, and one for all."""
    found = [_row(row.group[0], row) for row in reply.rows]
    return [*found, _row("", reply.total, is_all=True)]


def _row(name: str, row: pb.SlaReportRow, *, is_all: bool = False) -> RowView:
    kept = row.attainment * 100 if row.HasField("attainment") else None
    with_open = row.attainment_with_open * 100 if row.HasField("attainment_with_open") else None
    return RowView(name, is_all, row, kept, with_open)


def as_csv(by: str, reply: pb.ReportSlaResponse) -> str:
    """A report for spreadsheets: counts, rates from 0 to 1, spans in seconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([by, *_COLUMNS, *_RATES, *(f"{name}_s" for name in _SPANS)])
    for row in reply.rows:
        writer.writerow(
            [
                _harmless(row.group[0]),
                *(getattr(row, name) for name in _COLUMNS),
                *(_optional(row, name) for name in _RATES),
                *(
                    getattr(row, name).ToMilliseconds() / 1_000 if row.HasField(name) else ""
                    for name in _SPANS
                ),
            ]
        )
    return out.getvalue()


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _optional(row: Any, name: str) -> Any:
    return getattr(row, name) if row.HasField(name) else ""


def verdict(entry: pb.SlaLedgerEntry) -> str:
    """How a promise went; of an open one, that it is."""
    if entry.verdict == pb.SLA_VERDICT_UNSPECIFIED:
        return "open"
    return word(pb.SlaVerdict.Name(entry.verdict), "SLA_VERDICT_")
