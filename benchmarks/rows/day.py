"""A day of 100,000 tickets under the virtual clock."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2, test_clock_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.pending import ROWS_A_MESSAGE, take
from benchmarks.processes import slad
from benchmarks.results import Result
from benchmarks.row import Options, Row

DAY_BEGINS = 1_772_438_400
"""2026-03-02T08:00:00Z, a Monday, in epoch seconds."""


def run(options: Options) -> Result:
    """All start within the eight hours before; then a day passes. Events a second of real time."""
    number = options.large // 10
    figures: dict[str, list[float]] = {"events/s": [], "s": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
            with slad(Path(scratch) / "data", "--virtual-clock", str_instant(DAY_BEGINS)) as server:
                take(server, _messages(number), number)
                with grpc.insecure_channel(server.target) as channel:
                    clock = test_clock_pb2_grpc.TestClockStub(channel)
                    begun = time.perf_counter()
                    request = test_clock_pb2.AdvanceTimeRequest()
                    request.by.FromSeconds(24 * 3_600)
                    events = clock.AdvanceTime(request, timeout=3_600).events_committed
                    seconds = time.perf_counter() - begun
        figures["events/s"].append(events / seconds)
        figures["s"].append(seconds)
    notes = [f"{number:,} tickets, response within 4 h and resolution within 8 h, 24x7; {events:,} events."]
    return Result("day", figures, notes)


def str_instant(seconds: int) -> str:
    """RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _messages(number: int) -> Iterator[rpc.ImportSlaTrackingsRequest]:
    target = pb.SlaPolicyTarget(
        response_time_minutes=240,
        resolution_time_minutes=480,
        escalation_1_percent=70,
        escalation_2_percent=90,
        escalation_3_percent=110,
        is_24x7=True,
    )
    for begin in range(0, number, ROWS_A_MESSAGE):
        message = rpc.ImportSlaTrackingsRequest()
        for place in range(begin, min(begin + ROWS_A_MESSAGE, number)):
            start = message.trackings.add().start
            start.CopyFrom(
                rpc.StartSlaTrackingRequest(tenant_id="day", ticket_id=f"D-{place}", targets=[target])
            )
            # Spread over the hour before, so that no two fall due together by design.
            start.started_at.FromMilliseconds((DAY_BEGINS - 3_600) * 1_000 + place * 3_599_000 // number)
        yield message


ROW = Row("day", "a day's worth of 100,000 tickets under the virtual clock", "– (reported)", (), run, 180)
