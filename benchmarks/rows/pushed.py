"""How late thresholds are while streams push as fast as they can."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.clients import started, told
from benchmarks.processes import Server, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import DUE_A_SECOND, measure

STREAMS: Final = 4
IN_MESSAGE: Final = 64
SECONDS: Final = 20
LEAD_S: Final = 8.0
"""Before the first threshold falls due; the streams push from the beginning."""


def run(options: Options) -> Result:
    """Receipt minus scheduled instant at a watcher, with streams beside; then without."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server:
            for repeat in range(options.repeats):
                seconds = LEAD_S + SECONDS
                streams = ("--in-flight", str(STREAMS), "--in-message", str(IN_MESSAGE))
                pushing = started("push", server.target, "--seconds", str(seconds), *streams)
                late = _late(server, f"pushed-{repeat}")
                pushed = told(pushing, seconds + 60)
                alone = _late(server, f"alone-{repeat}")
                for name, value in (
                    ("p50 ms", median(late)),
                    ("p99 ms", quantiles(late, n=100)[98]),
                    ("max ms", max(late)),
                    ("starts/s", pushed["calls"] / pushed["seconds"]),
                    ("p50 ms, nothing beside", median(alone)),
                    ("p99 ms, nothing beside", quantiles(alone, n=100)[98]),
                ):
                    figures.setdefault(name, []).append(value)
    notes = [
        f"{STREAMS} streams of {IN_MESSAGE} starts a message; {DUE_A_SECOND} due a second for {SECONDS} s."
    ]
    return Result("pushed", figures, notes)


def _late(server: Server, run: str) -> list[float]:
    late = measure(server, run, seconds=SECONDS, lead_s=LEAD_S, commands_a_second=0)
    return [ms for _, ms in late]


ROW = Row(
    "pushed",
    "lateness of a threshold at the watcher while 4 streams push as fast as they can",
    "– (the same with nothing beside is told)",
    (Target("p99 ms", 15, at_least=False, unit="ms"),),
    run,
    200,
)
