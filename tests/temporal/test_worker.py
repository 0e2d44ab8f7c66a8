"""slad's worker, told of things as the daemon tells it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from slad_client.v1 import worker_pb2 as rpc
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Worker

from slad.core.events import PauseReason
from slad.core.facts import Fact, FactKind
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.core.tracking import Tracking
from slad.temporal.workflow import wire
from slad.temporal.workflow.documents import instant_text
from slad.temporal.workflow.names import Signal
from slad.temporal.workflow.wire import Effects, PauseSignal
from slad.temporal.workflow.worker import make_worker
from tests.core.tickets import OFFICE, at, terms
from tests.temporal.processes import worker_process
from tests.temporal.recording import Recorder
from tests.temporal.sladian import QUEUE, Ticket
from tests.temporal.time_skipping import TimeSkipping, time_skipping, until

NINE = at("2026-03-02T09:00:00Z")


def worker(server: TimeSkipping, daemon: Recorder, **options: Any) -> Worker:
    return make_worker(
        server.client, task_queue=QUEUE, effects=Effects(report=True), daemon=daemon.channel, **options
    )


async def at_rest(ticket: Ticket) -> list[str]:
    """The history of a paused ticket, once nothing of it is under way any more."""
    async with asyncio.timeout(60):
        while True:
            await ticket.state()
            events = await ticket.events()
            # Whether another task follows the one that cancels the timer is the server's business.
            if "TIMER_CANCELED" in events and events[-1] in ("TIMER_CANCELED", "WORKFLOW_TASK_COMPLETED"):
                return events
            await asyncio.sleep(0.05)


UNDER_WAY = (
    "WORKFLOW_EXECUTION_STARTED",
    "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
    "WORKFLOW_TASK_SCHEDULED",
    "WORKFLOW_TASK_STARTED",
    "TIMER_FIRED",
    "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_STARTED",
    "ACTIVITY_TASK_COMPLETED",
)


async def taken_up(ticket: Ticket) -> None:
    """Waits until the worker has dealt with what was sent.

    The test server loses what comes while one run gives way to the next (the real one does not, and what it
    refuses the daemon sends again), and lets an activity that is under way time out when time is skipped.
    """
    async with asyncio.timeout(60):
        while (await ticket.events())[-1] in UNDER_WAY:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_pause_of_30_days_adds_no_history(tmp_path: Path, daemon: Recorder) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start()
        await server.sleep_until(ticket.at(60))
        await ticket.pause(60)
        before = await at_rest(ticket)
        assert before.count("TIMER_CANCELED") == 1
        await server.sleep(days=30)
        assert await ticket.events() == before
        month = 30 * 24 * 60
        await ticket.resume(month)
        await server.sleep_until(ticket.at(month + 41))
        await until(lambda: daemon.of("T-1")[-1:] == [("response", 100)])
        assert daemon.reports[-1].scheduled_at == ticket.at(month + 40)


async def test_a_repeated_or_late_signal_changes_nothing(tmp_path: Path, daemon: Recorder) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start()
        await server.sleep_until(ticket.at(40))
        paused = await ticket.pause(20)
        await ticket.resume(30)
        before, timers = await ticket.state(), await ticket.events()
        again = wire.to_json(PauseSignal(slad=paused))
        await ticket.handle.signal("pause", again)
        old_revision = msgspec.structs.replace(paused, request_id="another")
        await ticket.handle.signal("pause", wire.to_json(PauseSignal(slad=old_revision)))
        after = await ticket.state()
        assert (after["currentStatus"], after["nextWakeTime"]) == ("active", before["nextWakeTime"])
        assert after["nextWakeTime"] == instant_text(ticket.at(60))
        # What changes nothing does not touch the timer either.
        for kind in ("TIMER_STARTED", "TIMER_CANCELED"):
            assert (await ticket.events()).count(kind) == timers.count(kind)


async def test_a_late_pause_takes_a_threshold_back_and_it_is_reported_again(
    tmp_path: Path, daemon: Recorder
) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(resolution=None))
        await server.sleep_until(ticket.at(55))
        await until(lambda: daemon.of("T-1") == [("response", 50)])
        await ticket.pause(10)
        await ticket.resume(40)
        state = await ticket.state()
        assert state["notifiedThresholds"]["response"] == []
        assert state["nextWakeTime"] == instant_text(ticket.at(80))
        await server.sleep_until(ticket.at(81))
        await until(lambda: len(daemon.reports) == 2)
        assert [r.scheduled_at for r in daemon.reports] == [ticket.at(50), ticket.at(80)]


async def test_an_update_retargets_in_place(tmp_path: Path, daemon: Recorder) -> None:
    """Start, pauses and what was announced stay; the schedule and the targets are new (M5)."""
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE, generation=3)
        handle = await ticket.start(terms(resolution=None))
        await server.sleep_until(ticket.at(60))
        await until(lambda: daemon.of("T-1") == [("response", 50)])
        facts = (
            Fact(ticket.at(20), FactKind.PAUSE, PauseReason.STATUS_PAUSE),
            Fact(ticket.at(30), FactKind.RESUME),
        )
        update = Tracking(terms(600, None, (10, 90)), NINE, facts)
        state = await ticket.update(update, OFFICE)
        await server.sleep_until(ticket.at(71))
        await until(lambda: len(daemon.reports) == 2)
        assert daemon.reports[1][1:4] == ("response", 10, ticket.at(70))
        told = await ticket.state()
        # 600 office minutes from 09:00 with 10 paused: two hours and ten minutes into Tuesday.
        assert told["responseDeadline"] == "2026-03-03T11:10:00.000Z"
        stale = msgspec.structs.replace(state, tracking=Tracking(terms(50), NINE))
        await ticket.handle.signal(
            Signal.UPDATE.value,
            wire.to_json(wire.UpdateSignal(business_hours_schedule=None, slad=stale)),
        )
        assert (await ticket.state())["responseDeadline"] == told["responseDeadline"]
        assert {report.generation for report in daemon.reports} == {3}
        assert (await handle.describe()).run_id == handle.result_run_id


async def test_long_histories_are_continued_and_nothing_is_lost(tmp_path: Path, daemon: Recorder) -> None:
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE, generation=2)
        handle = await ticket.start(terms(100, 400), continueAsNewAfterEvents=30)
        first = (await handle.describe()).run_id
        sent = []
        for minute in range(0, 300, 10):
            await server.sleep_until(ticket.at(minute + 1))
            sent.append(await ticket.pause(minute))
            await taken_up(ticket)
            await ticket.resume(minute + 1)
            await taken_up(ticket)
        await ticket.handle.signal("pause", wire.to_json(PauseSignal(slad=sent[-1])))
        latest = await ticket.handle.describe()
        assert latest.run_id != first
        assert len(await ticket.events()) < 60
        state = await ticket.state()
        assert state["currentStatus"] == "active"
        assert state["pauseState"]["totalPauseMinutes"] == 30
        assert state["resolutionDeadline"] == instant_text(ticket.at(430))
        await server.sleep_until(ticket.at(431))
        # An activity may be carried out twice when time is skipped; a repeated report changes nothing.
        await until(lambda: len(set(daemon.of("T-1"))) == 8)
        assert list(dict.fromkeys(daemon.of("T-1"))) == [
            *(("response", percent) for percent in (50, 75, 90, 100)),
            *(("resolution", percent) for percent in (50, 75, 90, 100)),
        ]
        await ticket.resolve(431)
        await handle.result()


async def test_thresholds_come_on_time_and_overdue_ones_after_a_downtime(
    tmp_path: Path, daemon: Recorder
) -> None:
    """The worker is away from before the start until long after the breach (C5)."""
    async with time_skipping(NINE, tmp_path) as server:
        ticket = Ticket(server.client, NINE - 3 * HOUR_MS)
        await ticket.start(terms(100, None))
        async with worker(server, daemon):
            await until(lambda: len(daemon.reports) == 4)
        assert [(r.percent, r.scheduled_at) for r in daemon.reports] == [
            (percent, ticket.at(percent)) for percent in (50, 75, 90, 100)
        ]
        assert all(report.fired_at >= NINE for report in daemon.reports)
        assert daemon.calls == 1


async def test_a_daemon_that_is_away_gets_the_report_when_it_is_back(
    tmp_path: Path, daemon: Recorder
) -> None:
    """Tried once within the workflow task, then by an activity, whose retries add no history."""
    daemon.refuse(times=3)
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(100, None))
        await server.sleep_until(ticket.at(51))
        await until(lambda: daemon.of("T-1") == [("response", 50)])
        assert daemon.calls == 4
        events = await ticket.events()
        assert events.count("ACTIVITY_TASK_SCHEDULED") == 1
        await server.sleep_until(ticket.at(76))
        await until(lambda: len(daemon.reports) == 2)


async def test_a_daemon_whose_clock_is_behind_is_told_again(tmp_path: Path, daemon: Recorder) -> None:
    answers = iter([rpc.SLA_REPORT_OUTCOME_EARLY, rpc.SLA_REPORT_OUTCOME_EARLY])

    async def judge(request: Any, _context: Any) -> Any:
        answer = next(answers, None)
        return None if answer is None else [answer] * len(request.reports)

    daemon.judge = judge
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(100, None))
        await server.sleep_until(ticket.at(51))
        await until(lambda: daemon.of("T-1") == [("response", 50)])
        assert daemon.calls == 3


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED]
)
async def test_a_daemon_that_cannot_use_a_report_is_not_asked_again(
    code: grpc.StatusCode, tmp_path: Path, daemon: Recorder
) -> None:
    async def refuse(request: Any, context: Any) -> None:
        if request.reports[0].percent == 50:
            await context.abort(code, "no use")

    daemon.judge = refuse
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(100, None))
        await server.sleep_until(ticket.at(76))
        await until(lambda: daemon.of("T-1") == [("response", 75)])
        assert daemon.calls <= 3


async def test_a_report_that_the_facts_deny_is_dropped_and_comes_when_they_agree(
    tmp_path: Path, daemon: Recorder
) -> None:
    """The daemon knows of a pause that has not reached the workflow yet."""
    paused = True

    async def judge(request: Any, _context: Any) -> Any:
        return [rpc.SLA_REPORT_OUTCOME_NOT_TRUE] * len(request.reports) if paused else None

    daemon.judge = judge
    async with time_skipping(NINE, tmp_path) as server, worker(server, daemon):
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(100, None))
        await server.sleep_until(ticket.at(51))
        await until(lambda: daemon.calls == 1)
        paused = False
        await ticket.pause(49)
        await ticket.resume(52)
        await server.sleep_until(ticket.at(54))
        await until(lambda: daemon.of("T-1") == [("response", 50)])
        assert daemon.reports[0].scheduled_at == ticket.at(53)


async def test_a_worker_killed_while_it_reports_loses_and_doubles_nothing(
    tmp_path: Path, daemon: Recorder
) -> None:
    """kill -9 between the daemon's decision and the worker's hearing of it; a second worker goes on."""
    arrived, first = asyncio.Event(), True

    async def hang(request: Any, _context: Any) -> Any:
        nonlocal first
        if not first:
            return None
        first = False
        arrived.set()
        await asyncio.sleep(3600)
        return None

    daemon.judge = hang
    async with time_skipping(NINE, tmp_path) as server:
        address = server.client.service_client.config.target_host
        ticket = Ticket(server.client, NINE)
        await ticket.start(terms(100, None))
        async with worker_process(address, daemon.port, QUEUE) as process:
            moving = asyncio.create_task(server.sleep_until(ticket.at(91)))
            await asyncio.wait_for(arrived.wait(), 60)
            process.kill()
            await process.wait()
        assert daemon.reports == []
        async with worker_process(address, daemon.port, QUEUE):
            await moving
            await until(lambda: len(daemon.reports) == 3, 120)
            assert daemon.of("T-1") == [("response", 50), ("response", 75), ("response", 90)]
            assert (await ticket.handle.describe()).status == WorkflowExecutionStatus.RUNNING
            assert (await ticket.state())["notifiedThresholds"]["response"] == [50, 75, 90]
        assert [r.scheduled_at - NINE for r in daemon.reports] == [
            percent * MINUTE_MS for percent in (50, 75, 90)
        ]
