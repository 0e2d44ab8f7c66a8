"""`python -m tests.trials.faults`: the sweep that CI runs; `--full`: every call, every way, every place.

`--one "write wal" 17 NO_SPACE [--lasting]` repeats a single case.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from tests.trials.faults.faulty_vfs import Failure, Fault
from tests.trials.faults.sweep import (
    Tally,
    choose_faults,
    choose_places,
    every_fault,
    make_reference,
    reference,
    try_fault,
    try_power_cuts,
)

FULL_WAYS, SHORT_WAYS = 8, 2
CHUNK = 20


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    begun = time.monotonic()
    told = make_reference()
    if options.one:
        kind, number, failure = options.one
        print(try_fault(told, Fault(kind, int(number), Failure[failure], options.lasting)))
        return 0
    faults = list(every_fault(told.calls)) if options.full else choose_faults(told.calls, options.seed)
    places = list(range(len(told.log))) if options.full else choose_places(told, options.seed)
    calls = sum(told.calls.values())
    print(f"{len(told.states) - 1} commits, {calls} calls, {len(faults)} faults", flush=True)
    tally, failures = Tally(), 0
    ways = FULL_WAYS if options.full else SHORT_WAYS
    with ProcessPoolExecutor(options.processes, initializer=_quiet) as pool:
        tasks = [
            *pool.map(partial(_power_cuts, options.seed, ways), _chunks(places)),
            *pool.map(_faults, _chunks(faults)),
        ]
    for found, wrong in tasks:
        tally.add(found)
        failures += len(wrong)
        print("".join(wrong), end="", flush=True)
    _report(told.calls, tally)
    print(f"{failures} failed, {time.monotonic() - begun:.0f} s, seed {options.seed}")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.faults", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every call in every way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--one", nargs=3, metavar=("KIND", "NUMBER", "FAILURE"))
    parser.add_argument("--lasting", action="store_true")
    return parser.parse_args()


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[begin : begin + CHUNK] for begin in range(0, len(items), CHUNK)]


def _faults(faults: Sequence[Fault]) -> tuple[Tally, list[str]]:
    tally, wrong = Tally(), []
    for fault in faults:
        try:
            tally.add(try_fault(reference(), fault))
        except Exception:
            wrong.append(f"{fault}\n{traceback.format_exc()}\n")
    return tally, wrong


def _power_cuts(seed: int, ways: int, places: Sequence[int]) -> tuple[Tally, list[str]]:
    try:
        return try_power_cuts(reference(), places, seed, ways), []
    except Exception:
        return Tally(), [traceback.format_exc()]


def _report(calls: dict[str, int], tally: Tally) -> None:
    print("\n| call | made | cases |\n|---|---|---|")
    for kind, made in sorted(calls.items()):
        cases = sum(number for name, number in tally.cases.items() if name.startswith(f"{kind}:"))
        print(f"| {kind} | {made} | {cases} |")
    by_failure: Counter[str] = Counter()
    for name, number in tally.cases.items():
        by_failure[name.partition(": ")[2] or name] += number
    for title, counts in (("failure", by_failure), ("left", tally.left), ("refusals", tally.refusals)):
        print(f"\n| {title} | |\n|---|---|")
        for name, number in sorted(counts.items()):
            print(f"| {name} | {number} |")
    print(f"\n{tally.failed_starts} starts failed and were tried again")


if __name__ == "__main__":
    sys.exit(main())
