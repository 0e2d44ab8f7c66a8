"""One command at a time: what its caller waits, against an echo's caller and the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.processes import echo, load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.start_request import StartRequests
from benchmarks.start_vs_echo import sync_ms


def run(options: Options) -> Result:
    """In turn: the disk, a round with the echo, a round with slad; one call in flight."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server:
            reply = server.call(StartRequests().next())
            with echo(len(reply)) as peer:
                for _ in range(options.repeats):
                    sync = sync_ms(Path(scratch))
                    echoed, one = (
                        load(server_, in_flight=1, warm_up=0.5, seconds=options.seconds, with_request_id=True)
                        for server_ in (peer, server)
                    )
                    for name, value in (
                        ("ratio, p50", one.p50_ms / (echoed.p50_ms + sync)),
                        ("slad p50 ms", one.p50_ms),
                        ("slad p99 ms", one.p99_ms),
                        ("echo p50 ms", echoed.p50_ms),
                        ("fdatasync ms", sync),
                    ):
                        figures.setdefault(name, []).append(value)
    return Result("single", figures, ["A closed loop with one call; fdatasync of 4 KiB, just before."])


ROW = Row(
    "single",
    "durable StartSlaTracking, one in flight: p50",
    "p50 of the echo and one fdatasync of 4 KiB",
    (Target("ratio, p50", 2.0, at_least=False),),
    run,
    30,
)
