"""A month's report over 100,000 closed cycles and some open ones, with thresholds that fall due meanwhile."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from statistics import median, quantiles

import grpc
from slad_client.v1 import attainment_pb2 as attainment
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.processes import Server, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import DUE_A_SECOND, LEAD_S, measure

CYCLES = 100_000
OPEN = 2_000
"""Open tickets, beside the closed ones."""

IN_MESSAGE = 64
SECONDS = 60
"""For which thresholds fall due."""

DAY_S = 86_400
GROUPS = (
    attainment.SLA_GROUP_KEY_CLOCK,
    attainment.SLA_GROUP_KEY_POLICY,
    attainment.SLA_GROUP_KEY_PRIORITY,
    attainment.SLA_GROUP_KEY_DAY,
)


def run(options: Options) -> Result:
    """Seconds of a report by clock, policy, priority and day; lateness at a watcher meanwhile."""
    figures: dict[str, list[float]] = {}
    cycles = min(CYCLES, options.large)
    with _desk(cycles, options) as server:
        for repeat in range(options.repeats):
            with ThreadPoolExecutor(1) as beside:
                reporting = beside.submit(_report, server, cycles)
                late = measure(server, str(repeat), seconds=SECONDS, commands_a_second=0)
                begun, ended, took = reporting.result()
            meanwhile = [ms for at, ms in late if begun <= at <= ended]
            for name, value in (
                ("s", median(took)),
                ("slowest s", max(took)),
                ("p50 ms", median(meanwhile)),
                ("p99 ms", quantiles(meanwhile, n=100)[98]),
            ):
                figures.setdefault(name, []).append(value)
    note = f"{cycles:,} closed cycles, {OPEN:,} open tickets, {DUE_A_SECOND} thresholds due a second."
    return Result("attainment", figures, [note])


@contextmanager
def _desk(cycles: int, options: Options) -> Iterator[Server]:
    """A daemon with a month of tickets, each of two cycles."""
    place = options.disk / f"slad-benchmark-attainment-{time.time_ns()}"
    try:
        with slad(place) as server, grpc.insecure_channel(server.target) as channel:
            for reply in sla_backend_pb2_grpc.SlaBackendStub(channel).ExecuteSla(_messages(cycles // 2)):
                for result in reply.results:
                    if result.HasField("error"):
                        raise RuntimeError(result.error.message)
            yield server
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _messages(tickets: int) -> Iterator[rpc.ExecuteSlaRequest]:
    commands = _commands(tickets)
    while some := list(islice(commands, IN_MESSAGE)):
        yield rpc.ExecuteSlaRequest(commands=some, omit_status=True)


def _commands(tickets: int) -> Iterator[rpc.SlaCommand]:
    dice, now = random.Random(1), int(time.time())
    target = pb.SlaPolicyTarget(response_time_minutes=240, resolution_time_minutes=2_880, is_24x7=True)
    for place in range(tickets + OPEN):
        start = rpc.StartSlaTrackingRequest(
            tenant_id="desk",
            ticket_id=f"A-{place}",
            policy_id=dice.choice(("gold", "silver", "bronze")),
            priority_id=dice.choice(("low", "normal", "high", "urgent")),
            targets=[target],
            suppress_past=True,
        )
        target.priority_id = start.priority_id
        start.targets[0].priority_id = start.priority_id
        begun = now - dice.randrange(3 * DAY_S, 28 * DAY_S)
        start.started_at.FromSeconds(begun)
        yield rpc.SlaCommand(start=start)
        if place < tickets:
            for phase, span_s in ((pb.SLA_PHASE_RESPONSE, 6 * 3_600), (pb.SLA_PHASE_RESOLUTION, 3 * DAY_S)):
                done = rpc.CompleteSlaRequest(tenant_id="desk", ticket_id=f"A-{place}", phase=phase)
                done.effective_at.FromSeconds(begun + dice.randrange(60, span_s))
                yield rpc.SlaCommand(complete=done)


def _report(server: Server, cycles: int) -> tuple[float, float, list[float]]:
    """(begin, end, seconds of each report): one after the other while thresholds fall due."""
    time.sleep(LEAD_S + 1)
    begun = time.time()
    request = attainment.ReportSlaRequest(tenant_id="desk", timezone="Europe/Berlin", group_by=GROUPS)
    request.from_time.FromSeconds(int(begun) - 40 * DAY_S)
    request.to_time.FromSeconds(int(begun) + 40 * DAY_S)
    took = []
    with grpc.insecure_channel(server.target) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        while time.time() < begun + SECONDS - 5:
            asked = time.perf_counter()
            total = stub.ReportSla(request).total
            took.append(time.perf_counter() - asked)
            if (total.met + total.missed, total.open_overdue > 0) != (cycles, True):
                raise RuntimeError(f"{total.met} met, {total.missed} missed, not {cycles} cycles")
    return begun, time.time(), took


ROW = Row(
    "attainment",
    "a report over 100,000 cycles by clock, policy, priority and day, 20 thresholds due a second meanwhile",
    "",
    (Target("s", 1, at_least=False, unit="s"), Target("p99 ms", 10, at_least=False, unit="ms")),
    run,
    330,
)
