"""The table of a report fits a terminal of 80 columns, and its figures are never cut."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console
from slad_client.v1 import attainment_pb2 as pb

from slad.cli import output
from slad.cli.report import report_parts
from slad.cli.report_options import Grouping


def test_a_report_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = Console(width=80, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(output, "_console", lambda **_: narrow)
    row = pb.SlaReportRow(
        group=["the gold policy of the northern branch", "urgent"],
        met=99_999, missed=12_345, open_overdue=1_234, open_in_time=10_000, attainment=0.8901,
    )  # fmt: skip
    row.elapsed_p90.FromSeconds(123_456)
    reply = pb.ReportSlaResponse(rows=[row], total=row)
    asked = {
        "tenant_id": "acme",
        "from_time": datetime(2026, 10, 1, tzinfo=UTC),
        "to_time": datetime(2026, 11, 1, tzinfo=UTC),
        "timezone": "America/Argentina/Buenos_Aires",
    }
    by = Grouping((pb.SLA_GROUP_KEY_POLICY, pb.SLA_GROUP_KEY_PRIORITY))
    output.show(*report_parts(reply, by, asked, "due"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80, lines
    text = "\n".join(lines)
    for figure in ("99999", "12345", "1234", "10000", "89.0 %", "34 h 17 min", "branch"):
        assert figure in text
