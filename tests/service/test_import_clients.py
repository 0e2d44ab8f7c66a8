"""ImportSlaTrackings while clients leave, and others go on."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable
from pathlib import Path

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.delivery.test_consumers import watching
from tests.service.importing import CLIENT, T, import_rows, lively_rows, messages, row, standing, tracked
from tests.slad_under_test import Slad, slad_running, target


async def starts_heard(slad: Slad, number: int) -> None:
    """Returns when at least so many trackings have begun."""
    async with watching(slad, "", after_sequence=0, types=[pb.SLA_EVENT_TYPE_STARTED]) as watcher:
        await watcher.tickets(number)


async def stream_completes(slad: Slad, rows: list[rpc.SlaTrackingImport]) -> None:
    """What is there is whole, and the stream again adds what is missing."""
    there = await tracked(slad)
    assert 0 < len(there) < len(rows)
    again = await import_rows(slad, *rows)
    assert again.created + again.kept == len(rows)
    # Rows that had been received when the client left may have been stored after the look.
    assert again.created > 0
    assert again.kept >= len(there)
    after = await tracked(slad)
    assert {ticket: after[ticket] for ticket in there} == there
    # Rows that were stored in one go, with nothing broken off, under another tenant.
    for each in rows:
        each.start.tenant_id = "globex"
    await import_rows(slad, *rows)
    whole = await tracked(slad, "globex")
    assert {t: standing(s) for t, s in after.items()} == {t: standing(s) for t, s in whole.items()}


async def test_a_client_that_cancels_in_the_middle_leaves_whole_rows_and_may_come_again(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        rows = lively_rows(600)
        call = slad.backend.ImportSlaTrackings()
        for message in messages(rows[:400], 40):
            await call.write(message)
        await starts_heard(slad, 100)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await stream_completes(slad, rows)


KILLED_CLIENT = """
import sys
import grpc
from slad_client.v1 import sla_backend_pb2 as rpc, sla_backend_pb2_grpc

def stream():
    with open(sys.argv[2], "rb") as file:
        whole = rpc.ImportSlaTrackingsRequest.FromString(file.read())
    for row in whole.trackings:
        yield rpc.ImportSlaTrackingsRequest(trackings=[row])
    sys.stdin.read()  # until killed

with grpc.insecure_channel(sys.argv[1]) as channel:
    sla_backend_pb2_grpc.SlaBackendStub(channel).ImportSlaTrackings(stream())
"""


async def test_a_client_that_is_killed_in_the_middle_leaves_whole_rows_and_may_come_again(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path / "data") as slad:
        rows = lively_rows(300)
        file = tmp_path / "rows"
        file.write_bytes(rpc.ImportSlaTrackingsRequest(trackings=rows[:200]).SerializeToString())
        arguments = ("-c", KILLED_CLIENT, slad.daemon.addresses[0], str(file))
        client = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE)
        try:
            await starts_heard(slad, 150)
        finally:
            client.kill()
            await client.wait()
        await stream_completes(slad, rows)


async def test_timers_and_commands_go_on_while_an_import_runs(tmp_path: Path) -> None:
    """The pause and the threshold come after the import began, and are done before it ends."""
    order: list[str] = []

    async def done(name: str, call: Awaitable[T]) -> T:
        reply = await call
        order.append(name)
        return reply

    async with slad_running(tmp_path) as slad:
        await slad.start("paused")
        await slad.start("timed", targets=[target(1, None, (0, 0, 0))])
        stream = messages((row(f"T-{n}") for n in range(4_000)), 500)
        importing = asyncio.create_task(done("import", slad.backend.ImportSlaTrackings(iter(stream))))
        await starts_heard(slad, 3)
        pausing = rpc.PauseSlaRequest(ticket_id="paused", reason=CLIENT)
        paused, _ = await asyncio.gather(
            done("pause", slad.backend.PauseSla(pausing)), done("timer", slad.advance(minutes=1))
        )
        assert paused.changed
        assert (await importing).created == 4_000
        assert order[-1] == "import"
        events = await slad.events()
        by_ticket = {e.ticket_id: e for e in events}
        last_row = by_ticket["T-3999"].sequence
        assert by_ticket["paused"].type == pb.SLA_EVENT_TYPE_PAUSED
        assert by_ticket["timed"].threshold.percent == 100
        assert max(by_ticket["paused"].sequence, by_ticket["timed"].sequence) < last_row


async def test_a_message_that_is_too_big_ends_the_call_and_leaves_whole_rows(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        too_big = row("big", attributes={"k": "v" * (5 * 1024 * 1024)})
        rows = lively_rows(20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await import_rows(slad, *rows, too_big, size=20)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        again = await import_rows(slad, *rows)
        assert again.created + again.kept == 20
        assert set(await tracked(slad)) == {f"T-{n}" for n in range(20)}
