"""What a command costs with a thousand tickets, and with a million."""

from __future__ import annotations

from benchmarks.pending import serving
from benchmarks.processes import load
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row


def run(options: Options) -> Result:
    """Server CPU of a StartSlaTracking, in turn with few and with many; the curve between them besides."""
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= options.large]
    figures: dict[str, list[float]] = {"ratio": []}
    for _ in range(options.repeats):
        costs = []
        for size in sizes:
            with serving(size, options.disk) as server:
                done = load(server, in_flight=32, warm_up=1.0, seconds=options.seconds, with_request_id=True)
            costs.append(done.server_cpu_us)
            figures.setdefault(f"us, {size:,}", []).append(done.server_cpu_us)
        figures["ratio"].append(costs[-1] / costs[0])
    result = Result("growth", figures)
    result.series["server CPU of a StartSlaTracking, µs"] = [
        [size, result.median(f"us, {size:,}")] for size in sizes
    ]
    return result


ROW = Row(
    "growth",
    "cost of a command with 1,000,000 tickets",
    "the same with 1,000",
    (Target("ratio", 1.3, at_least=False),),
    run,
    120,
)
