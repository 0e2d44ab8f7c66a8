"""`python -m tests.trials.model`: searches every world to the depth of `--facts`, and counts; exit code 1 when a rule broke."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.trials.model.explore import Counts, explore
from tests.trials.model.worlds import WORLDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.model", description=__doc__)
    parser.add_argument(
        "worlds", nargs="*", metavar="WORLD", help=f"one of {', '.join(WORLDS)}; by default all"
    )
    parser.add_argument("--facts", type=int, default=6, help="how many facts at most (6)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    names = options.worlds or list(WORLDS)
    begun = time.monotonic()
    total, failed = Counts(0, 0, 0), 0
    print(f"{'world':10} {'facts':>5} {'states':>12} {'steps':>12} {'sequences':>18}")
    with ProcessPoolExecutor(options.processes) as pool:
        searches = {name: pool.submit(explore, WORLDS[name], options.facts) for name in names}
        for name, search in searches.items():
            try:
                counts = search.result()
            except AssertionError as error:
                failed += 1
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                continue
            total = Counts(*map(sum, zip(total, counts, strict=True)))
            print(_row(name, options.facts, counts), flush=True)
    print(f"{_row('all', options.facts, total)}  in {time.monotonic() - begun:.0f} s, {failed} failed")
    return 1 if failed else 0


def _row(name: str, facts: int, counts: Counts) -> str:
    return f"{name:10} {facts:5} {counts.states:12,} {counts.steps:12,} {counts.sequences:18,}"


if __name__ == "__main__":
    sys.exit(main())
