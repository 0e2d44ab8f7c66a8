"""The pages of a month: figures as ReportSla has them, and the promises behind each."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from slad_client.v1 import attainment_pb2
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.console.conftest import Desk, desk_running
from tests.console.test_pages import bearer, token


async def live_through_a_month(desk: Desk) -> None:
    """Of gold one response is met, one missed and excused; of =silver one is open and overdue."""
    slad = desk.slad
    for ticket, policy in (("T-1", "gold"), ("T-2", "gold"), ("T-3", "=silver")):
        await slad.start(ticket, policy_id=policy)
    await slad.advance(minutes=30)
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-1", phase=pb.SLA_PHASE_RESPONSE))
    await slad.advance(minutes=40)
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-2", phase=pb.SLA_PHASE_RESPONSE))
    await slad.backend.AnnotateSla(
        attainment_pb2.AnnotateSlaRequest(
            ticket_id="T-2",
            clock="response",
            reason_code="<b>storm</b>",
            note="the line was down",
            excused=True,
        )
    )
    await slad.start("T-9", tenant_id="other", policy_id="SECRET")


async def test_a_month_by_policy_clock_and_priority(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await live_through_a_month(desk)
        code, text = await desk.get("/report?tenant=acme&month=2026-03")
        assert code == 200
        assert "50.0 %" in text, "of gold, one of two"
        assert "33.3 %" in text, "with what is overdue"
        assert "SECRET" not in text
        assert 'figure=missed&amp;group=gold">1</a>' in text
        for by in ("clock", "priority", "owner", "day"):
            code, text = await desk.get(f"/report?tenant=acme&month=2026-03&by={by}")
            assert code == 200, by
        assert "2026-03-02" in text
        _, before = await desk.get("/report?tenant=acme&month=2026-02")
        assert "50.0 %" not in before
        _, present = await desk.get("/report?tenant=acme")
        assert "Report 2026-03" in present, "the present month"
        _, unsaid = await desk.get("/report")
        assert "covers one tenant" in unsaid


async def test_the_promises_behind_a_figure_lead_to_their_tickets(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await live_through_a_month(desk)
        ask = "/report/promises?tenant=acme&month=2026-03&by=policy"
        _, missed = await desk.get(f"{ask}&figure=missed&group=gold")
        assert 'href="/t/acme/T-2?generation=1"' in missed
        assert "T-1" not in missed
        assert "missed, excused" in missed
        assert "&lt;b&gt;storm&lt;/b&gt;" in missed
        _, overdue = await desk.get(f"{ask}&figure=open_overdue")
        assert "T-3" in overdue
        assert ">open</td>" in overdue
        _, nothing = await desk.get(f"{ask}&figure=none&group=gold")
        assert "None." in nothing


async def test_the_csv_is_the_table_and_holds_no_formula(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await live_through_a_month(desk)
        async with desk.session.get(f"{desk.url}/report.csv?tenant=acme&month=2026-03") as answer:
            assert answer.content_type == "text/csv"
            assert answer.headers["Content-Disposition"].endswith('"attainment-2026-03-by-policy.csv"')
            rows = list(csv.DictReader(io.StringIO(await answer.text())))
        assert [row["policy"] for row in rows] == ["'=silver", "gold"]
        gold = rows[1]
        assert (gold["met"], gold["missed"], gold["missed_excused"], gold["attainment"]) == (
            "1",
            "1",
            "1",
            "0.5",
        )
        assert gold["elapsed_max_s"] == "4200.0"
        assert rows[0]["attainment"] == "", "of nothing there is no rate"


async def test_what_is_not_a_report_says_what_is(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await live_through_a_month(desk)
        for path, told in (
            ("/report?tenant=acme&month=2026-13", "MALFORMED_DATE"),
            ("/report?tenant=acme&month=soon", "MALFORMED_DATE"),
            ("/report?tenant=acme&month=0001-01", "MALFORMED_DATE"),
            ("/report?tenant=acme&by=weather", "UNKNOWN_ENUM_VALUE"),
            ("/report.csv", "tenant_id"),
            ("/report/promises?tenant=acme&figure=luck", "UNKNOWN_ENUM_VALUE"),
        ):
            code, text = await desk.get(path)
            assert (code, told in text) == (400, True), (path, text)


async def test_a_report_is_for_those_of_the_tenant(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await live_through_a_month(desk)
        other = bearer(await token(tmp_path, "other"))
        for path in ("/report", "/report.csv", "/report/promises"):
            code, text = await desk.get(f"{path}?tenant=acme&month=2026-03&figure=missed", **other)
            assert (code, "TENANT_NOT_ALLOWED" in text, "gold" in text) == (403, True, False), path
        code, own = await desk.get("/report?month=2026-03", **other)
        assert (code, "SECRET" in own) == (200, True), "a token for one tenant need not say which"
