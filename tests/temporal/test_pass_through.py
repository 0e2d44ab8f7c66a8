"""slad in front of a real Temporal server: store and forward, repair, fallback, handover."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from slad_client.v1 import pass_through_pb2
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb
from temporalio.client import WorkflowExecutionStatus

from slad.core.errors import Refusal, Refused
from slad.core.instants import MINUTE_MS, SECOND_MS
from slad.engine.doctor import Severity, examine
from slad.engine.time_source import WallClock
from slad.storage.store import Store
from slad.temporal.faults import Concern, TemporalFault
from slad.temporal.passthrough.sender import Sender
from slad.temporal.workflow.names import EPOCH_MEMO, GENERATION_MEMO, INSTANCE_MEMO, QUERY_STATE, workflow_id
from tests.slad_under_test import refused, stamp, told
from tests.temporal.alga import AlgaActivities
from tests.temporal.alga_worker import alga_worker
from tests.temporal.dev_server import PATIENCE_S, DevServer, Tried, dev_server, eventually, pass_through

CLIENT = pb.SLA_PAUSE_REASON_AWAITING_CLIENT
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION
ALWAYS = pb.SlaPolicyTarget(response_time_minutes=1, resolution_time_minutes=1_000, is_24x7=True)
"""1 % of the response are 600 ms."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as running:
        yield running


async def start(tried: Tried, ticket: str = "", **fields: Any) -> rpc.StartSlaTrackingResponse:
    defaults = {"targets": [ALWAYS], "schedule": None, "notification_thresholds": [90]}
    return await tried.slad.start(ticket or tried.ticket, **(defaults | fields))


async def pause(tried: Tried, ticket: str = "", **fields: Any) -> None:
    request = rpc.PauseSlaRequest(tenant_id="acme", ticket_id=ticket or tried.ticket, reason=CLIENT, **fields)
    await tried.slad.backend.PauseSla(request)


async def resume(tried: Tried, ticket: str = "") -> None:
    await tried.slad.backend.ResumeSla(
        rpc.ResumeSlaRequest(tenant_id="acme", ticket_id=ticket or tried.ticket)
    )


async def complete(tried: Tried, phase: pb.SlaPhase, ticket: str = "") -> None:
    request = rpc.CompleteSlaRequest(tenant_id="acme", ticket_id=ticket or tried.ticket, phase=phase)
    await tried.slad.backend.CompleteSla(request)


async def cancel(tried: Tried, ticket: str = "") -> None:
    await tried.slad.backend.CancelSla(
        rpc.CancelSlaRequest(tenant_id="acme", ticket_id=ticket or tried.ticket)
    )


async def status(tried: Tried, ticket: str = "") -> pb.SlaStatus:
    request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=ticket or tried.ticket)
    return (await tried.slad.backend.GetSlaStatus(request)).status


async def ended(tried: Tried, ticket: str = "") -> WorkflowExecutionStatus | None:
    assert tried.client
    description = await tried.client.get_workflow_handle(
        workflow_id("acme", ticket or tried.ticket)
    ).describe()
    return description.status


async def is_in(tried: Tried, wanted: WorkflowExecutionStatus, ticket: str = "") -> bool:
    return await ended(tried, ticket) is wanted


async def test_what_is_told_is_told_in_order_in_algapsa_s_words(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "order", worker=False) as tried:
        reply = await start(tried)
        assert reply.status.engine == pb.SLA_ENGINE_TEMPORAL
        assert not (await start(tried)).created
        await pause(tried)
        await pause(tried)
        await resume(tried)
        await complete(tried, RESPONSE)
        await tried.slad.backend.RetargetSla(
            rpc.RetargetSlaRequest(
                targets=[ALWAYS], policy_id="new", tenant_id="acme", ticket_id=tried.ticket
            )
        )
        await complete(tried, RESOLUTION)
        await tried.drained()
        assert tried.client
        handle = tried.client.get_workflow_handle(workflow_id("acme", tried.ticket))
        description = await handle.describe()
        assert description.workflow_type == "slaTicketWorkflow"
        assert description.task_queue == "order"
        assert await description.memo_value(GENERATION_MEMO) == 1
        assert len(await description.memo_value(INSTANCE_MEMO)) == 36
        assert await description.memo_value(EPOCH_MEMO) == 0
        history = await handle.fetch_history()
        started = history.events[0].workflow_execution_started_event_attributes
        assert started.workflow_execution_timeout.ToSeconds() == 365 * 86_400
        (given,) = await tried.client.data_converter.decode(started.input.payloads)
        assert {"ticketId", "tenantId", "policyTargets", "businessHoursSchedule"} <= given.keys()
        assert given["policyTargets"][0]["response_time_minutes"] == 1
        assert given["notificationThresholds"] == [90]
        assert await tried.signals(tried.ticket) == [
            "pause", "pause", "resume", "completeResponse", "sladUpdate", "completeResolution",
        ]  # fmt: skip


async def test_a_server_that_is_killed_and_comes_back_hears_of_everything(
    server: DevServer, tmp_path: Path
) -> None:
    async with pass_through(server, tmp_path, "killed") as tried:
        await start(tried, "before")
        await tried.drained()
        server.kill()
        try:
            await pause(tried, "before")
            reply = await start(tried, "during", started_at=stamp(_now() - 52 * SECOND_MS))
            assert reply.status.engine == pb.SLA_ENGINE_TEMPORAL
            for _ in range(5):
                await pause(tried, "during")
                await resume(tried, "during")
            await resume(tried, "before")

            async def noticed() -> bool:
                return (await tried.view()).reason == "TEMPORAL_UNREACHABLE"

            await eventually(noticed)
            view = await tried.view()
            assert not view.reachable
            assert view.waiting == 13
            assert view.HasField("oldest_waiting_at")
            assert view.carried == 2
        finally:
            server.start()
        tried.client = await server.client()
        await tried.drained()
        await tried.has_heard("before", "pause", "resume")
        await tried.has_heard("during", *["pause", "resume"] * 5)
        assert (await tried.view()).reachable

        async def fired() -> bool:
            return await tried.reached("during") == [90, 100]

        # It is its worker that says so, with its long polls over the dead server renewed.
        await eventually(fired)


async def test_what_waits_outlasts_the_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "temporal"
    folder.mkdir()
    # Never killed while it makes its own database: that would be another test.
    with dev_server(folder, is_up=False) as server:
        async with pass_through(server, tmp_path, "outlast", is_up=False) as tried:
            await start(tried)
            await pause(tried)
            assert (await tried.view()).waiting == 2
        server.start()
        async with pass_through(server, tmp_path, "outlast") as tried:
            await resume(tried)
            await tried.drained()
            await tried.has_heard(tried.ticket, "pause", "resume")


async def test_cancel_then_start_keeps_the_clock_and_repeats_nothing(
    server: DevServer, tmp_path: Path
) -> None:
    """AlgaPSA changes a policy in this way (M1)."""
    began = stamp(_now() - 30 * MINUTE_MS)
    policy = pb.SlaPolicyTarget(resolution_time_minutes=60, is_24x7=True)
    async with pass_through(server, tmp_path, "policy") as tried:
        await start(tried, targets=[policy], started_at=began, notification_thresholds=[40])
        await cancel(tried)
        tighter = pb.SlaPolicyTarget(resolution_time_minutes=31, is_24x7=True)
        reply = await start(
            tried,
            targets=[tighter],
            notification_thresholds=[40, 97],
            on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED,
        )
        assert reply.status.generation == 2
        assert reply.status.started_at == began

        async def told_all() -> bool:
            return await tried.reached(tried.ticket) == [40, 97]

        await eventually(told_all)
        await tried.drained()
        assert tried.client
        handle = tried.client.get_workflow_handle(workflow_id("acme", tried.ticket))
        assert await (await handle.describe()).memo_value(GENERATION_MEMO) == 2
        state = await handle.query(QUERY_STATE)
        assert state["notifiedThresholds"]["resolution"] == [40, 97]


async def test_a_leftover_that_no_worker_ends_does_not_stop_the_next_generation(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.temporal.passthrough.forwarder.LEFTOVER_PATIENCE", 1)
    async with pass_through(server, tmp_path, "leftover", worker=False) as tried:
        await start(tried)
        await cancel(tried)
        await start(tried)
        await tried.drained()
        assert tried.client
        handle = tried.client.get_workflow_handle(workflow_id("acme", tried.ticket))
        assert await (await handle.describe()).memo_value(GENERATION_MEMO) == 2


async def test_a_workflow_that_vanished_is_started_again_with_all_that_has_happened(
    server: DevServer, tmp_path: Path
) -> None:
    async with pass_through(server, tmp_path, "vanished") as tried:
        await start(tried, started_at=stamp(_now() - 50 * SECOND_MS), notification_thresholds=[85])
        await tried.drained()
        assert tried.client
        first = tried.client.get_workflow_handle(workflow_id("acme", tried.ticket))
        await first.terminate()
        # Nobody tells slad: the overdue threshold makes it look.

        async def fired() -> bool:
            return await tried.reached(tried.ticket) == [85]

        await eventually(fired)
        await eventually(lambda: is_in(tried, WorkflowExecutionStatus.RUNNING))
        await first.terminate()
        # A command notices it at once.
        await pause(tried)
        await tried.drained()
        state = await first.query(QUERY_STATE)
        assert state["currentStatus"] == "paused"
        assert state["notifiedThresholds"]["response"] == [85]


async def test_a_damaged_message_is_not_told_but_how_the_ticket_stands(
    server: DevServer, tmp_path: Path
) -> None:
    names = ("T-waits", "T-over")
    data = tmp_path / "data"
    async with pass_through(server, data, "damaged") as tried:
        for name in names:
            await start(tried, name)
        await tried.drained()
    with dev_server(tmp_path, is_up=False) as nowhere:
        async with pass_through(nowhere, data, "damaged", is_up=False) as tried:
            await pause(tried, "T-waits")
            await cancel(tried, "T-over")
    connection = apsw.Connection(str(data / "slad.db"))
    connection.execute("UPDATE temporal_outbox SET recorded_at = recorded_at + 1")
    assert connection.changes() == len(names)
    connection.close()
    async with pass_through(server, data, "damaged") as tried:
        await tried.drained()
        assert tried.client
        handle = tried.client.get_workflow_handle(workflow_id("acme", "T-waits"))
        assert (await handle.query(QUERY_STATE))["currentStatus"] == "paused"
        assert await is_in(tried, WorkflowExecutionStatus.TERMINATED, "T-over")


async def test_a_workflow_that_vanished_is_parked_if_so_configured(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "parked", repair="park") as tried:
        await start(tried, "T-park")
        await tried.drained()
        assert tried.client
        handle = tried.client.get_workflow_handle(workflow_id("acme", "T-park"))
        await handle.terminate()
        await pause(tried, "T-park")

        async def parked() -> bool:
            return (await tried.view()).parked == 1

        await eventually(parked)
        (shown,) = (await tried.view()).parked_workflows
        assert (shown.workflow_id, shown.reason) == ("sla-ticket-acme-T-park", "TEMPORAL_WORKFLOW_GONE")
        await resume(tried, "T-park")
        assert (await tried.view()).waiting == 2, "a parked workflow is told nothing"
        request = pass_through_pb2.ReleaseSlaWorkflowsRequest()
        assert (await tried.control.ReleaseSlaWorkflows(request)).released == 1
        await tried.drained()
        assert await ended(tried, "T-park") is WorkflowExecutionStatus.RUNNING
        assert (await tried.view()).parked == 0


async def test_releasing_one_finds_it_wherever_it_is_in_the_list(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "many", worker=False) as tried:
        await start(tried)
        await tried.drained()
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    rows = [(f"sla-ticket-acme-{number:04}", number) for number in range(700)]
    connection.executemany("INSERT INTO temporal_parked VALUES (?, 100000, ?, 'TEMPORAL_REFUSED')", rows)
    connection.close()
    async with pass_through(server, tmp_path, "many", worker=False) as tried:
        for wanted, released in (("sla-ticket-acme-0650", 1), ("sla-ticket-acme-0650", 0), ("unknown", 0)):
            request = pass_through_pb2.ReleaseSlaWorkflowsRequest(workflow_id=wanted)
            assert (await tried.control.ReleaseSlaWorkflows(request)).released == released
        everything = pass_through_pb2.ReleaseSlaWorkflowsRequest()
        assert (await tried.control.ReleaseSlaWorkflows(everything)).released == 699
        assert (await tried.view()).parked == 0


async def test_what_temporal_refuses_again_is_released_and_counted_once(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Refused(Refusal.FAILED_PRECONDITION, "TEMPORAL_REFUSED", "never")

    async def refuse(*_: Any) -> None:
        raise TemporalFault(Concern.MESSAGE, refusal)

    monkeypatch.setattr(Sender, "send", refuse)
    async with pass_through(server, tmp_path, "again", worker=False) as tried:
        for ticket in ("one", "two", "three"):
            await start(tried, ticket)

        async def parked() -> bool:
            return (await tried.view()).parked == 3

        for _ in range(2):
            await eventually(parked)
            request = pass_through_pb2.ReleaseSlaWorkflowsRequest()
            reply = await asyncio.wait_for(tried.control.ReleaseSlaWorkflows(request), PATIENCE_S)
            assert reply.released == 3
        await eventually(parked)


async def test_no_event_waits_for_a_worker(server: DevServer, tmp_path: Path) -> None:
    """Nobody serves the queue: what is due by the facts is announced a grace later."""
    async with pass_through(server, tmp_path, "nobody", worker=False) as tried:
        await start(tried, notification_thresholds=[1, 2])

        async def fired() -> bool:
            return await tried.reached(tried.ticket) == [1, 2]

        await eventually(fired)
        for event in await tried.slad.events():
            if event.HasField("threshold"):
                due = event.threshold.scheduled_at.ToMilliseconds()
                assert event.recorded_at.ToMilliseconds() - due < 1_000 + 5_000
        assert (await status(tried)).engine == pb.SLA_ENGINE_TEMPORAL


async def test_fallback_gives_a_ticket_to_the_local_engine(tmp_path: Path) -> None:
    folder = tmp_path / "temporal"
    folder.mkdir()
    # Never killed while it makes its own database: that would be another test.
    with dev_server(folder, is_up=False) as server:
        routing = {"fallback": "local"}
        async with pass_through(server, tmp_path, "fallback", is_up=False, routing=routing) as tried:

            async def noticed() -> bool:
                return not (await tried.view()).reachable

            await eventually(noticed)
            reply = await start(tried, notification_thresholds=[1])
            assert reply.status.engine == pb.SLA_ENGINE_LOCAL

            async def fired() -> bool:
                return await tried.reached(tried.ticket) == [1]

            await eventually(fired)


async def test_handover_moves_live_tickets_with_pauses_and_firings(server: DevServer, tmp_path: Path) -> None:
    begun = stamp(_now() - 33 * SECOND_MS)
    async with pass_through(server, tmp_path, "handover", routing={"mode": "local"}, worker=False) as tried:
        refusal = await refused(_hand_over(tried, pb.SLA_ENGINE_TEMPORAL))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TEMPORAL_OFF")
        for ticket in ("runs", "paused", "done"):
            await start(tried, ticket, started_at=begun, notification_thresholds=[25, 58, 70])
        await pause(tried, "paused")
        await complete(tried, RESOLUTION, "done")
        assert await tried.reached("runs") == [25]
    async with pass_through(server, tmp_path, "handover") as tried:
        await _link_is_up(tried)
        assert (await status(tried, "runs")).engine == pb.SLA_ENGINE_LOCAL
        assert (await _hand_over(tried, pb.SLA_ENGINE_TEMPORAL, tenant_id="other")).moved == 0
        assert (await _hand_over(tried, pb.SLA_ENGINE_TEMPORAL)).moved == 2
        assert (await _hand_over(tried, pb.SLA_ENGINE_TEMPORAL)).moved == 0, "once is enough"
        assert (await status(tried, "runs")).engine == pb.SLA_ENGINE_TEMPORAL
        await tried.drained()

        async def fired(*percents: int) -> bool:
            return await tried.reached("runs") == list(percents)

        await eventually(lambda: fired(25, 58))
        assert tried.client
        state = await tried.client.get_workflow_handle(workflow_id("acme", "paused")).query(QUERY_STATE)
        assert state["currentStatus"] == "paused"
        assert (await _hand_over(tried, pb.SLA_ENGINE_LOCAL)).moved == 2
        await tried.drained()
        assert await ended(tried, "runs") is WorkflowExecutionStatus.TERMINATED
        assert (await tried.view()).carried == 0
        await eventually(lambda: fired(25, 58, 70))
        assert await tried.reached("paused") == [25]
        assert told([e for e in await tried.slad.events() if e.ticket_id == "done"]) == [
            "STARTED", "RESPONSE 25 REACHED", "RESPONSE PHASE_COMPLETED",
            "RESOLUTION PHASE_COMPLETED", "COMPLETED",
        ]  # fmt: skip


async def test_what_temporal_cannot_carry_is_refused_at_the_start(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "refused", worker=False, routing={"mode": "temporal"}) as tried:
        long = await refused(start(tried, "☎" * 200, tenant_id="☎" * 200))
        assert (long.reason, long.fields) == ("TOO_LONG_FOR_TEMPORAL", ["ticket_id"])
        await start(tried, "b-c", tenant_id="a")
        taken = await refused(start(tried, "c", tenant_id="a-b"))
        assert (taken.reason, taken.fields) == ("WORKFLOW_ID_TAKEN", ["ticket_id"])
        holidays = [
            pb.Holiday(holiday_date=f"{2000 + n // 28}-02-{n % 28 + 1:02}", holiday_name="x" * 150)
            for n in range(4_000)
        ]
        schedule = pb.BusinessHoursSchedule(timezone="UTC", holidays=holidays)
        schedule.entries.add(day_of_week=1, start_time="09:00", end_time="17:00", is_enabled=True)
        target = pb.SlaPolicyTarget(resolution_time_minutes=60)
        large = await refused(start(tried, "large", targets=[target], schedule=schedule))
        assert (large.reason, large.fields) == ("TOO_LARGE_FOR_TEMPORAL", ["schedule"])


async def test_a_namespace_that_is_missing_is_told_as_that(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "missing", worker=False, namespace="nowhere") as tried:
        await start(tried)

        async def noticed() -> bool:
            return (await tried.view()).reason == "TEMPORAL_NAMESPACE_MISSING"

        await eventually(noticed)
        view = await tried.view()
        assert view.waiting == 1
        assert "'nowhere'" in view.message


async def _hand_over(
    tried: Tried, to: pb.SlaEngine, **fields: Any
) -> pass_through_pb2.HandOverSlaTrackingsResponse:
    request = pass_through_pb2.HandOverSlaTrackingsRequest(to=to, **({"tenant_id": "acme"} | fields))
    return await tried.control.HandOverSlaTrackings(request)


async def _link_is_up(tried: Tried) -> None:
    async def reachable() -> bool:
        return (await tried.view()).reachable

    await eventually(reachable)


def _now() -> int:
    return WallClock().now()


def slad_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slad", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of slad's, while the daemon goes on."""
    return await asyncio.to_thread(slad_command, *arguments)


async def test_the_commands_of_an_operator(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "cli") as tried:
        await start(tried)
        await tried.drained()
        at = ("--address", tried.slad.daemon.addresses[0])
        shown = await run("temporal", "status", *at)
        assert shown.returncode == 0, shown.stderr
        assert re.search(r"tickets carried +1$", shown.stdout, re.MULTILINE)
        assert "task queue cli" in shown.stdout
        moved = await run("handover", "--to", "local", "--tenant", "acme", *at)
        assert moved.stdout == "moved 1 ticket to local\n", moved.stderr
        assert (await status(tried)).engine == pb.SLA_ENGINE_LOCAL
        assert (await run("temporal", "release", *at)).stdout == "released 0 workflows\n"
        there = ("--temporal-address", server.address, "--temporal-task-queue", "cli")
        found = await run("doctor", "--data", str(tmp_path), "--engine", "temporal", *there)
        assert found.returncode == 0, found.stdout + found.stderr
        assert "ok    temporal: " in found.stdout
        assert "ok    temporal workers: 1 on task queue cli" in found.stdout
        async with alga_worker(await server.client(), "cli", AlgaActivities()):

            async def both_are_seen() -> bool:
                both = await run("doctor", "--data", str(tmp_path), "--engine", "temporal", *there)
                return "WARN  temporal workers: two kinds take workflows from task queue cli" in both.stdout

            await eventually(both_are_seen)
        nobody = await run("doctor", "--data", str(tmp_path), "--engine", "temporal", *there[:3], "deserted")
        assert nobody.returncode == 0
        assert "WARN  temporal workers: none on task queue deserted" in nobody.stdout
        lost = await run(
            "doctor", "--data", str(tmp_path), "--engine", "temporal", "--temporal-address", "127.0.0.1:1"
        )
        assert lost.returncode == 5
        assert "TEMPORAL_UNREACHABLE" in lost.stdout


async def test_the_doctor_knows_whose_wakes_are_temporal_s(server: DevServer, tmp_path: Path) -> None:
    async with pass_through(server, tmp_path, "doctor", worker=False) as tried:
        await start(tried)
        await tried.drained()
        findings = list(examine(Store(apsw.Connection(str(tmp_path / "slad.db"))), _now()))
        assert {finding.severity for finding in findings} == {Severity.OK}
        (found,) = [finding for finding in findings if finding.check == "pass-through"]
        assert found.text == "1 tickets carried by Temporal"


async def test_b5_other_time_zones_are_told_to_every_workflow(server: DevServer, tmp_path: Path) -> None:
    """It sleeps until an instant that was derived from the former ones."""
    async with pass_through(server, tmp_path, "zones") as tried:
        await start(tried)
        await tried.drained()
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE meta SET value = 'former' WHERE name = 'tzdata'")
    connection.close()
    async with pass_through(server, tmp_path, "zones") as tried:

        async def told_again() -> bool:
            return await tried.signals(tried.ticket) == ["sladUpdate"]

        await eventually(told_again)
        await tried.drained()
        assert await tried.signals(tried.ticket) == ["sladUpdate"], "and once"
