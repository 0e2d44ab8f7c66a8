"""The SlaWorker service: what workers outside the daemon report."""

from __future__ import annotations

from typing import Final

from slad_client.v1 import worker_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.events import Phase
from slad.core.terms import check_percent
from slad.engine.engine import SlaEngine
from slad.service.fields import Fields, at_most, enum, instant
from slad.temporal.passthrough.reports import Report, take_reports

MAX_REPORTS: Final = 200
"""Reports in one message: more than a ticket has thresholds."""


class SlaWorker:
    """The methods of `slad.v1.SlaWorker`."""

    def __init__(self, fields: Fields, engine: SlaEngine) -> None:
        self._fields = fields
        self._engine = engine

    async def ReportSlaThresholds(self, request: rpc.ReportSlaThresholdsRequest) -> bytes:
        """Thresholds that a worker found reached (C5)."""
        tenant_id = self._fields.optional_id("tenant_id", request.tenant_id)
        ticket_id = self._fields.required_id("ticket_id", request.ticket_id)
        if request.generation < 0:
            raise InvalidField("generation", "NOT_POSITIVE", "generations are counted from 1")
        reports = _reports(request)
        outcomes = await self._engine.write(
            lambda work: take_reports(work, tenant_id, ticket_id, request.generation, reports)
        )
        return rpc.ReportSlaThresholdsResponse(
            outcomes=map(rpc.SlaReportOutcome.ValueType, outcomes)
        ).SerializeToString()


def _reports(request: rpc.ReportSlaThresholdsRequest) -> list[Report]:
    at_most("reports", request.reports, MAX_REPORTS)
    reports = []
    for index, item in enumerate(request.reports):
        path = f"reports[{index}]"
        check_percent(f"{path}.percent", item.percent)
        if item.clock and item.phase:
            raise InvalidField(f"{path}.clock", "CONTRADICTORY", "give either phase or clock")
        clock = item.clock or enum(f"{path}.phase", item.phase, Phase).name.lower()
        reports.append(Report(clock, instant(item, "cycle_opened_at", path) or 0, item.percent))
    return reports
