"""`python -m tests.trials.crash`: a crash trial; the table of counts, and exit code 1 when a fault was found."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.trials.crash.report import table
from tests.trials.crash.trial import Result, Trial


class _Told:
    """What has been told of a trial under way."""

    faults = 0


_told = _Told()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.trials.crash", description="Kill slad, and see what is lost."
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7, help="draws the commands, and when to kill")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="no more kills after that long")
    parser.add_argument(
        "--exam-every", type=int, default=50, metavar="KILLS", help="how often to examine all"
    )
    parser.add_argument("--directory", type=Path, help="for the data; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slad-crash-", dir=options.directory) as directory:
        trial = Trial(
            Path(directory),
            kills=options.kills,
            seed=options.seed,
            clients=options.clients,
            exam_every=options.exam_every,
            minutes=options.minutes,
        )
        result = asyncio.run(trial.run(_progress))
    print(table(result))
    _progress(result)
    return 1 if result.faults else 0


def _progress(result: Result) -> None:
    kills = result.kills.total()
    for fault in result.faults[_told.faults :]:
        print(fault, file=sys.stderr, flush=True)
    _told.faults = len(result.faults)
    if kills % 20 == 0:
        line = f"{kills} kills, {result.wall_s:.0f} s, {len(result.faults)} faults"
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
