"""Makes the fixture of the present schema: `python -m tests.system.upgrade.make_fixture`.

To be run once for each new schema, by the slad that introduces it, and kept for ever: every later slad has to
open what this one left behind.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
from pathlib import Path

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


async def seen(slad: Slad) -> dict[str, object]:
    """All that callers can see, as JSON."""
    # The events first: they end with a command, before which all that is overdue has fired.
    events = [MessageToDict(event) for event in await slad.events()]
    found = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id="acme"))
    return {"trackings": [MessageToDict(status) for status in found.trackings], "events": events}


async def make() -> None:
    """Writes `schema-NNNN.db.gz` and what a reader sees of it later, `schema-NNNN.json`."""
    name = f"schema-{migrations()[-1][0]:04}"
    with tempfile.TemporaryDirectory() as folder:
        async with slad_running(Path(folder)) as slad:
            await live(slad)
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
    asyncio.run(make())
