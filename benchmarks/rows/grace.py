"""How late events are over Temporal when no worker reports to slad: AlgaPSA's worker, and none at all."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.temporal import dev_server

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKETS: Final = 200
GRACE_S: Final = 5
BOUND_S: Final = GRACE_S + 5

PROMISED: Final = pb.SlaPolicyTarget(
    response_time_minutes=1,
    escalation_1_percent=70,
    escalation_2_percent=90,
    escalation_3_percent=110,
    is_24x7=True,
)
THRESHOLDS: Final = 5
"""Of each ticket: 50, 70, 90, 100 and 110 %."""


def run(options: Options) -> Result:
    """Both at the same time, for the 66 s that the thresholds of a minute take."""
    figures: dict[str, list[float]] = {"AlgaPSA's worker": [], "no worker": []}
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        for repeat in range(options.repeats):
            folder = Path(scratch) / str(repeat)
            folder.mkdir()
            with (
                dev_server(folder) as address,
                _daemon(folder / "alga", address, "alga") as served,
                _daemon(folder / "none", address, "none") as unserved,
            ):
                late = asyncio.run(_late(address, served, unserved))
            for name, seconds in zip(figures, late, strict=True):
                figures[name].append(seconds)
    note = (
        f"The latest of {TICKETS * THRESHOLDS} events, {TICKETS} tickets at once, temporal.grace {GRACE_S} s."
    )
    return Result("grace", figures, [note])


@contextmanager
def _daemon(data: Path, temporal: str, queue: str) -> Iterator[str]:
    options = ("--engine", "temporal", "--temporal-address", temporal, "--temporal-task-queue", queue)
    with slad(data, *options, "--temporal-grace", f"{GRACE_S}s") as server:
        yield server.target


async def _late(temporal: str, served: str, unserved: str) -> tuple[float, float]:
    from temporalio.client import Client

    from tests.temporal.alga import AlgaActivities
    from tests.temporal.alga_worker import alga_worker

    async with AsyncExitStack() as stack:
        client = await Client.connect(temporal)
        await stack.enter_async_context(alga_worker(client, "alga", AlgaActivities()))
        late = await asyncio.gather(_latest(served), _latest(unserved))
    return late[0], late[1]


async def _latest(target: str) -> float:
    """How many seconds after its instant the latest of all thresholds was recorded."""
    late: list[float] = []
    async with grpc.aio.insecure_channel(target) as channel:
        backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        for number in range(TICKETS):
            request = rpc.StartSlaTrackingRequest(
                tenant_id="acme", ticket_id=f"T-{number}", targets=[PROMISED], notification_thresholds=[50]
            )
            await backend.StartSlaTracking(request)
        call = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0), timeout=300)
        async for reply in call:
            for event in reply.events:
                if event.HasField("threshold"):
                    due = event.threshold.scheduled_at.ToMilliseconds()
                    late.append((event.recorded_at.ToMilliseconds() - due) / 1e3)
            if len(late) >= TICKETS * THRESHOLDS:
                break
        call.cancel()
    return max(late)


ROW = Row(
    "grace",
    "lateness over Temporal without reports",
    f"the bound: temporal.grace ({GRACE_S} s) and 5 s",
    (
        Target("AlgaPSA's worker", BOUND_S, at_least=False, unit="s"),
        Target("no worker", BOUND_S, at_least=False, unit="s"),
    ),
    run,
    240,
)
