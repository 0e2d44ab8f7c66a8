"""ExecuteSla and BatchGetSlaStatus (X1 to X5): each command as if it were sent alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc, tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.service import execution
from slad.service.limits import MAX_BATCH
from tests.slad_under_test import (
    Slad,
    bearer,
    refusal_of,
    refused,
    slad_running,
    stamp,
    start_request,
    target,
    trusted,
)

IDS = {"tenant_id": "acme", "ticket_id": "T-1"}
CLIENT = pb.SLA_PAUSE_REASON_AWAITING_CLIENT
METHODS = {
    "start": "StartSlaTracking",
    "pause": "PauseSla",
    "resume": "ResumeSla",
    "complete": "CompleteSla",
    "cancel": "CancelSla",
    "retarget": "RetargetSla",
    "reopen": "ReopenSla",
    "message": "RecordSlaMessage",
    "assign": "AssignSla",
}
"""The RPC of each command."""

FIELD_OF = {
    field.message_type.name: field.name
    for field in rpc.SlaCommand.DESCRIPTOR.oneofs_by_name["command"].fields
}


def command(request: Message) -> rpc.SlaCommand:
    return rpc.SlaCommand(**{FIELD_OF[request.DESCRIPTOR.name]: request})


async def execute(slad: Slad, *requests: Message, metadata: Any = None, **fields: Any) -> list[rpc.SlaResult]:
    """One message and a half-close: a batch."""
    message = rpc.ExecuteSlaRequest(commands=map(command, requests), **fields)
    call = slad.backend.ExecuteSla(_each([message]), metadata=metadata)
    return [result async for reply in call for result in reply.results]


async def _each(messages: Iterable[rpc.ExecuteSlaRequest]) -> AsyncIterator[rpc.ExecuteSlaRequest]:
    for message in messages:
        yield message


def outcome(result: rpc.SlaResult) -> Message:
    return getattr(result, result.WhichOneof("result") or "")


def reason(result: rpc.SlaResult) -> str:
    return refusal_of(result.error).reason


LIFE: Sequence[Message] = (
    start_request(request_id="r-1"),
    start_request(request_id="r-1"),
    start_request(request_id="r-1", policy_id="other"),
    start_request(on_existing=pb.ON_EXISTING_FAIL),
    start_request("T-2", targets=[target(response=-1)]),
    start_request("T-3", tenant_id=""),
    start_request("T-4"),
    rpc.PauseSlaRequest(reason=CLIENT, **IDS),
    rpc.PauseSlaRequest(reason=CLIENT, ticket_id="T-1", request_id="r-2"),
    rpc.PauseSlaRequest(**IDS),
    rpc.PauseSlaRequest(reason=CLIENT, tenant_id="acme", ticket_id="none"),
    rpc.RecordSlaMessageRequest(sender=pb.SLA_MESSAGE_SENDER_AGENT, **IDS),
    rpc.AssignSlaRequest(owner="team-1", **IDS),
    rpc.ResumeSlaRequest(**IDS),
    rpc.ResumeSlaRequest(effective_at=stamp("2026-03-01T00:00:00Z"), **IDS),
    rpc.RetargetSlaRequest(targets=[target(30, 60)], schedule=start_request().schedule, **IDS),
    rpc.RetargetSlaRequest(**IDS),
    rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESPONSE, met=False, **IDS),
    rpc.CompleteSlaRequest(clock="none", **IDS),
    rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESOLUTION, **IDS),
    rpc.PauseSlaRequest(reason=CLIENT, **IDS),
    rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME, **IDS),
    rpc.ReopenSlaRequest(**IDS),
    rpc.CancelSlaRequest(**IDS),
    rpc.CancelSlaRequest(ticket_id="T-1", effective_at=stamp("2030-01-01T00:00:00Z")),
)
"""Something of every kind of command, and of what is refused; in an order that matters."""


async def singly(slad: Slad, request: Message) -> Message:
    """What the command's own RPC says of it."""
    try:
        return await getattr(slad.backend, METHODS[FIELD_OF[request.DESCRIPTOR.name]])(request)
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        assert status is not None
        return status


@pytest.mark.parametrize("size", [1, 4, len(LIFE)])
async def test_results_are_those_of_the_single_calls_in_the_order_of_the_commands(
    tmp_path: Path, size: int
) -> None:
    """X1 to X3, whatever shares a message: replies, refusals and their details, events, audit."""
    async with slad_running(tmp_path / "one") as one, slad_running(tmp_path / "many") as many:
        expected = [await singly(one, request) for request in LIFE]
        call = many.backend.ExecuteSla(
            _each(
                rpc.ExecuteSlaRequest(commands=map(command, LIFE[begin : begin + size]))
                for begin in range(0, len(LIFE), size)
            )
        )
        found = [outcome(result) async for reply in call for result in reply.results]
        assert found == expected
        assert {type(reply) for reply in found} >= {status_pb2.Status, rpc.ReopenSlaResponse}
        for asked in (rpc.GetSlaTimelineRequest(include_audit=True, generation=g, **IDS) for g in (1, 2)):
            lives = [await slad.backend.GetSlaTimeline(asked) for slad in (one, many)]
            assert lives[0] == lives[1]
            assert lives[0].events
            assert lives[0].audit


async def test_every_command_has_its_result_by_the_same_name(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        results = await execute(slad, *LIFE)
        for request, result in zip(LIFE, results, strict=True):
            assert result.WhichOneof("result") in ("error", FIELD_OF[request.DESCRIPTOR.name])
        assert set(METHODS) == set(FIELD_OF.values())
        assert {result.WhichOneof("result") for result in results} == {*METHODS, "error"}


async def test_a_refused_command_touches_no_other(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        results = await execute(
            slad,
            start_request("T-1"),
            start_request("", request_id="kept"),
            start_request("T-2", request_id="kept"),
        )
        assert [result.WhichOneof("result") for result in results] == ["start", "error", "start"]
        assert refusal_of(results[1].error).fields == ["ticket_id"]
        assert results[2].start.created, "a refused command has not used up its request_id"


async def test_a_command_that_says_nothing_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        message = rpc.ExecuteSlaRequest(commands=[rpc.SlaCommand(), command(start_request())])
        replies = [reply async for reply in slad.backend.ExecuteSla(_each([message]))]
        first, second = replies[0].results
        got = refusal_of(first.error)
        assert (got.code, got.reason, got.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUIRED",
            ["command"],
        )
        assert second.start.created


async def test_omit_status_leaves_it_out_of_replies_and_of_what_is_remembered(tmp_path: Path) -> None:
    """X4; a repeated request_id returns the first answer as it was made."""
    async with slad_running(tmp_path) as slad:
        brief = await execute(slad, *LIFE, omit_status=True)
        assert not any(hasattr(outcome(r), "status") and outcome(r).HasField("status") for r in brief)
        assert brief[0].start.created
        assert [r.WhichOneof("result") for r in brief] == [
            r.WhichOneof("result") for r in await _elsewhere(tmp_path / "other")
        ]
        again = await slad.start(request_id="r-1")
        assert again == brief[0].start


async def _elsewhere(data: Path) -> list[rpc.SlaResult]:
    async with slad_running(data) as slad:
        return await execute(slad, *LIFE)


async def test_a_stream_stays_open_and_its_results_are_durable(tmp_path: Path) -> None:
    """X3: what a result says is there after the daemon was stopped; a stream is answered while it is open."""
    async with slad_running(tmp_path) as slad:
        call = slad.backend.ExecuteSla()
        for number in range(3):
            await call.write(rpc.ExecuteSlaRequest(commands=[command(start_request(f"T-{number}"))]))
            assert (await call.read()).results[0].start.created
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    async with slad_running(tmp_path) as slad:
        for number in range(3):
            assert not (await slad.start(f"T-{number}")).created


async def test_what_a_broken_stream_did_is_found_by_sending_it_again(tmp_path: Path) -> None:
    """X3: with the same request_ids everything is answered, and nothing is done twice."""
    requests = [start_request(f"T-{n}", request_id=f"r-{n}") for n in range(200)]
    async with slad_running(tmp_path) as slad:
        call = slad.backend.ExecuteSla()
        await call.write(rpc.ExecuteSlaRequest(commands=map(command, requests)))
        await call.wait_for_connection()
        call.cancel()
        results = await execute(slad, *requests)
        assert [result.start.created for result in results] == [True] * 200
        assert len([e for e in await slad.events() if e.type == pb.SLA_EVENT_TYPE_STARTED]) == 200


async def test_a_message_of_too_many_commands_ends_the_stream_after_the_results_before_it(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        many = [rpc.SlaCommand(start=start_request(f"M-{n}")) for n in range(MAX_BATCH + 1)]
        call = slad.backend.ExecuteSla(
            _each(
                [
                    rpc.ExecuteSlaRequest(commands=[command(start_request("T-1"))]),
                    rpc.ExecuteSlaRequest(commands=many),
                ]
            )
        )
        assert (await call.read()).results[0].start.created
        got = await refused(call.read())
        assert (got.code, got.reason, got.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "TOO_MANY",
            ["commands"],
        )
        assert (await refused(slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(ticket_id="M-0")))).reason
        call = slad.backend.ExecuteSla(_each([rpc.ExecuteSlaRequest(commands=many[:MAX_BATCH])]))
        assert sum([len(reply.results) async for reply in call]) == MAX_BATCH


async def test_a_message_of_too_many_bytes_ends_the_stream(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        call = slad.backend.ExecuteSla()
        await call.write(rpc.ExecuteSlaRequest(commands=[command(start_request(policy_id="x" * 4_200_000))]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# --- whose commands they are


async def token(local: grpc.aio.Channel, *tenants: str) -> dict[str, Any]:
    """The options of a call with a token for these tenants."""
    request = tokens_pb2.CreateSlaTokenRequest(
        role=tokens_pb2.SLA_ROLE_WRITE, tenant_ids=tenants, all_tenants=not tenants
    )
    made = await tokens_pb2_grpc.SlaTokensStub(local).CreateSlaToken(request)
    return bearer(made.secret)


async def test_each_command_is_held_against_the_token(tmp_path: Path) -> None:
    """X2: those of other tenants are refused, and touch nothing; the others are carried out."""
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await slad.start("T-1", tenant_id="other")
        mine = await token(local, "acme")
        results = await execute(
            slad,
            start_request("T-1"),
            start_request("T-2", tenant_id="other"),
            rpc.PauseSlaRequest(tenant_id="other", ticket_id="T-1", reason=CLIENT),
            rpc.CancelSlaRequest(ticket_id="T-1"),
            **mine,
        )
        assert [result.WhichOneof("result") for result in results] == ["start", "error", "error", "cancel"]
        assert {reason(result) for result in results[1:3]} == {"TENANT_NOT_ALLOWED"}
        assert results[3].cancel.status.tenant_id == "acme", "without a tenant the caller's is meant"
        everything = sla_backend_pb2_grpc.SlaBackendStub(local)
        page = await everything.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id="other"))
        assert [(status.ticket_id, status.is_paused) for status in page.trackings] == [("T-1", False)]
        life = await everything.GetSlaTimeline(rpc.GetSlaTimelineRequest(include_audit=True, **IDS))
        assert {entry.token_id for entry in life.audit} != {""}, "the audit names the token"


async def test_a_ticket_that_the_stream_has_just_started_is_found_without_its_tenant(tmp_path: Path) -> None:
    """M7 with a token for several tenants, among whose tickets it is looked for: those of the stream too."""
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        several = await token(local, "acme", "other")
        await sla_backend_pb2_grpc.SlaBackendStub(local).StartSlaTracking(
            start_request("T-9", tenant_id="stranger")
        )
        results = await execute(
            slad,
            start_request("T-1", tenant_id="other"),
            rpc.PauseSlaRequest(ticket_id="T-1", reason=CLIENT),
            start_request("T-2"),
            rpc.ResumeSlaRequest(ticket_id="T-1"),
            rpc.CancelSlaRequest(ticket_id="T-9"),
            **several,
        )
        assert [result.WhichOneof("result") for result in results] == [
            "start",
            "pause",
            "start",
            "resume",
            "error",
        ]
        assert results[1].pause.status.tenant_id == "other"
        assert reason(results[4]) == "TRACKING_NOT_FOUND"


async def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        admin = tokens_pb2_grpc.SlaTokensStub(local)
        made = await admin.CreateSlaToken(
            tokens_pb2.CreateSlaTokenRequest(role=tokens_pb2.SLA_ROLE_WRITE, all_tenants=True)
        )
        call = slad.backend.ExecuteSla(**bearer(made.secret))
        await call.write(rpc.ExecuteSlaRequest(commands=[command(start_request())]))
        assert (await call.read()).results[0].start.created
        await admin.RevokeSlaToken(tokens_pb2.RevokeSlaTokenRequest(token_id=made.token.token_id))
        got = await refused(call.read())
        assert (got.code, got.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


# --- much at once


async def test_a_stream_that_does_not_read_its_results_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X4: of a slow reader's commands only so many are under way; when it reads, all are answered."""
    monkeypatch.setattr(execution, "MAX_UNDER_WAY", 100)
    attributes = {f"{n:02}": "x" * 1_000 for n in range(32)}
    messages = [
        rpc.ExecuteSlaRequest(
            commands=[
                command(start_request(f"T-{m}-{n}", attributes=attributes, request_id=f"{m}-{n}"))
                for n in range(10)
            ]
        )
        for m in range(200)
    ]
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        call = slad.backend.ExecuteSla(_each(messages))
        events, before = 0, -1
        while events == 0 or events != before:
            before = events
            await asyncio.sleep(0.2)
            events = await _head(local)
        assert events < 2_000, "the stream was read to its end"
        results = [result async for reply in call for result in reply.results]
        assert [result.start.status.ticket_id for result in results] == [
            request.start.ticket_id for message in messages for request in message.commands
        ]


async def _head(local: grpc.aio.Channel) -> int:
    """The sequence of the newest event."""
    watch = sla_backend_pb2_grpc.SlaBackendStub(local).WatchSlaEvents(rpc.WatchSlaEventsRequest())
    metadata = dict(await watch.initial_metadata())
    watch.cancel()
    return int(metadata["slad-head-sequence"])


async def test_streams_that_stand_open_end_with_the_daemon_and_what_they_sent_is_answered(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        idle, busy = slad.backend.ExecuteSla(), slad.backend.ExecuteSla()
        await idle.wait_for_connection()
        await busy.write(rpc.ExecuteSlaRequest(commands=[command(start_request())]))
        assert (await busy.read()).results[0].start.created
        slad.daemon.request_stop()
        for call in (idle, busy):
            got = await refused(call.read())
            assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")


async def test_two_streams_and_single_calls_take_turns(tmp_path: Path) -> None:
    """X4: who sends a thousand at once does not let another wait for all of them."""
    async with slad_running(tmp_path) as slad:
        order: list[str] = []

        async def send(name: str, number: int) -> None:
            await execute(slad, *(start_request(f"{name}-{n}") for n in range(number)), omit_status=True)
            order.append(name)

        long = asyncio.create_task(send("long", 1_000))
        while not await _head(slad.channel):
            pass
        await asyncio.gather(long, send("short", 10), _single(slad, order))
        assert order[-1] == "long"


async def _single(slad: Slad, order: list[str]) -> None:
    await slad.start("single")
    order.append("single")


# --- BatchGetSlaStatus


async def batch_status(slad: Slad, *ticket_ids: str, **fields: Any) -> rpc.BatchGetSlaStatusResponse:
    request = rpc.BatchGetSlaStatusRequest(**({"tenant_id": "acme", "ticket_ids": ticket_ids} | fields))
    return await slad.backend.BatchGetSlaStatus(request)


async def test_statuses_come_in_the_order_asked_and_absent_ones_are_named(tmp_path: Path) -> None:
    """X5, over more than is read at once."""
    names = [f"T-{n}" for n in range(100)]
    async with slad_running(tmp_path) as slad:
        await execute(slad, *map(start_request, names))
        await execute(slad, start_request("T-1", tenant_id="other"))
        await slad.backend.CancelSla(rpc.CancelSlaRequest(**IDS))
        asked = [*reversed(names), "no-1", "T-3", "no-2"]
        page = await batch_status(slad, *asked)
        assert [status.ticket_id for status in page.statuses] == [*reversed(names), "T-3"]
        assert list(page.not_found) == ["no-1", "no-2"]
        assert not page.unreadable
        for status in page.statuses:
            alone = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=status.ticket_id)
            assert status == (await slad.backend.GetSlaStatus(alone)).status
        strangers = await batch_status(slad, "T-1", tenant_id="nobody")
        assert (list(strangers.not_found), len(strangers.statuses)) == (["T-1"], 0)
        assert await batch_status(slad) == rpc.BatchGetSlaStatusResponse()


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"tenant_id": ""}, "tenant_id", "REQUIRED"),
        ({"ticket_ids": ["T-1", ""]}, "ticket_ids[1]", "REQUIRED"),
        ({"ticket_ids": ["x" * 201]}, "ticket_ids[0]", "TOO_LONG"),
        ({"ticket_ids": ["T-1"] * (MAX_BATCH + 1)}, "ticket_ids", "TOO_MANY"),
    ],
)
async def test_a_batch_of_statuses_that_cannot_be_names_the_field(
    tmp_path: Path, fields: dict[str, Any], path: str, why: str
) -> None:
    async with slad_running(tmp_path) as slad:
        got = await refused(batch_status(slad, **fields))
        assert (got.code, got.reason, got.fields) == (grpc.StatusCode.INVALID_ARGUMENT, why, [path])


async def test_more_statuses_than_a_reply_may_hold_are_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        attributes = {f"{n:02}": "x" * 1_000 for n in range(32)}
        names = [f"T-{n}" for n in range(66)]
        await execute(slad, *(start_request(name, attributes=attributes) for name in names), omit_status=True)
        assert len((await batch_status(slad, *names[:60])).statuses) == 60
        got = await refused(batch_status(slad, *names))
        assert (got.code, got.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REPLY_TOO_LARGE")


async def test_results_that_are_too_many_bytes_for_one_reply_come_in_several(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        attributes = {f"{n:02}": "x" * 1_000 for n in range(32)}
        requests = [start_request(f"T-{n}", attributes=attributes) for n in range(100)]
        call = slad.backend.ExecuteSla(_each([rpc.ExecuteSlaRequest(commands=map(command, requests))]))
        replies = [reply async for reply in call]
        assert len(replies) == 2
        found = [result.start.status.ticket_id for reply in replies for result in reply.results]
        assert found == [request.ticket_id for request in requests]
