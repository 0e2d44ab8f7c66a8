"""An edited calendar: RetargetSlaTrackings of many tickets, with thresholds that fall due meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median, quantiles

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.import_million import resident_bytes
from benchmarks.pending import ROWS_A_MESSAGE, take
from benchmarks.processes import Server, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import DUE_A_SECOND, LEAD_S, measure

TICKETS = 100_000
SECONDS = 75
"""For which thresholds fall due."""


def run(options: Options) -> Result:
    """Seconds until all tickets are under the edited calendar; lateness at a watcher meanwhile."""
    figures: dict[str, list[float]] = {}
    number = min(TICKETS, options.large)
    with _tickets(number, options) as server:
        for repeat in range(options.repeats):
            with ThreadPoolExecutor(1) as beside:
                memory = resident_bytes(server.pid)
                retargeting = beside.submit(_retarget, server, number, f"{8 + repeat % 2:02}:00")
                late = measure(server, str(repeat), seconds=SECONDS, commands_a_second=0)
                begun, seconds, first = retargeting.result()
            meanwhile = [ms for at, ms in late if begun <= at <= begun + seconds]
            for name, value in (
                ("s", seconds),
                ("first reply s", first),
                ("p50 ms", median(meanwhile)),
                ("p99 ms", quantiles(meanwhile, n=100)[98]),
                ("memory, MiB more", (resident_bytes(server.pid) - memory) / 2**20),
            ):
                figures.setdefault(name, []).append(value)
    return Result("retarget", figures, [f"{number:,} tickets of one schedule, {DUE_A_SECOND} due a second."])


@contextmanager
def _tickets(number: int, options: Options) -> Iterator[Server]:
    """A daemon with tickets of one schedule."""
    place = options.disk / f"slad-benchmark-retarget-{time.time_ns()}"
    try:
        with slad(place) as server:
            take(server, _messages(number), number)
            yield server
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _messages(number: int) -> Iterator[rpc.ImportSlaTrackingsRequest]:
    target = pb.SlaPolicyTarget(response_time_minutes=60_000, resolution_time_minutes=120_000)
    for begin in range(0, number, ROWS_A_MESSAGE):
        message = rpc.ImportSlaTrackingsRequest()
        for place in range(begin, min(begin + ROWS_A_MESSAGE, number)):
            message.trackings.add().start.CopyFrom(
                rpc.StartSlaTrackingRequest(
                    tenant_id="desk", ticket_id=f"R-{place}", targets=[target], schedule=_schedule("07:00")
                )
            )
        yield message


def _schedule(opens: str) -> pb.BusinessHoursSchedule:
    schedule = pb.BusinessHoursSchedule(schedule_id="desk", timezone="Europe/Berlin")
    for day in range(1, 6):
        schedule.entries.add(day_of_week=day, start_time=opens, end_time="18:00", is_enabled=True)
    return schedule


def _retarget(server: Server, number: int, opens: str) -> tuple[float, float, float]:
    """(when it began, epoch seconds; how long it took; until the first reply), once thresholds fall due."""
    time.sleep(LEAD_S + 1)
    request = rpc.RetargetSlaTrackingsRequest(
        tenant_id="desk", which=rpc.SlaTrackingSelection(schedule_id="desk"), schedule=_schedule(opens)
    )
    begun, first, told, done = time.time(), 0.0, 0, 0
    with grpc.insecure_channel(server.target) as channel:
        for reply in sla_backend_pb2_grpc.SlaBackendStub(channel).RetargetSlaTrackings(request):
            first = first or time.time() - begun
            told, done = told + len(reply.differences), reply.done
    if (done, told) != (number, 2 * number):
        raise RuntimeError(f"{number} tickets, {done} done, {told} differences")
    return begun, time.time() - begun, first


ROW = Row(
    "retarget",
    "100,000 tickets of an edited calendar retargeted, 20 thresholds due a second meanwhile",
    "",
    (Target("s", 60, at_least=False, unit="s"), Target("p99 ms", 10, at_least=False, unit="ms")),
    run,
    330,
)
