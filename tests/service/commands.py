"""Commands and queries of one ticket, as the tests of rules send them."""

from __future__ import annotations

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.slad_under_test import Slad

IDS = {"tenant_id": "acme", "ticket_id": "T-1"}
CLIENT, STATUS = pb.SLA_PAUSE_REASON_AWAITING_CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION


async def pause(slad: Slad, reason: pb.SlaPauseReason = CLIENT, **fields: object) -> rpc.PauseSlaResponse:
    return await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=reason, **(IDS | fields)))


async def resume(slad: Slad, **fields: object) -> rpc.ResumeSlaResponse:
    return await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**(IDS | fields)))


async def complete(slad: Slad, phase: pb.SlaPhase, **fields: object) -> rpc.CompleteSlaResponse:
    return await slad.backend.CompleteSla(rpc.CompleteSlaRequest(phase=phase, **(IDS | fields)))


async def cancel(slad: Slad, **fields: object) -> rpc.CancelSlaResponse:
    return await slad.backend.CancelSla(rpc.CancelSlaRequest(**(IDS | fields)))


async def status(slad: Slad, **fields: object) -> pb.SlaStatus:
    reply = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**(IDS | fields)))
    return reply.status


def percents(clock: pb.SlaClock) -> list[int]:
    return [threshold.percent for threshold in clock.thresholds]


def fired(clock: pb.SlaClock) -> list[int]:
    return [threshold.percent for threshold in clock.thresholds if threshold.HasField("fired_at")]
