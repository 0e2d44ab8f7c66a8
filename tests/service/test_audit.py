"""The audit: which commands were carried out on a ticket, and with which token they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import msgspec
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc as stubs
from slad_client.v1 import tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS
from slad.service import replies
from slad.service.replies import MAX_AUDIT_BYTES
from slad.storage.codec import AuditEntry, decode_audit, encode
from tests.slad_under_test import MONDAY_9, bearer, refused, slad_running, stamp, start_request, trusted


async def audit(backend: Any, ticket_id: str = "T-1", **options: Any) -> list[pb.SlaAuditEntry]:
    request = rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id=ticket_id, include_audit=True)
    return list((await backend.GetSlaTimeline(request, **options)).audit)


def brief(entries: list[pb.SlaAuditEntry]) -> list[tuple[str, str, bool]]:
    return [(entry.command, entry.request_id, entry.changed) for entry in entries]


async def test_commands_come_in_order_and_refused_ones_not_at_all(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(request_id="R-1")
        await slad.start(request_id="R-1")
        earlier = stamp(MONDAY_9 + HOUR_MS)
        await slad.advance(hours=2)
        pause = rpc.PauseSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT,
            effective_at=earlier,
        )
        await slad.backend.PauseSla(pause)
        await slad.backend.PauseSla(pause)
        await refused(slad.start(on_existing=pb.ON_EXISTING_FAIL))
        entries = await audit(slad.backend)
        # A repeated pause is a fact that may yet matter, so it stands there; a repeated request does not.
        assert brief(entries) == [("Start", "R-1", True), ("Pause", "", True), ("Pause", "", False)]
        assert not entries[0].HasField("effective_at")
        assert entries[1].effective_at == earlier
        assert entries[1].recorded_at == stamp(MONDAY_9 + 2 * HOUR_MS)
        assert {entry.token_id for entry in entries} == {""}
        request = rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id="T-1")
        assert not (await slad.backend.GetSlaTimeline(request)).audit, "only when asked for"


async def test_each_command_bears_its_token(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        writer, other = await token(local, "psa"), await token(local, "migration")
        ours, theirs = bearer(writer.secret), bearer(other.secret)
        await slad.backend.StartSlaTracking(start_request(), **ours)
        row = rpc.SlaTrackingImport(start=start_request(ticket_id="T-2"))
        await slad.backend.ImportSlaTrackings(
            iter([rpc.ImportSlaTrackingsRequest(trackings=[row])]), **theirs
        )
        await slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id="T-1"), **theirs)
        await stubs.SlaBackendStub(local).StartSlaTracking(start_request(ticket_id="T-3"))
        # T-2 is not on the list, so the reconciliation cancels it.
        listed = rpc.ReconcileSlaTrackingsRequest(
            tenant_id="acme",
            apply=True,
            explicit_end=True,
            end=True,
            trackings=[rpc.SlaTrackingImport(start=start_request(ticket_id="T-3"))],
        )
        await slad.backend.ReconcileSlaTrackings(iter([listed]), **ours)

        async def told(ticket_id: str) -> list[tuple[str, str]]:
            return [(e.command, e.token_id) for e in await audit(slad.backend, ticket_id, **ours)]

        psa, migration = writer.token.token_id, other.token.token_id
        assert await told("T-1") == [("Start", psa), ("Cancel", migration)]
        assert await told("T-2") == [("Start", migration), ("Mend", psa)]
        assert await told("T-3") == [("Start", "")]


def test_an_entry_of_before_tokens_were_noted_is_readable() -> None:
    entry = AuditEntry("Pause", 7, "R-1", changed=True, note="a note", token_id="gone")
    parts = msgspec.msgpack.decode(encode(entry))
    assert decode_audit(msgspec.msgpack.encode(parts[:-2])) == msgspec.structs.replace(entry, token_id="")


def test_of_more_commands_than_a_reply_holds_the_latest_are_told() -> None:
    entry = AuditEntry("Pause", None, "R" * 500, changed=True)
    body = replies.audit([(at, entry) for at in range(20_000)])
    assert MAX_AUDIT_BYTES <= len(body) < MAX_AUDIT_BYTES * 1.02
    told = rpc.GetSlaTimelineResponse.FromString(body).audit
    instants = [message.recorded_at.ToMilliseconds() for message in told]
    assert instants == list(range(20_000 - len(told), 20_000))


async def token(channel: grpc.aio.Channel, name: str) -> tokens_pb2.CreateSlaTokenResponse:
    request = tokens_pb2.CreateSlaTokenRequest(name=name, role=tokens_pb2.SLA_ROLE_WRITE, all_tenants=True)
    return await tokens_pb2_grpc.SlaTokensStub(channel).CreateSlaToken(request)
