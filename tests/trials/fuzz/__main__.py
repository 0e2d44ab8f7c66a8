"""`python -m tests.trials.fuzz`: a full run, its counts as a table, and exit code 1 if anything was found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.service.limits import EARLIEST_START_MS
from tests.slad_under_test import MONDAY_9
from tests.trials.fuzz.fuzzer import SMALL, Report, check_memory, fuzz

WORLDS: Final = (
    (0.96, MONDAY_9),
    (0.02, EARLIEST_START_MS),
    (0.02, MAX_INSTANT_MS + 1 - DAY_MS),
)
"""(share of the calls, where virtual time begins): an ordinary day, the first day of all, the last."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = Report(arguments.seed, on_finding=_progress)
    for share, now in WORLDS:
        is_long = now == MONDAY_9
        fuzz(report, int(arguments.requests * share), now, _progress, SMALL if is_long else ())
        if is_long:
            check_memory(report)
            quarters = report.memory_by_quarter()
    print(table(report, quarters))
    for what, example in report.findings.items():
        print(f"{report.found[what]:,} × {what}\n    {example}")
    return 1 if report.findings else 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(report: Report, memory_kib: Sequence[float]) -> str:
    """The counts, by RPC and code."""
    codes = sorted({code for counter in report.counts.values() for code in counter}, key=_order)
    lines = [
        f"| RPC | {' | '.join(codes)} | slowest |",
        f"|---|{'---:|' * (len(codes) + 1)}",
    ]
    for name, counter in sorted(report.counts.items()):
        cells = " | ".join(f"{counter[code]:,}" if counter[code] else "" for code in codes)
        lines.append(f"| {name} | {cells} | {report.slowest[name] * 1000:,.0f} ms |")
    quarters = " → ".join(f"{kib / 1024:.0f}" for kib in memory_kib)
    manners = ", ".join(f"{name} {count:,}" for name, count in report.manners.most_common())
    lines += [
        "",
        f"seed {report.seed}: {report.calls:,} calls in {report.seconds:.0f} s ({manners}); "
        f"{len(report.findings)} findings",
        f"nothing changed after {report.refused_alone:,} single refused calls (the newest event) and "
        f"{report.looks:,} batches of them (every status, consumer and the time)",
        f"largest reply {report.largest_reply:,} bytes; memory by quarter of the run {quarters} MiB",
    ]
    return "\n".join(lines)


def _order(code: str) -> tuple[bool, str]:
    return code != "OK", code


if __name__ == "__main__":
    sys.exit(main())
