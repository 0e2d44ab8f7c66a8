"""Ten thousand thresholds due at one instant."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.clients import started, told
from benchmarks.pending import ROWS_A_MESSAGE, take
from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

NUMBER = 10_000
LEAD_S = 12


def run(options: Options) -> Result:
    """When the last is at the watcher, in s after the instant."""
    figures: dict[str, list[float]] = {"last s": [], "first ms": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
            with slad(Path(scratch) / "data") as server:
                watcher = started("lateness", server.target, "--seconds", str(LEAD_S + 10))
                due_ms = int((time.time() + LEAD_S) * 1e3)
                take(server, _messages(due_ms - 1_800_000), NUMBER)
                if time.time() * 1e3 > due_ms:
                    raise RuntimeError("the import took too long for this measurement")
                late = [ms for _, ms in told(watcher, 120)["late"]]
        if len(late) != NUMBER:
            raise RuntimeError(f"{len(late)} thresholds came")
        figures["last s"].append(max(late) / 1e3)
        figures["first ms"].append(min(late))
    return Result("instant", figures)


def _messages(started_ms: int) -> Iterator[rpc.ImportSlaTrackingsRequest]:
    target = pb.SlaPolicyTarget(resolution_time_minutes=60, is_24x7=True)
    for begin in range(0, NUMBER, ROWS_A_MESSAGE):
        message = rpc.ImportSlaTrackingsRequest()
        for place in range(begin, begin + ROWS_A_MESSAGE):
            start = message.trackings.add().start
            start.CopyFrom(
                rpc.StartSlaTrackingRequest(
                    tenant_id="due", ticket_id=f"I-{place}", targets=[target], notification_thresholds=[50]
                )
            )
            start.started_at.FromMilliseconds(started_ms)
        yield message


ROW = Row(
    "instant",
    "10,000 thresholds due at one instant: the last at the watcher",
    "–",
    (Target("last s", 1.0, at_least=False, unit="s"),),
    run,
    90,
)
