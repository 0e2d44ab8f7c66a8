"""The daemon's side of SlaWorker, which writes down what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from slad_client.v1 import types_pb2 as pb
from slad_client.v1 import worker_pb2 as rpc
from slad_client.v1 import worker_pb2_grpc


class Reported(NamedTuple):
    """One report, as it came."""

    ticket_id: str
    phase: str
    percent: int
    scheduled_at: int
    fired_at: int
    generation: int


@dataclass
class Recorder(worker_pb2_grpc.SlaWorkerServicer):
    """Takes every report; `judge` may say otherwise of a request, or raise through `context.abort`."""

    reports: list[Reported] = field(default_factory=list)
    calls: int = 0
    judge: Callable[[rpc.ReportSlaThresholdsRequest, Any], Any] | None = None
    port: int = 0
    channel: grpc.aio.Channel | None = None

    async def ReportSlaThresholds(  # noqa: N802
        self, request: rpc.ReportSlaThresholdsRequest, context: Any
    ) -> rpc.ReportSlaThresholdsResponse:
        self.calls += 1
        outcomes = None if self.judge is None else await self.judge(request, context)
        if outcomes is None:
            outcomes = [rpc.SLA_REPORT_OUTCOME_TAKEN] * len(request.reports)
        for report, outcome in zip(request.reports, outcomes, strict=True):
            if outcome == rpc.SLA_REPORT_OUTCOME_TAKEN:
                self.reports.append(
                    Reported(
                        request.ticket_id,
                        pb.SlaPhase.Name(report.phase).removeprefix("SLA_PHASE_").lower(),
                        report.percent,
                        report.scheduled_at.ToMilliseconds(),
                        report.fired_at.ToMilliseconds(),
                        request.generation,
                    )
                )
        return rpc.ReportSlaThresholdsResponse(outcomes=outcomes)

    def refuse(self, times: int) -> None:
        """Is away (UNAVAILABLE) for so many calls."""
        left = iter(range(times))

        async def judge(_: rpc.ReportSlaThresholdsRequest, context: Any) -> None:
            if next(left, None) is not None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

        self.judge = judge

    def of(self, ticket_id: str) -> list[tuple[str, int]]:
        """(phase, percent) of a ticket's reports, in order."""
        return [(r.phase, r.percent) for r in self.reports if r.ticket_id == ticket_id]


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """A Recorder that serves, with a channel to it."""
    recorder = Recorder()
    server = grpc.aio.server()
    worker_pb2_grpc.add_SlaWorkerServicer_to_server(recorder, server)
    recorder.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{recorder.port}") as channel:
        recorder.channel = channel
        yield recorder
    await server.stop(None)
