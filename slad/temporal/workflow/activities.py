"""The activities that slad's worker serves itself: telling the daemon, and what the worker was told."""

from __future__ import annotations

import logging
from typing import Any, Final

import grpc
from slad_client.v1 import types_pb2 as pb
from slad_client.v1 import worker_pb2 as rpc
from slad_client.v1 import worker_pb2_grpc
from temporalio import activity
from temporalio.exceptions import ApplicationError

from slad.temporal.workflow import wire
from slad.temporal.workflow.names import Activity
from slad.temporal.workflow.wire import Effects, ThresholdReports

log = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]

CALL_TIMEOUT_S: Final = 4.0
"""How long one report to the daemon may take; less than `REPORT_AT_ONCE`, so that the call ends by itself."""

_USELESS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""Answers that will be the same next time."""


class SladActivities:
    """What a workflow of slad's worker calls.

    `channel` leads to the daemon; None: there is none, and a report to it is given up. `metadata` goes with
    every call.
    """

    def __init__(self, effects: Effects, channel: grpc.aio.Channel | None, metadata: Metadata = ()) -> None:
        self._effects = effects
        self._metadata = metadata
        self._worker = worker_pb2_grpc.SlaWorkerStub(channel) if channel else None

    @activity.defn(name=Activity.SETTINGS.value)
    async def settings(self) -> Any:
        """What a workflow does that was not told by its input: an Effects."""
        return wire.to_json(self._effects)

    @activity.defn(name=Activity.REPORT.value)
    async def report(self, document: Any) -> None:
        """Reports thresholds to the daemon, which judges them by the facts that it holds.

        Raises ApplicationError: to be tried again while the daemon is away or its clock is behind, not to be
        tried again when there is no daemon or it cannot understand.
        """
        if self._worker is None:
            raise ApplicationError(
                "this worker has no daemon to report to", type="NO_DAEMON", non_retryable=True
            )
        reports = wire.read(document, ThresholdReports)
        try:
            reply = await self._worker.ReportSlaThresholds(
                _request(reports), timeout=CALL_TIMEOUT_S, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                log.warning(
                    "the daemon does not track this ticket; its thresholds are dropped",
                    extra={"tenant_id": reports.tenant_id, "ticket_id": reports.ticket_id},
                )
                return
            raise ApplicationError(
                f"the daemon did not take the report: {error.details()}",
                type=error.code().name,
                non_retryable=error.code() in _USELESS,
            ) from None
        if rpc.SLA_REPORT_OUTCOME_EARLY in reply.outcomes:
            # Reports that were taken are known when this one is sent again.
            raise ApplicationError("the threshold is not due yet by the daemon's clock", type="EARLY")


def _request(reports: ThresholdReports) -> rpc.ReportSlaThresholdsRequest:
    request = rpc.ReportSlaThresholdsRequest(
        tenant_id=reports.tenant_id, ticket_id=reports.ticket_id, generation=reports.generation
    )
    request.as_of.GetCurrentTime()
    for report in reports.reports:
        item = request.reports.add(phase=pb.SlaPhase.ValueType(report.phase), percent=report.percent)
        if report.clock:
            item.clock = report.clock
            item.cycle_opened_at.FromMilliseconds(report.cycle_opened_at)
        item.scheduled_at.FromMilliseconds(report.scheduled_at)
        item.fired_at.FromMilliseconds(report.fired_at)
    return request
