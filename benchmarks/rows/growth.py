"""What should not depend on the number of tickets, with a thousand of them and with a million."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.clients import started, told
from benchmarks.curves import Curves, sizes_up_to
from benchmarks.import_million import MIB, import_into, resident_bytes
from benchmarks.pending import copied
from benchmarks.processes import Server, load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.imports import sizes
from benchmarks.rows.lateness import COMMANDS_A_SECOND, DUE_A_SECOND, measure
from benchmarks.rows.restart import settled_bytes
from slad.storage.database import DATABASE_NAME

START: Final = "server CPU of a StartSlaTracking, µs"
STATUS: Final = "server CPU of a GetSlaStatus, µs"
IMPORT: Final = "import, trackings/s"
READY: Final = "READY after SIGKILL, s"
MEMORY: Final = "resident memory above an empty daemon, MB"
LATENESS: Final = "lateness at the watcher, ms"
DISK: Final = "disk, bytes"

IMPORTED: Final = 10_000
"""Beside those that are there; fewer where fewer are asked for."""
SECONDS: Final = 10
"""Of lateness."""
LEAD_S: Final = 5.0
"""Before the first threshold falls due."""


def run(options: Options) -> Result:
    """All sizes in turn, with each repeat; lateness and disk once."""
    curves, imported = Curves(), min(IMPORTED, options.large)
    for repeat in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=options.disk) as empty:
            base = settled_bytes(Path(empty))
        for size in sizes_up_to(options.large):
            with copied(size, options.disk) as data:
                if repeat == 0:
                    for name, value in sizes(data / DATABASE_NAME, size).items():
                        curves.add(DISK, size, value, name)
                with slad(data, kill=True) as server:
                    time.sleep(1)
                    curves.add(MEMORY, size, (resident_bytes(server.pid) - base) / MIB)
                    _measure(server, size, imported, options, curves)
                begun = time.perf_counter()
                with slad(data) as server:
                    curves.add(READY, size, time.perf_counter() - begun)
                    if repeat == 0:
                        late = [ms for _, ms in measure(server, "growth", seconds=SECONDS, lead_s=LEAD_S)]
                        curves.add(LATENESS, size, median(late), "p50")
                        percentiles = quantiles(late, n=100, method="inclusive")
                        curves.add(LATENESS, size, percentiles[98], "p99")
    figures = {"ratio": curves.ratios(START)}
    for name, chart in (("GetSlaStatus", STATUS), ("import", IMPORT), ("READY", READY)):
        figures[f"ratio, {name}"] = curves.ratios(chart)
    notes = [
        "Ratios: with the most tickets against with the fewest. The table has medians, the charts their "
        f"range. {imported:,} imports, and then the rounds of StartSlaTracking, add tickets themselves, so "
        f"the first point of these two is really one of up to some twenty thousand. Lateness: {DUE_A_SECOND} "
        f"due and {COMMANDS_A_SECOND} commands a second for {SECONDS} s, once a size; its p99 is of the two "
        "or three latest.",
    ]
    return Result("growth", figures, notes, curves=curves.points())


def _measure(server: Server, size: int, imported: int, options: Options, curves: Curves) -> None:
    """What leaves the number of tickets as it is comes first."""
    arguments = ("--tickets", str(size), "--server-pid", str(server.pid), "--in-flight", "32")
    seconds = options.seconds / 2
    asked = told(
        started("status", server.target, *arguments, "--seconds", str(seconds)), options.seconds + 60
    )
    curves.add(STATUS, size, asked["server_cpu_us"])
    curves.add(IMPORT, size, imported / import_into(server, imported)[0])
    done = load(server, in_flight=32, warm_up=1.0, seconds=options.seconds, with_request_id=True)
    curves.add(START, size, done.server_cpu_us)


ROW = Row(
    "growth",
    "cost of a command with 1,000,000 tickets",
    "the same with 1,000",
    (Target("ratio", 1.3, at_least=False),),
    run,
    240,
)
