"""The SlaWorker service: what workers outside the daemon report."""

from __future__ import annotations

from typing import Final

from slad_client.v1 import worker_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.events import Phase
from slad.core.terms import MAX_PERCENT
from slad.engine.engine import SlaEngine
from slad.service.requests import checked_id, enum, required_id
from slad.temporal.passthrough.reports import Report, take_reports

MAX_REPORTS: Final = 200
"""Reports in one message: more than a ticket has thresholds."""


class SlaWorker:
    """The methods of `slad.v1.SlaWorker`."""

    def __init__(self, engine: SlaEngine) -> None:
        self._engine = engine

    async def ReportSlaThresholds(self, request: rpc.ReportSlaThresholdsRequest) -> bytes:
        """Thresholds that a worker found reached (C5)."""
        tenant_id = checked_id("tenant_id", request.tenant_id)
        ticket_id = required_id("ticket_id", request.ticket_id)
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
    if len(request.reports) > MAX_REPORTS:
        message = f"{len(request.reports)} items, at most {MAX_REPORTS} are allowed"
        raise InvalidField("reports", "TOO_MANY", message)
    reports = []
    for index, item in enumerate(request.reports):
        path = f"reports[{index}]"
        if not 1 <= item.percent <= MAX_PERCENT:
            message = f"{item.percent} is not a percent from 1 to {MAX_PERCENT}"
            raise InvalidField(f"{path}.percent", "PERCENT_OUT_OF_RANGE", message)
        reports.append(Report(enum(f"{path}.phase", item.phase, Phase), item.percent))
    return reports
