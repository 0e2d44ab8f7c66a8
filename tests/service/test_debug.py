"""The look inside: SlaDebug and gRPC's channelz, of a daemon that has something in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from slad_client.v1 import debug_pb2, debug_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.storage.database import DataDirectory
from tests.slad_under_test import MONDAY_9, Slad, refused, slad_running, target


def debug(slad: Slad) -> Any:
    return debug_pb2_grpc.SlaDebugStub(slad.channel)


async def internals(slad: Slad) -> debug_pb2.GetSlaInternalsResponse:
    return await debug(slad).GetSlaInternals(debug_pb2.GetSlaInternalsRequest())


async def timers(slad: Slad, size: int = 0) -> list[debug_pb2.SlaTimer]:
    reply = await debug(slad).ListSlaTimers(debug_pb2.ListSlaTimersRequest(page_size=size))
    return list(reply.timers)


def ms(stamp: Any) -> int:
    return int(stamp.ToMilliseconds())


async def start(slad: Slad, ticket: str, minutes: int) -> None:
    await slad.start(ticket, targets=[target(minutes, None, (0, 0, 0))], notification_thresholds=[50])


async def test_the_wheel_level_by_level_and_its_horizon(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "soon", 2)
        await start(slad, "sooner", 2)
        await start(slad, "next day", 600)
        wheel = (await internals(slad)).timers
        assert (wheel.armed, wheel.overdue, wheel.late) == (2, 0, 0), "what is far away waits in the database"
        assert ms(wheel.next_at) == MONDAY_9 + MINUTE_MS
        assert MONDAY_9 + 5 * MINUTE_MS <= ms(wheel.loaded_until) < MONDAY_9 + HOUR_MS
        assert sum(level.timers for level in wheel.levels) == 2
        assert {ms(level.slot) for level in wheel.levels} <= {64**n for n in range(8)}
        for level in wheel.levels:
            assert ms(level.slot) == 64**level.level


async def test_the_writer_the_events_and_the_calls(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1")
        await slad.start("T-2")
        await refused(slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="none", reason=1)))
        reader = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await reader.read()
        await slad.backend.AckSlaEvents(rpc.AckSlaEventsRequest(consumer="psa", sequence=1))
        found = await internals(slad)
        reader.cancel()
    writer = found.writer
    assert (writer.queue_depth, writer.queue_limit, writer.writable, writer.trouble) == (0, 10_000, True, "")
    assert (writer.commits, writer.commit_failures) == (4, 0)
    assert writer.mean_commands_per_commit == 1
    assert ms(writer.last_commit_at) == MONDAY_9
    assert writer.last_commit_took.ToNanoseconds() > 0
    assert writer.mean_commit_took.ToNanoseconds() > 0
    events = found.events
    assert (events.head_sequence, events.tail_events, events.watches) == (2, 2, 1)
    (consumer,) = events.consumers
    assert (consumer.consumer, consumer.acknowledged_sequence, consumer.lag, consumer.streams) == (
        "psa",
        1,
        1,
        1,
    )
    assert ms(consumer.acknowledged_at) == ms(consumer.created_at) == MONDAY_9
    calls = {call.rpc: call for call in found.calls}
    assert calls["StartSlaTracking"].succeeded == 2
    assert calls["StartSlaTracking"].mean_duration.ToNanoseconds() > 0
    assert dict(calls["PauseSla"].failed) == {"NOT_FOUND": 1}
    assert calls["WatchSlaEvents"].open == 1
    assert "CancelSla" not in calls


async def test_the_process_its_clock_and_its_disk(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        found = await internals(slad)
    assert found.clock.virtual
    assert ms(found.clock.now) == MONDAY_9
    process, database = found.process, found.database
    assert process.grpcio == grpc.__version__
    assert process.resident_bytes > 1_000_000
    assert process.tasks > 1
    assert database.file_bytes > 0
    assert database.disk_free_bytes > 0


async def test_it_answers_while_the_disk_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: DataDirectory) -> None:
        raise OSError("gone")

    async with slad_running(tmp_path) as slad:
        monkeypatch.setattr(DataDirectory, "usage", fail)
        found = await internals(slad)
        assert not found.HasField("database")
        assert found.writer.writable


async def test_what_fires_next_of_all_tickets_near_and_far(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "third", 480)
        await start(slad, "first", 60)
        await start(slad, "second", 240)
        await start(slad, "paused", 30)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="paused", reason=1))
        found = await timers(slad)
        assert [timer.ticket_id for timer in found] == ["first", "second", "third"]
        assert [ms(timer.fires_at) - MONDAY_9 for timer in found] == [
            30 * MINUTE_MS, 120 * MINUTE_MS, 240 * MINUTE_MS,
        ]  # fmt: skip
        (reached,) = found[0].thresholds
        assert (reached.phase, reached.threshold.percent, reached.threshold.breach) == (
            pb.SLA_PHASE_RESPONSE, 50, False,
        )  # fmt: skip
        assert [timer.ticket_id for timer in await timers(slad, size=1)] == ["first"]

        await slad.advance(minutes=30)
        found = await timers(slad)
        assert [timer.ticket_id for timer in found] == ["first", "second", "third"]
        assert found[0].thresholds[0].threshold.breach, "50 % is behind it"
        await slad.advance_to(MONDAY_9 + 2 * DAY_MS)
        assert not await timers(slad)


@pytest.mark.parametrize("size", [-1, 201])
async def test_a_page_of_no_such_size(tmp_path: Path, size: int) -> None:
    async with slad_running(tmp_path) as slad:
        refusal = await refused(debug(slad).ListSlaTimers(debug_pb2.ListSlaTimersRequest(page_size=size)))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_size"])


async def test_channelz_shows_the_server_and_who_is_connected(tmp_path: Path) -> None:
    async with slad_running(tmp_path, listen=("127.0.0.1:0", f"unix:{tmp_path}/s")) as slad:
        await slad.start("T-1")
        stub = channelz_pb2_grpc.ChannelzStub(slad.channel)
        servers = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
        listeners = {server.ref.server_id: [s.name for s in server.listen_socket] for server in servers}
        # Not those of other tests, which this process may not have forgotten yet.
        (mine,) = (s for s in servers if f"unix:{tmp_path}/s" in " ".join(listeners[s.ref.server_id]))
        assert mine.data.calls_started >= 2
        assert any("ipv4:127.0.0.1" in name for name in listeners[mine.ref.server_id])
        request = channelz_pb2.GetServerSocketsRequest(server_id=mine.ref.server_id)
        (peer,) = (await stub.GetServerSockets(request)).socket_ref
        socket = (await stub.GetSocket(channelz_pb2.GetSocketRequest(socket_id=peer.socket_id))).socket
        assert socket.data.streams_started >= 2
        refusal = await refused(stub.GetServer(channelz_pb2.GetServerRequest(server_id=10**9)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CHANNELZ_ID_NOT_FOUND")
