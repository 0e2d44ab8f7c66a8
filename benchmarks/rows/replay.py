"""One watcher that replays the whole outbox."""

from __future__ import annotations

from benchmarks.clients import started, told
from benchmarks.pending import serving
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row


def run(options: Options) -> Result:
    """Every pending ticket has left one event; a client process receives and parses them all."""
    figures: dict[str, list[float]] = {"events/s": []}
    with serving(options.large, options.disk) as server:
        for _ in range(options.repeats):
            reply = told(started("replay", server.target, "--events", str(options.large)), 600)
            figures["events/s"].append(reply["events"] / reply["seconds"])
    return Result("replay", figures)


ROW = Row(
    "replay",
    "event stream to one watcher replaying 1,000,000 events",
    "–",
    (Target("events/s", 100_000, at_least=True, unit="/s"),),
    run,
    40,
)
