"""How late a threshold is at the watcher while twenty consoles are open."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Final

from benchmarks.clients import told
from benchmarks.consoles import opened
from benchmarks.pending import copied
from benchmarks.processes import free_target, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import COMMANDS_A_SECOND, DUE_A_SECOND, measure

NOW, TICKETS = 14, 6
"""Consoles that show the first page, and a ticket."""

SECONDS: Final = 40
LEAD_S: Final = 15.0


def run(options: Options) -> Result:
    """In turn with consoles open, and without, beside the same commands."""
    figures: dict[str, list[float]] = {}
    target = free_target()
    with copied(options.large, options.disk) as data, slad(data, "--console-listen", target) as server:
        for repeat in range(options.repeats):
            alone = [ms for _, ms in measure(server, f"closed-{repeat}", seconds=SECONDS, lead_s=LEAD_S)]
            consoles = opened(f"http://{target}", NOW, TICKETS, LEAD_S + SECONDS + 3)
            late = [ms for _, ms in measure(server, f"open-{repeat}", seconds=SECONDS, lead_s=LEAD_S)]
            parts = told(consoles, 60)["parts"]
            p99, p99_alone = quantiles(late, n=100)[98], quantiles(alone, n=100)[98]
            for name, value in (
                ("p50 ms", median(late)),
                ("p99 ms", p99),
                ("max ms", max(late)),
                ("p50 ms, no console", median(alone)),
                ("p99 ms, no console", p99_alone),
                ("max ms, no console", max(alone)),
                ("ratio, p99", p99 / p99_alone),
                ("parts sent a second", parts / (LEAD_S + SECONDS)),
            ):
                figures.setdefault(name, []).append(value)
    notes = [
        f"{NOW} consoles show the first page, {TICKETS} a ticket; {DUE_A_SECOND} due and {COMMANDS_A_SECOND} "
        f"commands a second for {SECONDS} s."
    ]
    return Result("console", figures, notes)


ROW = Row(
    "console",
    "lateness of a threshold at the watcher with 20 open consoles, 1,000,000 pending",
    "the same with none",
    (Target("ratio, p99", 1.3, at_least=False),),
    run,
    400,
)
