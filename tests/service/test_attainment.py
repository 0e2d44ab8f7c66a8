"""Rules A1 to A7: the ledger, reports on it, annotations and forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import attainment_pb2 as pb
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as types

from tests.core.tickets import at
from tests.slad_under_test import Slad, slad_running, target

MARCH = at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z")
HOUR_MS = 3_600_000


async def report(slad: Slad, tenant_id: str = "acme", **fields: Any) -> pb.ReportSlaResponse:
    from_ms, to_ms = fields.pop("period", MARCH)
    as_of = fields.pop("as_of", None)
    request = pb.ReportSlaRequest(tenant_id=tenant_id, **fields)
    request.from_time.FromMilliseconds(from_ms)
    request.to_time.FromMilliseconds(to_ms)
    if as_of is not None:
        request.as_of.FromMilliseconds(as_of)
    return await slad.backend.ReportSla(request)


async def unfolded(slad: Slad, tenant_id: str = "acme", **fields: Any) -> list[pb.SlaLedgerEntry]:
    from_ms, to_ms = fields.pop("period", MARCH)
    request = pb.UnfoldSlaReportRequest(tenant_id=tenant_id, **fields)
    request.from_time.FromMilliseconds(from_ms)
    request.to_time.FromMilliseconds(to_ms)
    return [entry async for reply in slad.backend.UnfoldSlaReport(request) for entry in reply.entries]


async def complete(slad: Slad, ticket: str = "T-1", **fields: Any) -> None:
    fields.setdefault("phase", types.SLA_PHASE_RESOLUTION if "clock" not in fields else 0)
    effective_at = fields.pop("effective_at", None)
    request = rpc.CompleteSlaRequest(tenant_id="acme", ticket_id=ticket, **fields)
    if effective_at is not None:
        request.effective_at.FromMilliseconds(effective_at)
    await slad.backend.CompleteSla(request)


def counts(row: pb.SlaReportRow) -> tuple[int, ...]:
    return (row.met, row.missed, row.missed_excused, row.none, row.open_overdue, row.open_in_time)


async def test_a_report_counts_what_was_kept_missed_and_is_open(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for ticket in ("kept", "late", "cancelled", "overdue"):
            await slad.start(ticket, targets=[target(None, 60)])
        await slad.start("ahead", targets=[target(None, 600)])
        await slad.advance(minutes=30)
        await complete(slad, "kept")
        await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="cancelled"))
        await slad.advance(minutes=60)
        await complete(slad, "late")
        reply = await report(slad)
        assert counts(reply.total) == (1, 1, 0, 1, 1, 1)
        assert reply.total.attainment == 0.5
        assert reply.total.attainment_with_open == pytest.approx(1 / 3)
        assert reply.total.elapsed_max.ToMilliseconds() == 90 * 60_000
        assert not reply.rows
