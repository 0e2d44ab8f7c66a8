"""AlgaPSA's client against slad's worker, with AlgaPSA's activities for effects: its wire, slad's clocks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.temporal.workflow.documents import read_instant
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.temporal.alga import ACTIVITIES_QUEUE, AlgaActivities, AlgaClient
from tests.temporal.test_documents import ALGA_INPUT, NINE, alga_target
from tests.temporal.time_skipping import TimeSkipping, time_skipping, until

SCHEDULE = ALGA_INPUT["businessHoursSchedule"]

EFFECTS = Effects(activities_task_queue=ACTIVITIES_QUEUE)

SLACK_MS = 60_000
"""Signals carry no time, so they count from when they are seen, which is some ms of real time later."""


def worker(server: TimeSkipping, **options: Any) -> Worker:
    return make_worker(server.client, task_queue="sla-workflows", effects=EFFECTS, daemon=None, **options)


async def test_both_clocks_run_side_by_side_and_every_threshold_is_told(tmp_path: Path) -> None:
    """Where AlgaPSA's own workflow is silent about the resolution until the response clock is through."""
    alga = AlgaActivities()
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking("T-1", alga_target(), SCHEDULE, [50, 75])
        await server.sleep(hours=2, minutes=30)
        await until(lambda: len(alga.of("T-1")) >= 8)
        assert alga.of("T-1") == [
            "sendSlaNotification response 50",
            "checkAndEscalate response 70",
            "sendSlaNotification response 75",
            "checkAndEscalate response 90",
            "sendSlaNotification response 100",
            "updateSlaStatus response True",
            "checkAndEscalate response 110",
            "sendSlaNotification resolution 50",
        ]
        assert alga.of("T-1", checks=True)[0] == "completeIfTicketClosed"
        assert alga.calls[1] == (
            "sendSlaNotification",
            {"tenantId": "acme", "ticketId": "T-1", "phase": "response", "thresholdPercent": 50},
        )
        await client.complete_sla("T-1", "response", False)
        await client.complete_sla("T-1", "resolution", True)
        await handle.result()
    assert alga.of("T-1")[-2:] == [
        "recordSlaAuditLog sla_response_completed False",
        "recordSlaAuditLog sla_resolution_completed True",
    ]


async def test_the_state_is_told_as_alga_psa_reads_it(tmp_path: Path) -> None:
    alga = AlgaActivities(paused={"T-1": "awaiting_client"})
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        await client.start_sla_tracking("T-1", alga_target(), SCHEDULE)
        state = await client.get_sla_status("T-1")
        assert state.keys() == {
            "currentPhase",
            "currentStatus",
            "pauseState",
            "notifiedThresholds",
            "responseDeadline",
            "resolutionDeadline",
            "nextWakeTime",
            "remainingTimeMinutes",
            "slad",
        }
        assert (state["currentPhase"], state["currentStatus"]) == ("response", "active")
        assert state["pauseState"] == {
            "isPaused": False,
            "pauseStartedAt": None,
            "totalPauseMinutes": 0,
            "reason": None,
        }
        assert state["notifiedThresholds"] == {"response": [], "resolution": []}
        assert 0 <= read_instant("", state["responseDeadline"]) - (NINE + HOUR_MS) < SLACK_MS
        assert 0 <= read_instant("", state["resolutionDeadline"]) - (NINE + 4 * HOUR_MS) < SLACK_MS
        assert state["remainingTimeMinutes"] in (29, 30)

        await server.sleep(minutes=35)
        await client.pause_sla("T-1", "awaiting_client")
        state = await client.get_sla_status("T-1")
        assert state["currentStatus"] == "paused"
        assert state["notifiedThresholds"]["response"] == [50]
        assert state["nextWakeTime"] is None
        assert state["pauseState"]["reason"] == "awaiting_client"
        assert (
            0 <= read_instant("", state["pauseState"]["pauseStartedAt"]) - (NINE + 35 * MINUTE_MS) < SLACK_MS
        )

        await server.sleep(minutes=30)
        await client.resume_sla("T-1")
        await client.complete_sla("T-1", "response", True)
        state = await client.get_sla_status("T-1")
        assert (state["currentPhase"], state["currentStatus"]) == ("resolution", "active")
        assert state["pauseState"]["totalPauseMinutes"] == 30
        assert 0 <= read_instant("", state["resolutionDeadline"]) - (NINE + 4.5 * HOUR_MS) < 2 * SLACK_MS

        await client.cancel_sla("T-1")
        assert (await client.get_sla_status("T-1"))["currentStatus"] == "cancelled"


async def test_a_resume_that_was_lost_is_found_out_within_five_minutes(tmp_path: Path) -> None:
    """AlgaPSA is asked during a pause, since its PR 3412."""
    alga = AlgaActivities(paused={"T-1": "awaiting_client"})
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking("T-1", alga_target(), SCHEDULE, [50])
        await server.sleep(minutes=10)
        await client.pause_sla("T-1", "awaiting_client")
        await server.sleep(minutes=18)
        asked = ("getTicketSlaPauseState", {"tenantId": "acme", "ticketId": "T-1"})
        await until(lambda: alga.calls.count(asked) == 3)
        assert (await client.get_sla_status("T-1"))["currentStatus"] == "paused"
        alga.paused.clear()
        await server.sleep(minutes=5)
        await until(lambda: alga.calls.count(asked) == 4)
        await server.sleep(hours=3)
        state = await client.get_sla_status("T-1")
        assert (state["currentStatus"], state["pauseState"]["totalPauseMinutes"]) == ("active", 20)
        assert alga.calls.count(asked) == 4, "who is not paused is not asked about"
        await client.cancel_sla("T-1")
        await handle.result()


async def test_an_alga_psa_that_does_not_know_the_question_holds_nothing_up(tmp_path: Path) -> None:
    def unknown(name: str, _: Any) -> None:
        if name == "getTicketSlaPauseState":
            raise ApplicationError("Activity function getTicketSlaPauseState is not registered")

    alga = AlgaActivities(hook=unknown)
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        await client.start_sla_tracking("T-1", alga_target(), SCHEDULE, [50])
        await server.sleep(minutes=10)
        await client.pause_sla("T-1", "awaiting_client")
        await server.sleep(minutes=12)
        assert (await client.get_sla_status("T-1"))["currentStatus"] == "paused"
        await client.resume_sla("T-1")
        await server.sleep(minutes=25)
        await until(lambda: "sendSlaNotification response 50" in alga.of("T-1"))


async def test_a_run_ends_after_as_many_events_as_alga_psa_says(tmp_path: Path) -> None:
    alga = AlgaActivities(paused={"T-1": "awaiting_client"})
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        given = {
            "ticketId": "T-1",
            "tenantId": "acme",
            "policyTargets": alga_target(),
            "businessHoursSchedule": SCHEDULE,
            "continueAsNewAfterEvents": 40,
        }
        name = "sla-ticket-acme-T-1"
        handle = await server.client.start_workflow(
            "slaTicketWorkflow", given, id=name, task_queue="sla-workflows"
        )
        first = (await handle.describe()).run_id
        await AlgaClient(server.client).pause_sla("T-1", "awaiting_client")
        await server.sleep(hours=2)
        latest = server.client.get_workflow_handle(name)
        assert (await latest.describe()).run_id != first
        state = await AlgaClient(server.client).get_sla_status("T-1")
        assert (state["currentStatus"], state["pauseState"]["reason"]) == ("paused", "awaiting_client")


async def test_a_threshold_that_a_pause_interrupts_is_told_after_it(tmp_path: Path) -> None:
    """AlgaPSA's own workflow used to skip it for good, the breach included (until September 2026)."""
    alga = AlgaActivities(paused={"T-1": "status_pause"})
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        await client.start_sla_tracking(
            "T-1", alga_target(resolution_time_minutes=None, escalation_1_percent=0), SCHEDULE, [50]
        )
        for _ in range(3):
            await server.sleep(minutes=15)
            await client.pause_sla("T-1", "status_pause")
            await client.pause_sla("T-1", "status_pause")
            await server.sleep(hours=2)
            await client.resume_sla("T-1")
            await client.resume_sla("T-1")
        await server.sleep(hours=8)
        await until(lambda: "updateSlaStatus response True" in alga.of("T-1"))
    told = [call for call in alga.of("T-1") if call.startswith("sendSlaNotification")]
    assert told == ["sendSlaNotification response 50", "sendSlaNotification response 100"]


@pytest.mark.parametrize(("reason", "status"), [("closed", "completed"), ("deleted", "cancelled")])
async def test_a_ticket_that_was_closed_unheard_is_told_nothing(
    reason: str, status: str, tmp_path: Path
) -> None:
    alga = AlgaActivities(closed={"T-1": reason})
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking("T-1", alga_target(), SCHEDULE)
        await server.sleep(hours=1)
        await handle.result()
        state = await client.get_sla_status("T-1")
        assert state["currentStatus"] == status
        assert state["notifiedThresholds"] == {"response": [], "resolution": []}
    assert alga.of("T-1", checks=True) == ["completeIfTicketClosed"]


async def test_activities_that_are_away_are_waited_for_and_lose_nothing(tmp_path: Path) -> None:
    """AlgaPSA's worker is down over a threshold, and then fails for a while."""
    failures = iter(range(3))

    def fail_at_first(name: str, _given: Any) -> None:
        if name == "sendSlaNotification" and next(failures, None) is not None:
            raise RuntimeError("the database is away")

    alga = AlgaActivities(hook=fail_at_first)
    async with time_skipping(NINE, tmp_path) as server, worker(server):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking(
            "T-1", alga_target(escalation_1_percent=0), SCHEDULE, [50, 75]
        )
        # The test server's time stands while an activity waits for a worker.
        moving = asyncio.create_task(server.sleep(minutes=50))
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert alga.calls == []
        async with alga.serving(server.client):
            await moving
            await until(lambda: len(alga.of("T-1")) >= 2)
        assert next(failures, None) is None
        assert alga.of("T-1") == ["sendSlaNotification response 50", "sendSlaNotification response 75"]


async def test_an_error_that_no_retry_mends_does_not_stop_the_clock(tmp_path: Path) -> None:
    def refuse(name: str, given: Any) -> None:
        if name == "sendSlaNotification" and given["thresholdPercent"] == 50:
            raise ApplicationError("no such channel", non_retryable=True)

    alga = AlgaActivities(hook=refuse)
    async with (
        time_skipping(NINE, tmp_path) as server,
        worker(server),
        alga.serving(server.client),
    ):
        client = AlgaClient(server.client)
        await client.start_sla_tracking("T-1", alga_target(escalation_1_percent=0), SCHEDULE, [50, 75])
        await server.sleep(minutes=50)
        await until(lambda: alga.of("T-1") == ["sendSlaNotification response 75"])


async def test_input_that_cannot_be_meant_fails_and_says_which_field(tmp_path: Path) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking(
            "T-1", alga_target(), {**SCHEDULE, "timezone": "Mars/Olympus_Mons"}
        )
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "InvalidInput"
        assert "businessHoursSchedule.timezone" in str(caught.value.cause)
        nothing = await client.start_sla_tracking("T-2", [], SCHEDULE)
        await nothing.result()
        odd = await server.client.start_workflow("slaTicketWorkflow", id="odd", task_queue="sla-workflows")
        with pytest.raises(WorkflowFailureError):
            await odd.result()


async def test_signals_that_make_no_sense_are_ignored(tmp_path: Path) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking("T-1", alga_target(), SCHEDULE)
        await handle.signal("pause")
        await handle.signal("pause", {"reason": 7})
        await handle.signal("resume", ["what"])
        await handle.signal("completeResponse", {"met": "yes"})
        await handle.signal("completeResolution", "text")
        await handle.signal("sladUpdate", {"slad": {}})
        await handle.signal("unheardOf", {})
        state = await client.get_sla_status("T-1")
        # A pause without an argument is still a pause.
        assert (state["currentPhase"], state["currentStatus"]) == ("response", "paused")
        assert state["pauseState"]["reason"] == "status_pause"
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING


async def test_the_id_can_be_used_again_after_a_cancel(tmp_path: Path) -> None:
    """A change of policy: AlgaPSA cancels and starts under the same id."""
    async with time_skipping(NINE, tmp_path) as server, worker(server):
        client = AlgaClient(server.client)
        first = await client.start_sla_tracking("T-1", alga_target(), SCHEDULE)
        await client.cancel_sla("T-1")
        await first.result()
        await client.start_sla_tracking("T-1", alga_target(response_time_minutes=120), SCHEDULE)
        state = await client.get_sla_status("T-1")
        assert state["currentStatus"] == "active"
        assert 0 <= read_instant("", state["responseDeadline"]) - (NINE + 2 * HOUR_MS) < SLACK_MS
