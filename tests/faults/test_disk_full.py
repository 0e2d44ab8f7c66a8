"""A daemon whose disk is full, or broken: it stays up, answers what it can, and goes on by itself.

The disks are a shim's, a real file system of a few MiB, and a limit to the size of files.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refused
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.engines import local
from tests.e2e import slad_process
from tests.e2e.slad_process import SladProcess
from tests.engines.test_local import NOW, rig
from tests.faults.faulty_vfs import Failure, Fault, FaultyDisk
from tests.slad_under_test import OFFICE, refused, slad_running, stamp

BACKEND = "slad.v1.SlaBackend"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

RESPONSE_MINUTES = 600
LEAD_MS = 2_500
"""How soon the first threshold falls due; by then the disk has to be full, on a slow machine too."""
GAP_MS = 300

MIB = 1024 * 1024


@dataclass
class Patient:
    """A daemon on real time, and its disk."""

    address: str
    break_disk: Callable[[], None]
    mend_disk: Callable[[], None]
    code: grpc.StatusCode
    reason: str


@asynccontextmanager
async def on_a_shim(tmp_path: Path, *, full: bool = True) -> AsyncIterator[Patient]:
    data = tmp_path / "data"
    with FaultyDisk(data) as disk:

        def break_disk() -> None:
            if full:
                disk.fill()
            else:
                disk.arm(Fault("sync wal", disk.calls["sync wal"] + 1, Failure.IO_ERROR, lasting=True))

        async with slad_running(data, now=None) as slad:
            code, reason = refusal_of(full=full)
            try:
                yield Patient(slad.daemon.addresses[0], break_disk, disk.repair, code, reason)
            finally:
                disk.repair()


@asynccontextmanager
async def on_a_broken_shim(tmp_path: Path) -> AsyncIterator[Patient]:
    async with on_a_shim(tmp_path, full=False) as patient:
        yield patient


@asynccontextmanager
async def on_a_small_file_system(tmp_path: Path) -> AsyncIterator[Patient]:
    """A tmpfs that only the daemon sees, and that goes with it; without the right to mount, the other limit."""
    data = tmp_path / "data"
    data.mkdir()
    if not may_mount(data):
        async with under_a_limit(tmp_path) as patient:
            yield patient
        return
    mount = f"mount -t tmpfs -o size={MIB},mode=700 slad {data}"
    wrapper = tmp_path / "slad-on-a-small-disk"
    wrapper.write_text(
        f'#!/bin/sh\nexec unshare -m sh -c \'{mount} && exec {slad_process.COMMAND} "$@"\' -- "$@"\n'
    )
    wrapper.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slad_process, "COMMAND", wrapper)
        process = SladProcess("--listen", "127.0.0.1:0", "--data", str(data))
    filler = Path(f"/proc/{process.process.pid}/root{data}/filler")

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    async with stopped_at_the_end(process):
        yield Patient(process.addresses[0], fill, filler.unlink, *refusal_of(full=True))


@asynccontextmanager
async def under_a_limit(tmp_path: Path) -> AsyncIterator[Patient]:
    """No file of the daemon may become longer than its WAL is."""
    data = tmp_path / "limited"
    process = SladProcess("--listen", "127.0.0.1:0", "--data", str(data))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        wal = (data / "slad.db-wal").stat().st_size
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (wal, unlimited[1]))

    def lift() -> None:
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, unlimited)

    async with stopped_at_the_end(process):
        yield Patient(process.addresses[0], limit, lift, *refusal_of(full=True))


@asynccontextmanager
async def stopped_at_the_end(process: SladProcess) -> AsyncIterator[None]:
    try:
        process.wait_ready()
        yield
        assert process.terminate() == 0, process.output
    finally:
        if process.process.poll() is None:
            process.kill()


def may_mount(place: Path) -> bool:
    try:
        command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", f"size={MIB}", "slad", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def refusal_of(*, full: bool) -> tuple[grpc.StatusCode, str]:
    if full:
        return grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"
    return grpc.StatusCode.UNAVAILABLE, "CANNOT_WRITE"


@pytest.mark.parametrize("place", [on_a_shim, on_a_broken_shim, on_a_small_file_system, under_a_limit])
async def test_it_stays_up_answers_queries_and_goes_on_by_itself(tmp_path: Path, place: Any) -> None:
    async with place(tmp_path) as patient, grpc.aio.insecure_channel(patient.address) as channel:
        backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        # The later it is started, the sooner it falls due: nothing may go by the order of starts.
        first_due = time.time_ns() // 1_000_000 + LEAD_MS
        due = [first_due + GAP_MS * n for n in (2, 1, 0)]
        for number, instant in enumerate(due):
            await backend.StartSlaTracking(half_way_at(instant, f"T-{number}"))
        watch = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa", after_sequence=0))
        events: asyncio.Queue[pb.SlaEvent] = asyncio.Queue()
        watching = asyncio.create_task(into(events, watch))
        assert [(await events.get()).type for _ in due] == [pb.SLA_EVENT_TYPE_STARTED] * 3
        states = health.Watch(health_pb2.HealthCheckRequest(service=BACKEND))
        assert (await states.read()).status == SERVING

        patient.break_disk()
        refusal = await a_refused_start(backend)
        assert (refusal.code, refusal.reason) == (patient.code, patient.reason)
        assert time.time_ns() // 1_000_000 < first_due, "the machine is too slow for LEAD_MS"
        assert (await states.read()).status == NOT_SERVING
        assert await check(health, BACKEND) == NOT_SERVING
        assert await check(health, "") == SERVING
        await queries_are_answered(backend)
        again = await refused(backend.PauseSla(pause("T-0")))
        assert (again.code, again.reason) == (patient.code, patient.reason)
        await asyncio.sleep((max(due) - time.time_ns() // 1_000_000) / 1000 + 0.5)
        assert events.empty(), "what is not durable is not told"
        await queries_are_answered(backend)
        assert await check(health, BACKEND) == NOT_SERVING

        patient.mend_disk()
        mended_at = time.time_ns() // 1_000_000
        fired = [await asyncio.wait_for(events.get(), 10) for _ in due]
        assert [event.ticket_id for event in fired] == ["T-2", "T-1", "T-0"]
        assert [event.threshold.scheduled_at.ToMilliseconds() for event in fired] == sorted(due)
        assert {event.threshold.percent for event in fired} == {50}
        assert all(event.threshold.fired_at.ToMilliseconds() >= mended_at - 1000 for event in fired)
        assert (await asyncio.wait_for(states.read(), 10)).status == SERVING
        assert (await backend.PauseSla(pause("T-0"))).changed
        gone = await refused(
            backend.GetSlaStatus(rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="big-0"))
        )
        assert gone.reason == "TRACKING_NOT_FOUND", "what was refused is not in force"
        watching.cancel()
        watch.cancel()
        states.cancel()


async def test_with_nothing_due_and_nobody_asking_it_notices_that_there_is_room(tmp_path: Path) -> None:
    async with on_a_shim(tmp_path) as patient, grpc.aio.insecure_channel(patient.address) as channel:
        backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        patient.break_disk()
        await a_refused_start(backend)
        states = health.Watch(health_pb2.HealthCheckRequest(service=BACKEND))
        assert (await states.read()).status == NOT_SERVING
        await asyncio.sleep(3 * local.RETRY_S)
        assert await check(health, BACKEND) == NOT_SERVING
        patient.mend_disk()
        assert (await asyncio.wait_for(states.read(), 10)).status == SERVING
        states.cancel()


async def test_a_retry_hint_comes_with_the_refusal(tmp_path: Path) -> None:
    async with on_a_shim(tmp_path) as patient, grpc.aio.insecure_channel(patient.address) as channel:
        backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        patient.break_disk()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while True:
                await backend.StartSlaTracking(big(0))
        status = rpc_status.from_call(caught.value)
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay == Duration(seconds=1)


async def test_it_is_stopped_as_promptly_as_ever(tmp_path: Path) -> None:
    with FaultyDisk(tmp_path / "data") as disk:
        async with slad_running(tmp_path / "data", now=None) as slad:
            await slad.backend.StartSlaTracking(half_way_at(time.time_ns() // 1_000_000 + 500, "T"))
            disk.fill()
            await a_refused_start(slad.backend)
            await asyncio.sleep(1)
            slad.daemon.request_stop()
            begun = time.monotonic()
            while slad.daemon.addresses and not stopped(slad.daemon.addresses[0]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert time.monotonic() - begun < 5
        disk.repair()


async def test_a_flood_is_refused_within_a_retry_and_does_not_pile_up(tmp_path: Path) -> None:
    async with on_a_shim(tmp_path) as patient, grpc.aio.insecure_channel(patient.address) as channel:
        backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        patient.break_disk()
        await a_refused_start(backend)
        begun = time.monotonic()
        refusals = await asyncio.gather(*(refused(backend.StartSlaTracking(big(n))) for n in range(400)))
        assert {refusal.reason for refusal in refusals} == {"DISK_FULL"}
        assert time.monotonic() - begun < 10


# --- the pump


@pytest.mark.parametrize("store_method", ["by_key", "wakes", "wake_of"])
async def test_a_timer_whose_ticket_could_not_be_read_fires_in_the_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_method: str
) -> None:
    monkeypatch.setattr(local, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        await slad.start("A")
        await slad.start("B", 120)
        failing(slad.store, store_method, monkeypatch)
        slad.journal.failures = [apsw.IOError("EIO")]
        await slad.engine.advance(NOW + 3 * HOUR_MS)
        fired = [pb.SlaEvent.FromString(event.body) for event in slad.published[2:]]
        instants = [event.threshold.scheduled_at.ToMilliseconds() for event in fired]
        assert instants == [NOW + minutes * MINUTE_MS for minutes in (30, 60, 60, 120)]


async def test_a_command_whose_ticket_cannot_be_read_is_refused_and_nothing_of_its_turn_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as slad:
        await slad.start("A")
        failing(slad.store, "latest", monkeypatch)
        asked = await asyncio.gather(slad.start("B"), slad.start("C"), return_exceptions=True)
        assert [answer.reason for answer in asked if isinstance(answer, Refused)] == ["CANNOT_WRITE"] * 2
        assert len(slad.published) == 1
        assert (await slad.start("B")).generation == 1


async def test_the_log_tells_of_an_outage_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local, "RETRY_S", 0)
    caplog.set_level("INFO")
    told: list[bool] = []
    async with rig(tmp_path) as slad:
        slad.engine.on_writable = told.append
        slad.journal.failures = [apsw.FullError("disk is full")] * 20
        with pytest.raises(Refused):
            await slad.start("A")
        await slad.start("A")
    assert told == [False, True]
    assert [record.message for record in caplog.records if record.name == local.__name__] == [
        "commit failed, nothing of it is in force: disk is full",
        "commits succeed again",
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_has_many_names(number: int) -> None:
    assert local.CannotWrite(apsw.IOError("disk I/O error"), number).disk_full
    assert not local.CannotWrite(apsw.ConstraintError("not unique"), number).disk_full
    assert not local.CannotWrite(apsw.IOError("disk I/O error"), errno.EIO).disk_full


# --- helpers


def failing(store: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the next call of a method fail."""
    works = getattr(store, method)

    def once(*arguments: Any) -> Any:
        monkeypatch.setattr(store, method, works)
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr(store, method, once)


def half_way_at(instant: int, ticket: str) -> rpc.StartSlaTrackingRequest:
    """A start of which half of the response time is over at `instant`."""
    return rpc.StartSlaTrackingRequest(
        tenant_id="acme",
        ticket_id=ticket,
        targets=[pb.SlaPolicyTarget(response_time_minutes=RESPONSE_MINUTES, is_24x7=True)],
        notification_thresholds=[50],
        started_at=stamp(instant - RESPONSE_MINUTES * MINUTE_MS // 2),
    )


def big(number: int) -> rpc.StartSlaTrackingRequest:
    """A start that takes 40 KiB."""
    return rpc.StartSlaTrackingRequest(
        tenant_id="acme",
        ticket_id=f"big-{number}",
        targets=[pb.SlaPolicyTarget(response_time_minutes=RESPONSE_MINUTES, is_24x7=True)],
        attributes={f"key-{n}": "v" * 1000 for n in range(20)},
    )


async def a_refused_start(backend: Any) -> Any:
    return await refused(backend.StartSlaTracking(big(0)))


def pause(ticket: str) -> rpc.PauseSlaRequest:
    return rpc.PauseSlaRequest(tenant_id="acme", ticket_id=ticket, reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE)


async def queries_are_answered(backend: Any) -> None:
    reply = await backend.GetSlaStatus(rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="T-0"))
    assert reply.status.ticket_id == "T-0"
    page = await backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id="acme"))
    assert [status.ticket_id for status in page.trackings] == ["T-0", "T-1", "T-2"]
    timeline = await backend.GetSlaTimeline(rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id="T-1"))
    assert len(timeline.events) == 1
    preview = rpc.PreviewSlaRequest(
        targets=[pb.SlaPolicyTarget(response_time_minutes=RESPONSE_MINUTES)], schedule=OFFICE
    )
    assert (await backend.PreviewSla(preview)).HasField("response")


async def check(health: Any, service: str) -> Any:
    return (await health.Check(health_pb2.HealthCheckRequest(service=service))).status


async def into(queue: asyncio.Queue[pb.SlaEvent], watch: Any) -> None:
    async for reply in watch:
        for event in reply.events:
            queue.put_nowait(event)
