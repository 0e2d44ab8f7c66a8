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
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from slad.core.schedule import Schedule, build_schedule
from slad.core.terms import Terms
from slad.temporal.wire import Effects
from slad.temporal.worker import make_worker
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
    """Events and bytes of whole lives."""
    print("| life | effects | events | bytes |\n|---|---|---|---|")
    for reports in (True, False):
        for life in LIVES:
            async with time_skipping(NINE, directory) as server, recording() as daemon:
                handle = await (_with_daemon if reports else _with_activities)(server, daemon, life)
                events = (await handle.fetch_history()).events
                size = sum(event.ByteSize() for event in events)
                effects = "daemon" if reports else "AlgaPSA's activities"
                print(f"| {life.name} | {effects} | {len(events)} | {size:,} |", flush=True)


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
    """CPU and memory of a worker process, and what the replay of a history takes."""
    async with recording() as daemon:
        with ExitStack() as stack:
            server = stack.enter_context(dev_server(directory))
            client = await server.client()
            started_at = round(time.time() * 1000)
            async with worker_process(
                server.address, daemon.port, QUEUE, f"--max-cached-workflows={TICKETS}"
            ) as process:
                await _overdue(client, daemon, "warm", 20, started_at)
                cpu, memory = _cpu_s(process.pid), _memory(process.pid)
                await _overdue(client, daemon, "T", TICKETS, started_at)
                used, held = _cpu_s(process.pid) - cpu, _memory(process.pid) - memory
                print(f"a start that reports six overdue thresholds: {used / TICKETS * 1e3:.1f} ms CPU")
                print(f"a ticket in memory: {held / TICKETS / 1024:.0f} KiB")
                print(
                    f"a signal to one: {await _signals(client, process.pid, started_at, 'pause'):.1f} ms CPU"
                )
            async with worker_process(
                server.address, daemon.port, QUEUE, "--max-cached-workflows=0"
            ) as process:
                span_ms = await _signals(client, process.pid, started_at, "resume")
                print(f"a signal to a ticket that is read from its history: {span_ms:.1f} ms CPU")


async def _signals(client: Client, pid: int, now: int, what: str) -> float:
    """ms of CPU that a signal to each ticket takes."""
    cpu = _cpu_s(pid)
    # Each kind of signal comes once, so its revision tells it from the other.
    revision = {"pause": 1, "resume": 2}[what]
    tickets = [
        Ticket(client, now - FIVE_HOURS_MS, f"T-{number}", numbers=count(revision))
        for number in range(TICKETS)
    ]
    for ticket in tickets:
        await getattr(ticket, what)(301)
    status = {"pause": "paused", "resume": "active"}[what]
    while (await tickets[-1].state())["currentStatus"] != status:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return (_cpu_s(pid) - cpu) / TICKETS * 1e3


async def _overdue(client: Client, daemon: Recorder, name: str, tickets: int, now: int) -> None:
    already = len(daemon.reports)
    gate = asyncio.Semaphore(32)

    async def start(number: int) -> None:
        async with gate:
            await Ticket(client, now - FIVE_HOURS_MS, f"{name}-{number}").start(
                terms(240, None, (50, 75, 90), (70, 90, 110))
            )

    await asyncio.gather(*(start(number) for number in range(tickets)))
    await until(lambda: len(daemon.reports) - already >= 6 * tickets, 600)


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
