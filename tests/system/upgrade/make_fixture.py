"""Makes the fixture of the present schema: `python -m tests.system.upgrade.make_fixture`.

To be run once for each new schema, by the slad that introduces it, and kept for ever: every later slad has to
open what this one left behind. `clocks-0006` is of the first slad with named clocks, which knew no ids of
their schedules.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
from google.protobuf.json_format import MessageToDict
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MINUTE_MS
from slad.storage.database import DATABASE_NAME, migrations
from tests.slad_under_test import MONDAY_9, Slad, slad_running, stamp, target

FIXTURES = Path(__file__).parent / "fixtures"
LATER = MONDAY_9 + 300 * MINUTE_MS
"""The instant at which a later slad opens it."""


async def live(slad: Slad) -> None:
    """One ticket of every kind."""
    for number, name in enumerate(("running", "paused", "responded", "completed", "cancelled", "late")):
        await slad.start(name, attributes={"number": str(number)}, request_id=f"start-{name}")
    await slad.start("silent", started_at=stamp(MONDAY_9 - 72 * 60 * MINUTE_MS), suppress_past=True)
    await slad.start("alga", pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK)
    await slad.start("always", targets=[pb.SlaPolicyTarget(resolution_time_minutes=90, is_24x7=True)])
    await slad.advance(minutes=40)
    backend, ids = slad.backend, {"tenant_id": "acme"}
    for name in ("paused", "alga"):
        await backend.PauseSla(rpc.PauseSlaRequest(ticket_id=name, reason=1, **ids))
    await backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="responded", phase=1, met=False, **ids))
    await backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="completed", phase=2, **ids))
    await backend.CancelSla(rpc.CancelSlaRequest(ticket_id="cancelled", **ids))
    late = rpc.PauseSlaRequest(
        ticket_id="late", reason=2, effective_at=stamp(MONDAY_9 + 20 * MINUTE_MS), **ids
    )
    await backend.PauseSla(late)
    await backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="completed", mode=1, **ids))
    retarget = rpc.RetargetSlaRequest(ticket_id="running", targets=[target(90, 300)], **ids)
    retarget.schedule.CopyFrom(_schedule())
    await backend.RetargetSla(retarget)
    watch = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
    reply = await watch.read()
    watch.cancel()
    await backend.AckSlaEvents(rpc.AckSlaEventsRequest(consumer="psa", sequence=reply.events[4].sequence))


def _schedule() -> pb.BusinessHoursSchedule:
    schedule = pb.BusinessHoursSchedule(timezone="Europe/Berlin")
    schedule.entries.add(day_of_week=1, start_time="08:00", end_time="20:00", is_enabled=True)
    schedule.holidays.add(holiday_date="2026-04-06", holiday_name="Easter Monday")
    return schedule


async def named(slad: Slad) -> None:
    """Tickets with clocks of every kind, whose cycles are open, closed, discarded and paused."""
    begun = slad.now
    backend, ids = slad.backend, {"tenant_id": "acme"}
    kinds = pb.SlaClockKind
    clocks = [
        pb.SlaClockTerms(name="next-reply", kind=kinds.Value("SLA_CLOCK_KIND_NEXT_REPLY"), target_minutes=60),
        pb.SlaClockTerms(
            name="updates", kind=kinds.Value("SLA_CLOCK_KIND_PERIODIC_UPDATE"), target_minutes=30
        ),
        pb.SlaClockTerms(name="fix", kind=kinds.Value("SLA_CLOCK_KIND_FROM_START"), target_minutes=90),
        *(
            pb.SlaClockTerms(
                name=owner,
                kind=kinds.Value("SLA_CLOCK_KIND_OWNERSHIP"),
                target_minutes=45,
                owner=owner,
                notification_thresholds=[80],
                escalation_1_percent=120,
                paused_by=pb.SlaPausedBy(reasons=["vendor"]),
            )
            for owner in ("level-1", "level-2")
        ),
        pb.SlaClockTerms(name="resolution", paused_by=pb.SlaPausedBy(never=True)),
    ]
    clocks[2].is_24x7 = True
    clocks[4].schedule.CopyFrom(_schedule())
    for name in ("open", "closed"):
        await slad.start(name, clocks=clocks, response_on_resolution=pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED)

    async def both(method: Any, request: Any, minutes: int, **fields: Any) -> None:
        at = stamp(begun + minutes * MINUTE_MS)
        for name in ("open", "closed"):
            await method(request(ticket_id=name, effective_at=at, **ids, **fields))

    customer, agent = (
        pb.SlaMessageSender.Value(f"SLA_MESSAGE_SENDER_{who}") for who in ("CUSTOMER", "AGENT")
    )
    vendor = {"reason": pb.SlaPauseReason.Value("SLA_PAUSE_REASON_OTHER"), "reason_code": "vendor"}
    await slad.advance(minutes=100)
    await both(backend.AssignSla, rpc.AssignSlaRequest, 1, owner="level-1")
    await both(backend.RecordSlaMessage, rpc.RecordSlaMessageRequest, 10, sender=agent)
    await both(backend.RecordSlaMessage, rpc.RecordSlaMessageRequest, 20, sender=customer)
    await both(backend.AssignSla, rpc.AssignSlaRequest, 30, owner="level-2")
    await both(backend.PauseSla, rpc.PauseSlaRequest, 40, **vendor)
    await both(backend.PauseSla, rpc.PauseSlaRequest, 50, reason=1)
    await both(backend.ResumeSla, rpc.ResumeSlaRequest, 60, **vendor)
    await both(backend.CompleteSla, rpc.CompleteSlaRequest, 80, clock="fix", met=False)
    await both(backend.CompleteSla, rpc.CompleteSlaRequest, 85, clock="updates", discard=True)
    await backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="closed", phase=2, **ids))


async def seen(slad: Slad) -> dict[str, object]:
    """All that callers can see, as JSON."""
    await slad.advance()  # until all that is overdue has fired
    events = [MessageToDict(event) for event in await slad.events()]
    found = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id="acme"))
    return {"trackings": [MessageToDict(status) for status in found.trackings], "events": events}


async def make(name: str, *lives: Callable[[Slad], Awaitable[None]]) -> None:
    """Writes `NAME.db.gz` and what a reader sees of it later, `NAME.json`."""
    with tempfile.TemporaryDirectory() as folder:
        async with slad_running(Path(folder)) as slad:
            for life in lives:
                await life(slad)
        path = Path(folder) / DATABASE_NAME
        # Whoever opens it is to take it for the original, not for a copy.
        connection = apsw.Connection(str(path))
        connection.execute("DELETE FROM meta WHERE name = 'home'")
        connection.close()
        database = path.read_bytes()
        async with slad_running(Path(folder), now=LATER) as slad:
            later = await seen(slad)
    (FIXTURES / f"{name}.db.gz").write_bytes(gzip.compress(database, mtime=0))
    (FIXTURES / f"{name}.json").write_text(json.dumps(later, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(make(f"schema-{migrations()[-1][0]:04}", live, named))
