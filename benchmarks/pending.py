"""Data directories with many pending tickets, made once by an import and copied for each use.

The tickets are `P-0`, `P-1`, … of the tenant `pending`; they are 24x7, due in months, and all of the same
policy: what is measured beside them must not be disturbed by them falling due.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.processes import Server, slad

TENANT: Final = "pending"
ROWS_A_MESSAGE: Final = 500
RESOLUTION_MINUTES: Final = 200 * 24 * 60


def prepared(number: int, disk: Path) -> Path:
    """The data directory with `number` pending tickets, made if it is not there. Not to be served itself."""
    place = disk / f"slad-benchmark-pending-{number}"
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        with slad(place / "data") as server:
            take(server, messages(number), number)
        (place / "done").touch()
    return place / "data"


@contextmanager
def copied(number: int, disk: Path) -> Iterator[Path]:
    """A copy of it, for one use."""
    place = disk / f"slad-benchmark-copy-{number}-{time.time_ns()}"
    shutil.copytree(prepared(number, disk), place)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def serving(number: int, disk: Path) -> Iterator[Server]:
    """A daemon with so many pending tickets."""
    with copied(number, disk) as data, slad(data) as server:
        yield server


def take(server: Server, batches: Iterator[rpc.ImportSlaTrackingsRequest], expected: int) -> None:
    """Imports. Raises RuntimeError when not all were created."""
    with grpc.insecure_channel(server.target) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        reply = stub.ImportSlaTrackings(batches, timeout=3_600)
    if reply.created != expected:
        raise RuntimeError(f"{expected} rows were sent, {reply.created} created, {reply.rejected[:1]}")


def messages(number: int) -> Iterator[rpc.ImportSlaTrackingsRequest]:
    """The rows of the pending tickets."""
    target = pb.SlaPolicyTarget(
        resolution_time_minutes=RESOLUTION_MINUTES,
        escalation_1_percent=70,
        escalation_2_percent=90,
        escalation_3_percent=110,
        is_24x7=True,
    )
    for begin in range(0, number, ROWS_A_MESSAGE):
        message = rpc.ImportSlaTrackingsRequest()
        for place in range(begin, min(begin + ROWS_A_MESSAGE, number)):
            message.trackings.add().start.CopyFrom(
                rpc.StartSlaTrackingRequest(
                    tenant_id=TENANT, ticket_id=f"P-{place}", policy_id="pending", targets=[target]
                )
            )
        yield message
