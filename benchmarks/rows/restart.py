"""READY after SIGKILL, with a million pending and with ten thousand; resident memory."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.import_million import MIB, resident_bytes
from benchmarks.pending import copied
from benchmarks.processes import load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row


def seconds_to_ready(data: Path) -> float:
    """From the start of the process until health says SERVING, after a SIGKILL under load."""
    with slad(data, kill=True) as server:
        load(server, in_flight=32, warm_up=0, seconds=1, with_request_id=True)
    begun = time.perf_counter()
    with slad(data):
        return time.perf_counter() - begun


def run(options: Options) -> Result:
    """Kill, start, stop; then memory, above that of a daemon without tickets."""
    figures: dict[str, list[float]] = {"ratio": [], "s": [], "MB": []}
    with copied(options.large, options.disk) as large, copied(options.small, options.disk) as small:
        for _ in range(options.repeats):
            few, many = seconds_to_ready(small), seconds_to_ready(large)
            figures["s"].append(many)
            figures["ratio"].append(many / few)
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(dir=options.disk) as empty:
                figures["MB"].append((settled_bytes(large) - settled_bytes(Path(empty))) / MIB)
    return Result("restart", figures)


def settled_bytes(data: Path) -> int:
    """Resident memory of a daemon with that data, a second after its start."""
    with slad(data) as server:
        time.sleep(1)
        return resident_bytes(server.pid)


ROW = Row(
    "restart",
    "READY after SIGKILL with 1,000,000 pending; resident memory above an empty daemon",
    "the same with 10,000 pending",
    (
        Target("ratio", 1.5, at_least=False),
        Target("s", 2.0, at_least=False, unit="s"),
        Target("MB", 50, at_least=False, unit="MB"),
    ),
    run,
    60,
)
