"""`python -m tests.trials.simulation`: a full run over many seeds, with its counts; exit code 1 when a rule was broken.

`--seed N` repeats one seed; when it fails, what happens in it is shrunk and printed as a call that fails too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.trials.simulation.shrink import Case, same_fault, shrink
from tests.trials.simulation.world import Counts, drawn, failure, run

CHUNK = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    if options.seed is not None:
        return repeat(options.seed)
    begun, done = time.monotonic(), 0
    counts, failed = Counts(), {}
    seeds = range(options.first, options.first + options.seeds)
    chunks = [seeds[begin : begin + CHUNK] for begin in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(options.processes) as pool:
        for chunk, (counted, wrong) in zip(chunks, pool.map(live_through, chunks), strict=True):
            counts.update(counted)
            failed |= wrong
            done += len(chunk)
            for seed, message in wrong.items():
                print(f"seed {seed}: {message}", file=sys.stderr, flush=True)
            if done % 500 < CHUNK:
                line = f"{done:,} seeds, {time.monotonic() - begun:.0f} s, {len(failed)} failed"
                print(line, file=sys.stderr, flush=True)
    print(table(len(seeds), counts, len(failed), time.monotonic() - begun))
    for seed in failed:
        print(f"repeat with: python -m tests.trials.simulation --seed {seed}")
    return 1 if failed else 0


def live_through(seeds: Sequence[int]) -> tuple[Counts, dict[int, str]]:
    """(what has happened, the seeds that failed and how)."""
    counts, failed = Counts(), {}
    for seed in seeds:
        error = failure(*drawn(seed), counts)
        if error is not None:
            failed[seed] = f"{type(error).__name__}: {error}"[:500]
    return counts, failed


def repeat(seed: int) -> int:
    """One seed; if it fails, the smallest case that fails in the same way."""
    knobs, actions = drawn(seed)
    error = failure(knobs, actions)
    if error is None:
        print(f"seed {seed} holds")
        return 0
    print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)

    def fails(case: Case) -> bool:
        found = failure(*case)
        return found is not None and same_fault(found, error)

    case = shrink(Case(knobs, tuple(actions)), fails)
    print(case, flush=True)
    run(*case)
    return 1


def table(seeds: int, counts: Counts, failed: int, seconds: float) -> str:
    """The counts, as a Markdown table."""
    rows: list[tuple[str, int]] = [("seeds", seeds), *sorted(Counter(counts).items()), ("**failed**", failed)]
    lines = ["| | |", "|---|---:|", *(f"| {name} | {number:,} |" for name, number in rows)]
    return "\n".join([*lines, f"| minutes | {seconds / 60:.1f} |"])


if __name__ == "__main__":
    sys.exit(main())
