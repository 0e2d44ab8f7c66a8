"""The daemon is killed in the middle of a handover, with messages for Temporal under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import grpc
import pytest
from slad_client.v1 import pass_through_pb2, pass_through_pb2_grpc, sla_backend_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb
from temporalio.client import Client

from slad.core.instants import SECOND_MS
from slad.engine.time_source import WallClock
from slad.temporal.workflow.names import workflow_id
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.ports import own_port
from tests.slad_under_test import stamp
from tests.system.e2e.slad_process import slad_process
from tests.temporal.dev_server import PATIENCE_S, dev_server, eventually
from tests.temporal.on_temporal import RECONNECT_SOON

TICKETS = [f"K-{number}" for number in range(120)]
PAGE = 40
ALWAYS = pb.SlaPolicyTarget(response_time_minutes=1, is_24x7=True)


async def test_a_handover_that_is_killed_is_begun_again_and_no_threshold_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    listen = f"127.0.0.1:{own_port()}"
    with dev_server(tmp_path) as server:
        client = await server.client()
        arguments = [
            "--listen", listen, "--data", str(tmp_path / "data"), "--temporal-task-queue", "killed",
            "--engine", "by-tenant", "--temporal-tenants", "none", "--temporal-address", server.address,
        ]  # fmt: skip
        async with (
            grpc.aio.insecure_channel(listen, options=RECONNECT_SOON) as channel,
            # What has been announced is handed to a worker that is there.
            make_worker(client, task_queue="killed", effects=Effects(report=True), daemon=channel),
        ):
            backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
            control = pass_through_pb2_grpc.SlaPassThroughStub(channel)
            with slad_process(*arguments) as first:
                began = stamp(WallClock().now() - 45 * SECOND_MS)
                for ticket in TICKETS:
                    await backend.StartSlaTracking(
                        rpc.StartSlaTrackingRequest(
                            tenant_id="acme",
                            ticket_id=ticket,
                            targets=[ALWAYS],
                            started_at=began,
                            notification_thresholds=[50, 95],
                        )
                    )
                await eventually(lambda: _is_up(control))
                request = pass_through_pb2.HandOverSlaTrackingsRequest(
                    to=pb.SLA_ENGINE_TEMPORAL, page_size=PAGE
                )
                assert (await control.HandOverSlaTrackings(request)).moved == PAGE
                # Of what is under way some has been sent and noted, some sent only, some neither.
                await eventually(lambda: _has_begun(control))
                await asyncio.to_thread(first.kill)
            with slad_process(*arguments) as second:
                await eventually(lambda: _is_up(control))
                moved = 0
                while True:
                    reply = await control.HandOverSlaTrackings(request)
                    moved += reply.moved
                    request.page_token = reply.next_page_token
                    if not request.page_token:
                        break
                assert moved == len(TICKETS) - PAGE
                fired = await _thresholds(backend)
                # What was sent twice started nothing twice.
                await eventually(lambda: _are_all_there(client))
                assert await asyncio.to_thread(second.terminate) == 0
        assert fired == Counter({(ticket, percent): 1 for ticket in TICKETS for percent in (50, 95, 100)})


async def _is_up(control: pass_through_pb2_grpc.SlaPassThroughStub) -> bool:
    reply = await control.GetSlaPassThrough(
        pass_through_pb2.GetSlaPassThroughRequest(), wait_for_ready=True, timeout=PATIENCE_S
    )
    return bool(reply.reachable)


async def _has_begun(control: pass_through_pb2_grpc.SlaPassThroughStub) -> bool:
    reply = await control.GetSlaPassThrough(pass_through_pb2.GetSlaPassThroughRequest())
    return bool(reply.waiting < PAGE)


async def _are_all_there(client: Client) -> bool:
    runs = [run.id async for run in client.list_workflows("TaskQueue = 'killed'")]
    assert len(runs) == len(set(runs))
    return set(runs) == {workflow_id("acme", ticket) for ticket in TICKETS}


async def _thresholds(backend: sla_backend_pb2_grpc.SlaBackendStub) -> Counter[tuple[str, int]]:
    """All crossings, once every ticket has been breached and a little longer."""
    found: Counter[tuple[str, int]] = Counter()
    watch = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0, tenant_id="acme"))
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for reply in watch:
                for event in reply.events:
                    if event.HasField("threshold"):
                        found[event.ticket_id, event.threshold.percent] += 1
                if sum(percent == 100 for _, percent in found) == len(TICKETS):
                    return found
    except TimeoutError:
        pytest.fail(f"not breached: {[ticket for ticket in TICKETS if (ticket, 100) not in found]}")
    finally:
        watch.cancel()
    pytest.fail("the watch has ended")
