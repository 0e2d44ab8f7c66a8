"""Records histories that later versions of the workflow have to replay.

`python -m tests.temporal.record_histories v2` when the workflow has learned what changes its history,
with the next number: what is there already stays, as it is what workflows in flight have behind them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from temporalio.client import WorkflowHandle

from slad.core.instants import HOUR_MS
from slad.core.tracking import Tracking
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.core.tickets import OFFICE, at, terms
from tests.temporal.alga import ACTIVITIES_QUEUE, AlgaActivities, AlgaClient
from tests.temporal.recording import Recorder, recording
from tests.temporal.sladian import QUEUE, Ticket
from tests.temporal.test_documents import ALGA_INPUT, alga_target
from tests.temporal.time_skipping import TimeSkipping, time_skipping, until

HISTORIES: Final = Path(__file__).parent / "histories"

NINE: Final = at("2026-03-02T09:00:00Z")

Record = Callable[[str, WorkflowHandle[Any, Any]], Awaitable[None]]


async def daemon_lives(server: TimeSkipping, daemon: Recorder, record: Record) -> None:
    """Workflows that the daemon started: a whole life with late facts, one overdue, one while it is away."""
    ticket = Ticket(server.client, NINE, "life")
    handle = await ticket.start(terms(100, 300, escalate=(70, 90, 110)), OFFICE)
    await server.sleep_until(ticket.at(60))
    await ticket.pause(60)
    await server.sleep_until(ticket.at(80))
    await ticket.resume(80)
    await server.sleep_until(ticket.at(100))
    await ticket.pause(30)
    await ticket.resume(50)
    await ticket.respond(100)
    await ticket.update(msgspec.structs.replace(Tracking(terms(100, 400), NINE), facts=()), OFFICE)
    await server.sleep_until(ticket.at(380))
    await ticket.resolve(380)
    await handle.result()
    await record("daemon-life", handle)

    overdue = Ticket(server.client, await server.now() - 3 * HOUR_MS, "overdue")
    handle = await overdue.start(terms(100, None))
    await until(lambda: len(daemon.of("overdue")) == 4)
    await overdue.pause(181)
    await record("daemon-overdue-and-paused", handle)

    daemon.refuse(times=2)
    away = Ticket(server.client, await server.now(), "away")
    handle = await away.start(terms(100, None))
    await server.sleep_until(away.at(80))
    await until(lambda: len(daemon.of("away")) == 2)
    await record("daemon-away", handle)
    daemon.judge = None


async def long_life(server: TimeSkipping, record: Record) -> None:
    """Continued as new: the first run and one in the middle, with what is carried."""
    ticket = Ticket(server.client, await server.now(), "long", generation=2)
    handle = await ticket.start(terms(100, 400), continueAsNewAfterEvents=30)
    runs = []
    for minute in range(0, 100, 10):
        await server.sleep_until(ticket.at(minute + 1))
        await ticket.pause(minute)
        await ticket.resume(minute + 1)
        await ticket.state()
        run_id = (await ticket.handle.describe()).run_id
        if run_id not in runs:
            runs.append(run_id)
    for number, run_id in enumerate(runs[:2], start=1):
        run = server.client.get_workflow_handle(handle.id, run_id=run_id)
        await record(f"continued-run-{number}", run)


async def alga_lives(server: TimeSkipping, record: Record) -> None:
    """Workflows that AlgaPSA's client started, with its activities: to the end, and closed unheard."""
    activities = AlgaActivities(closed={"closed": "closed"}, paused={"life": "awaiting_client"})
    schedule = {**ALGA_INPUT["businessHoursSchedule"], "is_24x7": True}
    async with activities.serving(server.client):
        client = AlgaClient(server.client)
        handle = await client.start_sla_tracking("life", alga_target(), schedule, [50, 75])
        await server.sleep(minutes=40)
        await client.pause_sla("life", "awaiting_client")
        await server.sleep(minutes=22)
        await client.resume_sla("life")
        await server.sleep(minutes=50)
        await client.complete_sla("life", "response", met=False)
        await server.sleep(hours=3)
        await client.complete_sla("life", "resolution", met=True)
        await handle.result()
        await record("alga-life", handle)
        handle = await client.start_sla_tracking("closed", alga_target(), schedule)
        await server.sleep(hours=1)
        await handle.result()
        await record("alga-closed", handle)
        handle = await client.start_sla_tracking("lost-resume", alga_target(), schedule)
        await client.pause_sla("lost-resume", "status_pause")
        await server.sleep(minutes=12)
        await record("alga-lost-resume", handle)


async def main(version: str) -> None:
    """Writes the histories of this version."""

    async def record(name: str, handle: WorkflowHandle[Any, Any]) -> None:
        document = json.loads((await handle.fetch_history()).to_json())
        for event in document["events"]:
            scrub(event)
        path = HISTORIES / f"{version}-{name}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
        print(f"{path.name}: {len(document['events'])} events")

    with tempfile.TemporaryDirectory() as directory:
        async with time_skipping(NINE, Path(directory)) as server, recording() as daemon:
            slads = make_worker(
                server.client, task_queue=QUEUE, effects=Effects(report=True), daemon=daemon.channel
            )
            algas = make_worker(
                server.client,
                task_queue="sla-workflows",
                effects=Effects(activities_task_queue=ACTIVITIES_QUEUE),
                daemon=None,
            )
            async with slads, algas:
                await daemon_lives(server, daemon, record)
                await long_life(server, record)
                await alga_lives(server, record)


def scrub(value: Any) -> None:
    """Takes out what tells of the machine: stack traces, and who the worker was."""
    if isinstance(value, dict):
        for name in ("stackTrace", "identity", "binaryChecksum"):
            if name in value:
                value[name] = ""
        if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            value["name"] = "sticky"
        for item in value.values():
            scrub(item)
    elif isinstance(value, list):
        for item in value:
            scrub(item)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
