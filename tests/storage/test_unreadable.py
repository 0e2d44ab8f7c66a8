"""Each kind of stored value is damaged in turn: it is named, left out, never told; all else goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.facts import FactKind
from slad.core.instants import MINUTE_MS
from slad.engine.doctor import Severity, examine
from slad.storage.backup import inspect
from slad.storage.checksums import message_checksum
from slad.storage.codec import Message, encode
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.quarantine import set_aside
from slad.storage.rows import Batch, OutboxRow, ParkedEventRow
from slad.storage.unreadable import Unreadable
from tests.slad_under_test import MONDAY_9, refused, slad_running, stamp, target

HEALTHY, SICK = {"tenant_id": "acme", "ticket_id": "healthy"}, {"tenant_id": "acme", "ticket_id": "sick"}

BLOBS = {
    "tracking": "UPDATE tracking SET body = x'93010203' WHERE ticket_id = 'sick'",
    "tracking, a bit": "UPDATE tracking SET state = 1, body = {flip} WHERE ticket_id = 'sick'",
    "event": "UPDATE event SET body = {flip} WHERE sequence = 2",
    "event, its type": "UPDATE event SET type = 4 WHERE sequence = 2",
    "schedule": "UPDATE schedule SET body = {flip} WHERE schedule_key = 2",
    "request": "UPDATE request SET answer = x'0a', fingerprint = fingerprint WHERE request_id = 'sick'",
    "audit": "UPDATE audit SET body = x'c1' WHERE audit_key = 2",
    "audit, its instant": "UPDATE audit SET recorded_at = recorded_at + 1 WHERE audit_key = 2",
    "parked event": "UPDATE parked_event SET body = {flip}",
    "parked event, its ticket": "UPDATE parked_event SET ticket_id = 'healthy'",
    "consumer": "UPDATE consumer SET tenants = '[\"ac'",
}


def flipped(body: str = "body") -> str:
    """SQL: the blob with one bit of its last byte turned."""
    last = f"substr({body}, -1)"
    other = f"CASE hex({last}) WHEN '00' THEN x'01' ELSE x'00' END"
    return f"CAST(substr({body}, 1, length({body}) - 1) || {other} AS BLOB)"


def damage(data: Path, name: str) -> None:
    connection = apsw.Connection(str(data / "slad.db"))
    connection.execute(BLOBS[name].replace("{flip}", flipped()))
    assert connection.changes()
    connection.close()


async def two_tickets(data: Path) -> None:
    other = pb.BusinessHoursSchedule(timezone="Europe/Berlin")
    other.entries.add(day_of_week=1, start_time="08:00", end_time="20:00", is_enabled=True)
    async with slad_running(data) as slad:
        await slad.start("healthy", request_id="healthy", targets=[target(60, None, (0, 0, 0))])
        await slad.start("sick", request_id="sick", targets=[target(60, None, (0, 0, 0))], schedule=other)
        watch = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await watch.read()
        watch.cancel()
    batch = Batch()
    batch.park_events([ParkedEventRow("sink:s", 2, "acme", "sick", MONDAY_9, 1, "refused", 0, b"\x08\x02")])
    commit(data, batch)


def commit(data: Path, batch: Batch) -> None:
    directory = DataDirectory(data)
    journal = Journal(directory.writer())
    journal.commit(batch)
    journal.close()
    directory.close()


@pytest.fixture(params=BLOBS)
async def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    data = tmp_path / "data"
    await two_tickets(data)
    damage(data, request.param)
    return request.param, data


async def test_it_starts_and_serves_all_else(damaged: tuple[str, Path]) -> None:
    name, data = damaged
    is_lost = name.startswith(("tracking", "schedule"))
    async with slad_running(data) as slad:
        status = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**HEALTHY))
        assert status.status.ticket_id == "healthy"
        listed = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest())
        assert [found.ticket_id for found in listed.trackings] == ["healthy"] + ["sick"] * (not is_lost)
        if is_lost:
            calls = [
                slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**SICK)),
                slad.backend.PauseSla(rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, **SICK)),
            ]
            for call in calls:
                refusal = await refused(call)
                assert (refusal.code.name, refusal.reason) == ("DATA_LOSS", "UNREADABLE")
        exported = [row async for row in slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest())]
        assert sum(len(row.trackings) for row in exported) == (1 if is_lost else 2)
        await slad.backend.GetSlaTimeline(rpc.GetSlaTimelineRequest(include_audit=True, **HEALTHY))
        # Both in one turn: neither hides the other, or stops the timers.
        both = asyncio.gather(
            slad.backend.PauseSla(rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, **HEALTHY)),
            slad.backend.ResumeSla(rpc.ResumeSlaRequest(**SICK)),
            return_exceptions=True,
        )
        assert not isinstance((await both)[0], BaseException)
        await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**HEALTHY))
        await slad.advance(minutes=61)
        events = await slad.events()
        reached = {e.ticket_id for e in events if e.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED}
        assert reached == ({"healthy"} if is_lost else {"healthy", "sick"})
        assert (2 in [event.sequence for event in events]) is not name.startswith("event")


async def test_doctor_names_it_and_goes_on(damaged: tuple[str, Path]) -> None:
    name, data = damaged
    with inspect(data) as store:
        results = list(examine(store, MONDAY_9))
    wrong = [result for result in results if result.severity is Severity.FAILURE]
    # A consumer whose tenants cannot be read is for none: nothing is lost.
    assert bool(wrong) == (name != "consumer")
    assert results[-1].check == "consumer psa", "every check was made"
    named = " ".join(result.text for result in wrong)
    if name.startswith(("tracking", "schedule")):
        assert "ticket 'sick'" in named
    if name.startswith("tracking"):
        assert "tenant 'acme'" in named


async def test_what_is_set_aside_does_not_come_up_again(damaged: tuple[str, Path]) -> None:
    name, data = damaged
    command = [sys.executable, "-m", "slad", "doctor", "--data", str(data), "--quarantine"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    is_set_aside = name != "consumer"
    assert ("set aside: " in done.stderr) == is_set_aside
    connection = apsw.Connection(str(data / "slad.db"))
    count = connection.execute("SELECT count(*) FROM quarantine WHERE columns LIKE '{%'").get
    assert (count >= 1) == is_set_aside
    connection.close()
    async with slad_running(data) as slad:
        await slad.start("sick", request_id="sick again")
        assert await slad.advance(minutes=61)


@pytest.mark.parametrize("kind", ["tracking", "schedule"])
async def test_a_batch_of_statuses_names_those_that_are_damaged(tmp_path: Path, kind: str) -> None:
    await two_tickets(tmp_path)
    damage(tmp_path, kind)
    async with slad_running(tmp_path) as slad:
        page = await slad.backend.BatchGetSlaStatus(
            rpc.BatchGetSlaStatusRequest(tenant_id="acme", ticket_ids=["sick", "none", "healthy", "sick"])
        )
        assert [status.ticket_id for status in page.statuses] == ["healthy"]
        assert (list(page.not_found), list(page.unreadable)) == (["none"], ["sick", "sick"])


async def test_a_page_of_damage_does_not_end_a_list(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for number in range(8):
            await slad.start(f"T-{number}")
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE tracking SET checksum = 1 WHERE tracking_key BETWEEN 2 AND 6")
    connection.close()
    with inspect(tmp_path) as store:
        assert [record.tracking_key for record in store.of_all(0, 3)] == [1, 7, 8]
        assert len(store.unreadable) == 5


async def test_rows_of_an_earlier_slad_have_no_checksum(tmp_path: Path) -> None:
    await two_tickets(tmp_path)
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    for table in ("tracking", "event", "request", "audit", "parked_event", "temporal_outbox"):
        connection.execute(f"UPDATE {table} SET checksum = NULL")
    connection.close()
    with inspect(tmp_path) as store:
        assert not list(store.unreadable_values())


async def test_a_damaged_parked_event_holds_its_ticket_up_and_is_not_listed(tmp_path: Path) -> None:
    await two_tickets(tmp_path)
    damage(tmp_path, "parked event")
    with inspect(tmp_path) as store:
        assert store.parked_events("sink:s", 0, 9) == []
        with pytest.raises(Unreadable, match="event 2, parked for 'sink:s', cannot be read"):
            store.parked_events_of("sink:s", "acme", "sick", 9)


@pytest.mark.parametrize("change", ["body = {flip}", "workflow_id = 'other'", "tracking_key = 2"])
async def test_a_damaged_message_is_not_told_and_can_be_set_aside(tmp_path: Path, change: str) -> None:
    await two_tickets(tmp_path)
    message = "w", 1, MONDAY_9, encode(Message(FactKind.CANCEL, 1, MONDAY_9))
    commit(tmp_path, Batch(outbox=[OutboxRow(*message, message_checksum(*message))]))
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute(f"UPDATE temporal_outbox SET {change}".replace("{flip}", flipped()))
    workflow_id = connection.execute("SELECT workflow_id FROM temporal_outbox").get
    with inspect(tmp_path) as store:
        with pytest.raises(Unreadable, match="its checksum differs"):
            store.temporal().next_of(workflow_id)
        errors = list(store.unreadable_values())
    set_aside(connection, errors, MONDAY_9)
    assert [error.table for error in errors] == ["temporal_outbox"]
    assert connection.execute("SELECT count(*) FROM temporal_outbox").get == 0
    connection.close()


async def test_a_command_that_meets_a_damaged_row_of_the_ledger_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("sick", targets=[target(60, 240)])
        await slad.advance(minutes=30)
        await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="sick", phase=1))
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE ledger SET verdict = 9")
    assert connection.changes() == 1
    connection.close()
    async with slad_running(tmp_path, now=MONDAY_9 + 40 * MINUTE_MS) as slad:
        status = rpc.GetSlaStatusRequest(ticket_id="sick")
        before = await slad.backend.GetSlaStatus(status), len(await slad.events())
        earlier = stamp(MONDAY_9 + 20 * MINUTE_MS)
        late = rpc.CompleteSlaRequest(ticket_id="sick", phase=1, effective_at=earlier)
        with pytest.raises(grpc.aio.AioRpcError):
            await slad.backend.CompleteSla(late)
        assert (await slad.backend.GetSlaStatus(status), len(await slad.events())) == before
