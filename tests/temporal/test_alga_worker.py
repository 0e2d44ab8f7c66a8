"""AlgaPSA's own worker behind slad, on a real Temporal server: nothing is told twice, no event is late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb
from temporalio.client import Client, WorkflowExecutionStatus

from slad.config.settings import ConnectionSettings
from slad.core.instants import SECOND_MS
from slad.engine.time_source import WallClock
from slad.temporal.passthrough.routing import Standing
from slad.temporal.passthrough.sender import Sender
from slad.temporal.workflow.names import QUERY_STATE, workflow_id
from tests.slad_under_test import told
from tests.temporal.alga import AlgaActivities
from tests.temporal.alga_worker import AlgaTicketWorkflow, AlgaTicketWorkflow3412, alga_worker
from tests.temporal.dev_server import DevServer, Tried, dev_server, eventually, pass_through

GRACE_MS = 1_000
"""Of `pass_through`."""

KINDS = [AlgaTicketWorkflow, AlgaTicketWorkflow3412]

TWO_MINUTES = pb.SlaPolicyTarget(
    response_time_minutes=1,
    resolution_time_minutes=2,
    escalation_1_percent=70,
    escalation_3_percent=110,
    is_24x7=True,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as running:
        yield running


async def start(tried: Tried, ticket: str, **fields: Any) -> None:
    defaults = {"targets": [TWO_MINUTES], "schedule": None, "notification_thresholds": [50]}
    await tried.slad.start(ticket, **(defaults | fields))


async def status(tried: Tried, ticket: str) -> pb.SlaStatus:
    request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=ticket)
    return (await tried.slad.backend.GetSlaStatus(request)).status


async def late_ms(tried: Tried, ticket: str) -> list[int]:
    """How late each threshold of a ticket was recorded."""
    return [
        event.recorded_at.ToMilliseconds() - event.threshold.scheduled_at.ToMilliseconds()
        for event in await tried.slad.events()
        if event.ticket_id == ticket and event.HasField("threshold")
    ]


async def until_reached(tried: Tried, ticket: str, *percents: int) -> None:
    async def reached() -> bool:
        return await tried.reached(ticket) == list(percents)

    await eventually(reached)


@asynccontextmanager
async def served(client: Client, queue: str, alga: AlgaActivities, kind: type[Any]) -> AsyncIterator[None]:
    """AlgaPSA's worker, once Temporal knows that it is there."""
    sender = Sender(ConnectionSettings(task_queue=queue), client, Standing())
    async with alga_worker(client, queue, alga, kind):
        await eventually(sender.workers)
        yield


async def runs_of(client: Client, ticket: str) -> list[WorkflowExecutionStatus | None]:
    """How each workflow of a ticket stands, the first one first."""
    query = f"WorkflowId = '{workflow_id('acme', ticket)}'"
    runs = [run async for run in client.list_workflows(query)]
    return [run.status for run in sorted(runs, key=lambda run: run.start_time)]


@pytest.mark.parametrize("kind", KINDS, ids=["before 3412", "since 3412"])
async def test_what_this_worker_does_not_report_is_fired_at_its_instant(
    server: DevServer, tmp_path: Path, kind: type[Any]
) -> None:
    """Whatever the grace: it reports nothing to slad, so slad does not wait for it."""
    queue = f"instants-{kind.__name__}"
    routing = {"grace_ms": 60_000}
    client = await server.client()
    async with (
        served(client, queue, AlgaActivities(), kind),
        pass_through(server, tmp_path, queue, worker=False, routing=routing) as tried,
    ):
        # Once a message was taken, slad knows who serves the queue.
        await start(tried, "first")
        await tried.drained()
        target = pb.SlaPolicyTarget(response_time_minutes=1, escalation_1_percent=3, is_24x7=True)
        await start(tried, queue, targets=[target], notification_thresholds=[2, 5])
        await until_reached(tried, queue, 2, 3, 5)
        assert max(await late_ms(tried, queue)) < 1_000
        assert (await status(tried, queue)).engine == pb.SLA_ENGINE_TEMPORAL
        assert await runs_of(client, queue) == [WorkflowExecutionStatus.RUNNING]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=["before 3412", "since 3412"])
async def test_nothing_is_told_twice_though_workflows_end_and_vanish_and_slad_begins_anew(
    server: DevServer, tmp_path: Path, kind: type[Any]
) -> None:
    """Two minutes of real time: this worker counts in whole ones."""
    queue = f"twice-{kind.__name__}"
    alga = AlgaActivities()
    client = await server.client()
    ends, lost = f"ends-{queue}", f"lost-{queue}"
    async with alga_worker(client, queue, alga, kind):
        async with pass_through(server, tmp_path, queue, worker=False) as tried:
            await start(tried, ends)
            await start(tried, lost, targets=[pb.SlaPolicyTarget(response_time_minutes=2, is_24x7=True)])
            # After a minute the worker tells of what slad announced half a minute ago, or just now.
            await told_by(alga, ends, 2)
            await told_by(alga, lost, 1)
        await client.get_workflow_handle(workflow_id("acme", lost)).terminate()
        async with pass_through(server, tmp_path, queue, worker=False) as tried:
            # In the order of their instants, to the level at 110 %, which its worker does not know.
            await until_reached(tried, ends, 50, 70, 100, 50, 110, 70, 100, 110)
            await until_reached(tried, lost, 50, 100)
            assert max(await late_ms(tried, ends) + await late_ms(tried, lost)) < GRACE_MS + 5_000
        async with pass_through(server, tmp_path, queue, worker=False) as tried:

            async def is_over() -> bool:
                return (await status(tried, ends)).engine == pb.SLA_ENGINE_LOCAL

            # Its workflow has done all that it does.
            await eventually(is_over)
            await tried.drained()
            assert await runs_of(client, ends) == [WorkflowExecutionStatus.COMPLETED]
            runs = await runs_of(client, lost)
            if kind is AlgaTicketWorkflow:
                # It would begin anew, so it was ended in its first minute, and slad carries the ticket on.
                assert runs == [WorkflowExecutionStatus.TERMINATED] * 2
                assert (await status(tried, lost)).engine == pb.SLA_ENGINE_LOCAL
            else:
                assert runs[0] is WorkflowExecutionStatus.TERMINATED
            again = await tried.slad.events()
            assert len(again) == len({event.event_id for event in again})
    assert told_of(alga, ends) == [
        "response 50", "response 100", "resolution 50", "resolution 100",
    ]  # fmt: skip
    assert told_of(alga, lost) == ["response 50"] + ["response 100"] * (kind is AlgaTicketWorkflow3412)


def told_of(alga: AlgaActivities, ticket: str) -> list[str]:
    name = "sendSlaNotification "
    return [words.removeprefix(name) for words in alga.of(ticket) if words.startswith(name)]


async def told_by(alga: AlgaActivities, ticket: str, number: int) -> None:
    async def enough() -> bool:
        return len(told_of(alga, ticket)) >= number

    await eventually(enough)


async def test_a_workflow_that_was_lost_goes_on_where_it_was_if_its_worker_can(
    server: DevServer, tmp_path: Path
) -> None:
    """Since PR 3412 it takes over start, pauses and what was announced from its input."""
    alga = AlgaActivities()
    client = await server.client()
    begun = WallClock().now() - 90 * SECOND_MS
    async with (
        alga_worker(client, "taken-over", alga, AlgaTicketWorkflow3412),
        pass_through(server, tmp_path, "taken-over", worker=False) as tried,
    ):
        await start(tried, "T-over", started_at=_stamp(begun), targets=[_response(2)])
        await tried.drained()
        handle = client.get_workflow_handle(workflow_id("acme", "T-over"))
        await client.get_workflow_handle(handle.id).terminate()
        await tried.slad.backend.PauseSla(
            rpc.PauseSlaRequest(
                tenant_id="acme", ticket_id="T-over", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT
            )
        )
        await tried.drained()
        state = await handle.query(QUERY_STATE)
        assert state["notifiedThresholds"] == {"response": [50], "resolution": []}
        assert state["pauseState"]["isPaused"]
        await tried.slad.backend.ResumeSla(rpc.ResumeSlaRequest(tenant_id="acme", ticket_id="T-over"))
        await until_reached(tried, "T-over", 50, 100)


async def test_a_life_with_this_worker(server: DevServer, tmp_path: Path) -> None:
    """Signals arrive as AlgaPSA's own; a ticket that is resolved leaves nothing behind."""
    alga = AlgaActivities()
    client = await server.client()
    async with (
        alga_worker(client, "life", alga),
        pass_through(server, tmp_path, "life", worker=False) as tried,
    ):
        await start(tried, "T-life")
        who = {"tenant_id": "acme", "ticket_id": "T-life"}
        await tried.slad.backend.PauseSla(
            rpc.PauseSlaRequest(**who, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
        )
        await tried.drained()
        handle = client.get_workflow_handle(workflow_id("acme", "T-life"))
        state = await handle.query(QUERY_STATE)
        assert (state["currentStatus"], state["pauseState"]["reason"]) == ("paused", "awaiting_client")
        await tried.slad.backend.ResumeSla(rpc.ResumeSlaRequest(**who))
        for phase in (pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION):
            await tried.slad.backend.CompleteSla(rpc.CompleteSlaRequest(**who, phase=phase, met=True))
        await tried.drained()
        await handle.result()
        await tried.has_heard("T-life", "pause", "resume", "completeResponse", "completeResolution")
        assert (await tried.view()).carried == 0
        assert told([e for e in await tried.slad.events() if e.ticket_id == "T-life"]) == [
            "STARTED", "PAUSED", "RESUMED", "RESPONSE PHASE_COMPLETED", "RESOLUTION PHASE_COMPLETED",
            "COMPLETED",
        ]  # fmt: skip


async def test_a_start_after_a_cancel_tells_nothing_again(server: DevServer, tmp_path: Path) -> None:
    """A policy change by cancel and start, with what was announced: the worker that cannot take it over is
    not to begin with it."""
    alga = AlgaActivities()
    client = await server.client()
    begun = _stamp(WallClock().now() - 100 * SECOND_MS)
    async with (
        alga_worker(client, "policy", alga),
        pass_through(server, tmp_path, "policy", worker=False) as tried,
    ):
        await start(tried, "T-policy", started_at=begun, targets=[_response(2)])
        await tried.drained()
        await tried.slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id="T-policy"))
        going_on = pb.ON_EXISTING_CONTINUE_CANCELLED
        await start(tried, "T-policy", targets=[_response(3)], on_existing=going_on)

        async def carried_on() -> bool:
            return (await status(tried, "T-policy")).engine == pb.SLA_ENGINE_LOCAL

        await eventually(carried_on)
        await tried.drained()
        assert WorkflowExecutionStatus.RUNNING not in await runs_of(client, "T-policy")
        assert told_of(alga, "T-policy") == []


def _response(minutes: int) -> pb.SlaPolicyTarget:
    return pb.SlaPolicyTarget(response_time_minutes=minutes, is_24x7=True)


def _stamp(instant: int) -> Any:
    request = rpc.StartSlaTrackingRequest()
    request.started_at.FromMilliseconds(instant)
    return request.started_at
