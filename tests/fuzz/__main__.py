"""`python -m tests.fuzz`: a full run, its counts as a table, and exit code 1 if anything was found."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.fuzzer import Report, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = fuzz(arguments.requests, arguments.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(table(report))
    for what, example in report.findings.items():
        print(f"{report.found[what]:,} × {what}\n    {example}")
    return 1 if report.findings else 0


def table(report: Report) -> str:
    """The counts, by RPC and code."""
    codes = sorted({code for counter in report.counts.values() for code in counter}, key=_order)
    lines = [
        f"| RPC | {' | '.join(codes)} | slowest |",
        f"|---|{'---:|' * (len(codes) + 1)}",
    ]
    for name, counter in sorted(report.counts.items()):
        cells = " | ".join(f"{counter[code]:,}" if counter[code] else "" for code in codes)
        lines.append(f"| {name} | {cells} | {report.slowest[name] * 1000:,.0f} ms |")
    quarters = " → ".join(f"{kib / 1024:.0f}" for kib in report.memory_by_quarter())
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
