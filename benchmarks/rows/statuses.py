"""A page of statuses by BatchGetSlaStatus against as many GetSlaStatus."""

from __future__ import annotations

from statistics import median
from typing import Final

from benchmarks.clients import started, told
from benchmarks.pending import serving
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

PAGE: Final = 50


def run(options: Options) -> Result:
    """In turn, page by page: one call, as many calls together, as many one after the other."""
    figures: dict[str, list[float]] = {}
    with serving(options.large, options.disk) as server:
        for _ in range(options.repeats):
            arguments = ("--seconds", str(options.seconds), "--in-message", str(PAGE))
            took = told(
                started("statuses", server.target, *arguments, "--tickets", str(options.large)),
                options.seconds + 60,
            )
            batch, together, in_turn = (median(took[kind]) for kind in ("batch", "together", "in turn"))
            for name, value in (
                ("ratio", batch / together),
                ("ratio, one after the other", batch / in_turn),
                ("batch ms", batch),
                ("together ms", together),
                ("one after the other ms", in_turn),
            ):
                figures.setdefault(name, []).append(value)
    notes = [f"Pages of {PAGE} tickets drawn at random; times of the caller, medians of a round."]
    return Result("statuses", figures, notes)


ROW = Row(
    "statuses",
    "BatchGetSlaStatus of 50 tickets, 1,000,000 there",
    "50 GetSlaStatus that are sent together",
    (Target("ratio", 0.15, at_least=False),),
    run,
    30,
)
