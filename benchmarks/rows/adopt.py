"""Adopting a copy with a million pending: from the command until the copy serves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pending import copied
from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row


def run(options: Options) -> Result:
    """`slad adopt`, then `slad serve` until health says SERVING. The former has given its lease back."""
    figures: dict[str, list[float]] = {"s": [], "adopting, s": []}
    with copied(options.large, options.disk) as data:
        fence = data.with_name(f"{data.name}-fence")
        with slad(data):  # so that it is of this release
            pass
        try:
            for _ in range(options.repeats):
                begun = time.perf_counter()
                adopt(data, fence)
                figures["adopting, s"].append(time.perf_counter() - begun)
                with slad(data, "--fence-at", str(fence)):
                    figures["s"].append(time.perf_counter() - begun)
        finally:
            fence.unlink(missing_ok=True)
            fence.with_name(f"{fence.name}.lock").unlink(missing_ok=True)
    return Result("adopt", figures)


def adopt(data: Path, fence: Path) -> None:
    """Raises CalledProcessError."""
    command = [sys.executable, "-m", "slad", "adopt", "--data", str(data), "--fence-at", str(fence)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


ROW = Row(
    "adopt",
    "a copy with 1,000,000 pending that is adopted, until it serves",
    "none",
    (Target("s", 2.0, at_least=False, unit="s"),),
    run,
    30,
)
