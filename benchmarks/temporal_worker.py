"""What a ticket costs over Temporal: events and bytes of history, and the worker's CPU and memory.

`python -m benchmarks.temporal_worker` needs what tests/temporal needs: Java with the test server, and the
`temporal` command. History is counted on the test server, where days pass in seconds; CPU and memory are
those of a `slad temporal-worker` process on the dev server, from /proc. The daemon's side takes every report.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle

from slad.core.schedule import Schedule, build_schedule
from slad.core.terms import Terms
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.core.tickets import at, terms
from tests.temporal.alga import ACTIVITIES_QUEUE, AlgaActivities, AlgaClient
from tests.temporal.dev_server import dev_server
from tests.temporal.processes import worker_process
from tests.temporal.recording import Recorder, recording
from tests.temporal.sladian import QUEUE, Ticket
from tests.temporal.test_documents import ALGA_INPUT, alga_target
from tests.temporal.time_skipping import TimeSkipping, time_skipping, until

NINE: Final = at("2026-03-02T09:00:00Z")

PROMISED: Final[Terms] = terms(240, 960, (50, 75, 90), (70, 90, 110))
"""Twelve thresholds: 50, 70, 75, 90, 100 and 110 % of four hours and of two office days."""

OFFICE: Final[Schedule] = build_schedule(
    timezone="Europe/Berlin",
    is_24x7=False,
    entries=[(day, "09:00", "17:00", True) for day in range(1, 6)],
    holidays=[(f"2026-{month:02}-15", False, "Holiday") for month in range(1, 13)],
)

TICKETS: Final = 200
"""In the measurement of CPU and memory."""

FIVE_HOURS_MS: Final = 5 * 3_600_000

ACTIONS: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_MARKER_RECORDED,
    }
)
"""What Temporal Cloud counts, without retries; a marker is that of a local activity."""

TICK: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Life:
    """One kind of ticket; minutes are those of the wall clock after its start."""

    name: str
    pauses: int
    respond: float | None
    resolve: float


LIVES: Final = (
    Life("answered and resolved in time, no pause", 0, 60, 400),
    Life("answered in time, 3 pauses, resolved late", 3, 60, 8_000),
    Life("all twelve thresholds, 12 pauses", 12, None, 12_000),
)


async def histories(directory: Path) -> None:
    """Events, bytes, workflow tasks and actions of whole lives."""
    print("| life | effects | events | bytes | tasks | actions |\n|---|---|---|---|---|---|")
    for reports in (True, False):
        for life in LIVES:
            async with time_skipping(NINE, directory) as server, recording() as daemon:
                handle = await (_with_daemon if reports else _with_activities)(server, daemon, life)
                events = (await handle.fetch_history()).events
                size = sum(event.ByteSize() for event in events)
                effects = "daemon" if reports else "AlgaPSA's activities"
                counts = f"{len(events)} | {size:,} | {_tasks_in(events)}"
                actions = sum(event.event_type in ACTIONS for event in events)
                print(f"| {life.name} | {effects} | {counts} | {actions} |", flush=True)


async def _with_daemon(server: TimeSkipping, daemon: Recorder, life: Life) -> WorkflowHandle[Any, Any]:
    ticket = Ticket(server.client, NINE)
    async with make_worker(
        server.client, task_queue=QUEUE, effects=Effects(report=True), daemon=daemon.channel
    ):
        handle = await ticket.start(PROMISED, OFFICE)
        for minute, what in _plan(life):
            await server.sleep_until(ticket.at(minute))
            await getattr(ticket, what)(minute)
        await handle.result()
    return handle


async def _with_activities(server: TimeSkipping, _daemon: Recorder, life: Life) -> WorkflowHandle[Any, Any]:
    activities = AlgaActivities()
    effects = Effects(activities_task_queue=ACTIVITIES_QUEUE)
    alga = AlgaClient(server.client)
    async with (
        make_worker(server.client, task_queue="sla-workflows", effects=effects, daemon=None),
        activities.serving(server.client),
    ):
        handle = await alga.start_sla_tracking(
            "T-1",
            alga_target(response_time_minutes=240, resolution_time_minutes=960),
            ALGA_INPUT["businessHoursSchedule"],
        )
        calls: dict[str, Callable[[], Any]] = {
            "pause": lambda: alga.pause_sla("T-1", "awaiting_client"),
            "resume": lambda: alga.resume_sla("T-1"),
            "respond": lambda: alga.complete_sla("T-1", "response", met=True),
            "resolve": lambda: alga.complete_sla("T-1", "resolution", met=True),
        }
        for minute, what in _plan(life):
            await server.sleep_until(NINE + round(minute * 60_000))
            await calls[what]()
        await handle.result()
    return handle


def _plan(life: Life) -> list[tuple[float, str]]:
    """(minute, what happens), in order."""
    step = life.resolve / (life.pauses + 1)
    plan = [] if life.respond is None else [(life.respond, "respond")]
    for number in range(life.pauses):
        plan += [((number + 0.3) * step + 61, "pause"), ((number + 0.5) * step + 61, "resume")]
    return [*sorted(plan), (life.resolve, "resolve")]


async def worker_costs(directory: Path) -> None:
    """CPU and memory of a worker process, with tickets in memory and with tickets read from their history."""
    print("\n| | ms of CPU a ticket | workflow tasks a second of CPU |\n|---|---|---|")
    async with recording() as daemon:
        with ExitStack() as stack:
            server = stack.enter_context(dev_server(directory))
            client = await server.client()
            started_at = round(time.time() * 1000)
            async with worker_process(
                server.address, daemon.port, QUEUE, f"--max-cached-workflows={TICKETS}"
            ) as process:
                await _overdue(daemon, _tickets(client, started_at, "warm", 20))
                memory = _memory(process.pid)
                tickets = _tickets(client, started_at, "T", TICKETS)
                with Spent(process.pid) as spent:
                    await _overdue(daemon, tickets)
                spent.tell("a start that reports six overdue thresholds", await _tasks(tickets))
                held = _memory(process.pid) - memory
                await _signals(process.pid, tickets, "pause", "a signal to one in memory")
                print(f"\na ticket in memory: {held / TICKETS / 1024:.0f} KiB\n")
            async with worker_process(
                server.address, daemon.port, QUEUE, "--max-cached-workflows=0"
            ) as process:
                await _signals(
                    process.pid, tickets, "resume", "a signal to one that is read from its history"
                )


class Spent:
    """The CPU that a process spends while this is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu_s = 0.0

    def __enter__(self) -> Spent:
        self._cpu_s = -_cpu_s(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._cpu_s += _cpu_s(self._pid)

    def tell(self, what: str, tasks: int) -> None:
        """Prints it, for `tasks` workflow tasks of all tickets together."""
        each = f"{self._cpu_s / TICKETS * 1e3:.1f}"
        print(f"| {what} | {each} | {tasks / self._cpu_s:.0f} |", flush=True)


def _tickets(client: Client, now: int, name: str, number: int) -> list[Ticket]:
    return [Ticket(client, now - FIVE_HOURS_MS, f"{name}-{each}") for each in range(number)]


async def _overdue(daemon: Recorder, tickets: list[Ticket]) -> None:
    """Starts tickets of which six thresholds each are overdue, and waits until they are reported."""
    already = len(daemon.reports)
    promised = terms(240, None, (50, 75, 90), (70, 90, 110))
    await _each(tickets, lambda ticket: ticket.start(promised))
    await until(lambda: len(daemon.reports) - already >= 6 * len(tickets), 600)
    await _have_done(tickets, len(tickets))


async def _signals(pid: int, tickets: list[Ticket], what: str, title: str) -> None:
    """Sends each ticket a signal, and waits until the worker has done its task."""
    before = await _tasks(tickets)
    with Spent(pid) as spent:
        await _each(tickets, lambda ticket: getattr(ticket, what)(301))
        await _have_done(tickets, before + len(tickets))
    spent.tell(title, await _tasks(tickets) - before)


async def _have_done(tickets: list[Ticket], tasks: int) -> None:
    """Waits until so many workflow tasks are done. Asking for histories costs the worker nothing."""
    while await _tasks(tickets) < tasks:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _each(tickets: list[Ticket], call: Callable[[Ticket], Awaitable[Any]]) -> None:
    """Calls for all tickets, 32 at a time."""
    gate = asyncio.Semaphore(32)

    async def one(ticket: Ticket) -> None:
        async with gate:
            await call(ticket)

    await asyncio.gather(*map(one, tickets))


async def _tasks(tickets: list[Ticket]) -> int:
    """Workflow tasks that the worker has done for these tickets."""
    done = 0

    async def count(ticket: Ticket) -> None:
        nonlocal done
        events = (await ticket.handle.fetch_history()).events
        done += _tasks_in(events)

    await _each(tickets, count)
    return done


def _tasks_in(events: Iterable[HistoryEvent]) -> int:
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED for event in events)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


async def main() -> None:
    """Prints all of it."""
    with tempfile.TemporaryDirectory() as directory:
        await histories(Path(directory))
        await worker_costs(Path(directory))


if __name__ == "__main__":
    asyncio.run(main())
