"""What a slad that may not serve tells a real Temporal server: nothing, until it holds its lease again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from pathlib import Path

import grpc
from slad_client.v1 import pass_through_pb2, pass_through_pb2_grpc, sla_backend_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb
from temporalio.client import Client, WorkflowExecutionStatus

from slad.config.settings import FenceSettings
from slad.temporal.workflow.names import EPOCH_MEMO, Signal, workflow_id
from tests.daemon.test_fenced import LEASE_MS, Stepped
from tests.ports import own_port
from tests.slad_under_test import refused
from tests.system.e2e.slad_process import COMMAND, SladProcess, slad_process
from tests.temporal.dev_server import dev_server, eventually, pass_through, signals_of
from tests.temporal.on_temporal import RECONNECT_SOON

LONG_ENOUGH_S = 3.0
"""For a message that should not be sent: without the gate it takes some milliseconds."""

BOTH = {"tenants": ("acme", "globex")}

CLIENT = pb.SLA_PAUSE_REASON_AWAITING_CLIENT
YEARS = pb.SlaPolicyTarget(response_time_minutes=1_000_000, is_24x7=True)
"""Nothing falls due meanwhile."""


async def statuses(client: Client) -> dict[str, WorkflowExecutionStatus | None]:
    """How the workflows stand, by ticket."""
    return {run.id.rpartition("-")[2]: run.status async for run in client.list_workflows()}


async def test_what_waits_is_sent_when_the_lease_is_held_again_and_not_before(tmp_path: Path) -> None:
    clock, fence = Stepped(), FenceSettings(str(tmp_path / "fence"), LEASE_MS)
    running = WorkflowExecutionStatus.RUNNING
    with dev_server(tmp_path) as server:
        async with pass_through(
            server, tmp_path / "data", "fenced", worker=False, routing=BOTH, clock=clock, fence=fence
        ) as tried:
            backend = tried.slad.backend
            for ticket in ("paused", "cancelled"):
                await tried.slad.start(ticket, targets=[YEARS])
            await tried.slad.start("moved", tenant_id="globex", targets=[YEARS])
            await tried.drained()
            server.kill()
            # A message of each kind: a signal, another, the end of a workflow, a new one.
            await backend.PauseSla(rpc.PauseSlaRequest(tenant_id="acme", ticket_id="paused", reason=CLIENT))
            await backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id="cancelled"))
            moved = pass_through_pb2.HandOverSlaTrackingsRequest(to=pb.SLA_ENGINE_LOCAL, tenant_id="globex")
            assert (await tried.control.HandOverSlaTrackings(moved)).moved == 1
            await tried.slad.start("new", targets=[YEARS])
            clock.ahead = LEASE_MS
            again = rpc.PauseSlaRequest(tenant_id="acme", ticket_id="new", reason=CLIENT)
            assert (await refused(backend.PauseSla(again))).reason == "FENCED"

            server.start()
            client = tried.client = await server.client()

            async def is_up() -> bool:
                return bool((await tried.view()).reachable)

            await eventually(is_up)
            await asyncio.sleep(LONG_ENOUGH_S)
            assert await statuses(client) == dict.fromkeys(("paused", "moved", "cancelled"), running)
            assert await tried.signals("paused") == await tried.signals("cancelled") == []
            assert (await tried.view()).waiting == 4

            clock.ahead = 0
            await tried.drained()
            assert await tried.signals("paused") == [Signal.PAUSE]
            assert await tried.signals("cancelled") == [Signal.CANCEL]
            found = await statuses(client)
            assert found["new"] is running
            assert found["moved"] is WorkflowExecutionStatus.TERMINATED


async def test_one_that_stood_still_while_its_copy_was_adopted_tells_nothing_any_more(tmp_path: Path) -> None:
    """It wakes with messages that it was to send. The copy has them too, and has sent them."""
    listen = [f"127.0.0.1:{own_port()}" for _ in range(2)]
    fence = ["--fence-at", str(tmp_path / "fence"), "--fence-lease", "3s"]

    def arguments(place: int) -> list[str]:
        return [
            "--listen", listen[place], "--data", str(tmp_path / f"data{place}"), *fence,
            "--engine", "temporal", "--temporal-address", server.address, "--temporal-task-queue", "adopted",
        ]  # fmt: skip

    with dev_server(tmp_path) as server:
        await server.client()
        with slad_process(*arguments(0)) as first:
            async with grpc.aio.insecure_channel(listen[0], options=RECONNECT_SOON) as channel:
                await _start(channel, "old")
                await _drained(channel)
                server.kill()
                pausing = rpc.PauseSlaRequest(tenant_id="acme", ticket_id="old", reason=CLIENT)
                await sla_backend_pb2_grpc.SlaBackendStub(channel).PauseSla(pausing)
                await _start(channel, "new")
            first.process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.to_thread(_adopt, tmp_path / "data0", tmp_path / "data1", fence)
                server.start()
                client = await server.client()
                with slad_process(*arguments(1)):
                    async with grpc.aio.insecure_channel(listen[1], options=RECONNECT_SOON) as channel:
                        await _drained(channel)
                        first.process.send_signal(signal.SIGCONT)
                        await eventually(lambda: _has_said(first, "fenced: epoch 1 was adopted"))
                        await asyncio.sleep(LONG_ENOUGH_S)
                        ended = rpc.CancelSlaRequest(tenant_id="acme", ticket_id="new")
                        await sla_backend_pb2_grpc.SlaBackendStub(channel).CancelSla(ended)
                        await _drained(channel)
            finally:
                first.process.send_signal(signal.SIGCONT)
        assert await signals_of(client, "old") == [Signal.PAUSE]
        assert await signals_of(client, "new") == [Signal.CANCEL]
        started = await client.get_workflow_handle(workflow_id("acme", "new")).describe()
        assert await started.memo_value(EPOCH_MEMO) == 1


def _adopt(data: Path, copy: Path, fence: list[str]) -> None:
    # Its holder's id is no part of the database, and would make the copy the same holder.
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*.sock", "slad.holder", "slad.lock"))
    command = [COMMAND, "adopt", "--data", str(copy), *fence]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


async def _start(channel: grpc.aio.Channel, ticket: str) -> None:
    request = rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id=ticket, targets=[YEARS])
    await sla_backend_pb2_grpc.SlaBackendStub(channel).StartSlaTracking(request, wait_for_ready=True)


async def _drained(channel: grpc.aio.Channel) -> None:
    control = pass_through_pb2_grpc.SlaPassThroughStub(channel)

    async def nothing_waits() -> bool:
        request = pass_through_pb2.GetSlaPassThroughRequest()
        return (await control.GetSlaPassThrough(request, wait_for_ready=True)).waiting == 0

    await eventually(nothing_waits)


async def _has_said(slad: SladProcess, words: str) -> bool:
    return any(words in entry["message"] for entry in slad.log)
