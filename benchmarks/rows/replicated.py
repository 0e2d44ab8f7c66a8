"""Lateness of thresholds beside Litestream, against the same without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.pending import copied
from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import measure

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIGURATION: Final = ROOT / "ops" / "litestream" / "litestream.yml"
SNAPSHOT_S: Final = 120.0
"""How long the first copy of the whole database may take."""


def run(options: Options) -> Result:
    """Percentiles of receipt minus scheduled instant, in turns with and without Litestream."""
    figures: dict[str, list[float]] = {}
    for number in range(options.repeats):
        with copied(options.large, options.disk) as data, slad(data) as server:
            alone = [ms for _, ms in measure(server, f"alone-{number}")]
        with (
            copied(options.large, options.disk) as data,
            slad(data, "--storage-checkpoints", "external") as server,
            replicating(data),
        ):
            beside = [ms for _, ms in measure(server, f"beside-{number}")]
        alone_p99, beside_p99 = (quantiles(late, n=100)[98] for late in (alone, beside))
        for name, value in (
            ("ratio, p99", beside_p99 / alone_p99),
            ("p50 ms", median(beside)),
            ("p99 ms", beside_p99),
            ("alone, p50 ms", median(alone)),
            ("alone, p99 ms", alone_p99),
        ):
            figures.setdefault(name, []).append(value)
    return Result("replicated", figures)


@contextmanager
def replicating(data: Path) -> Iterator[None]:
    """Litestream as it is shipped, to a directory, once it has copied the whole database.

    Raises RuntimeError when it is not installed, or does not come that far.
    """
    tools = os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ["PATH"]])
    litestream = shutil.which("litestream", path=tools)
    if litestream is None:
        raise RuntimeError("litestream is not on the PATH")
    replica = data.with_name(f"{data.name}-replica")
    env = {**os.environ, "SLAD_DATABASE": str(data / "slad.db"), "SLAD_REPLICA": f"file://{replica}"}
    process = subprocess.Popen(
        [litestream, "replicate", "-config", str(CONFIGURATION)], env=env, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + SNAPSHOT_S
        while not any(replica.glob("ltx/9/*.ltx")):
            if time.monotonic() > deadline:
                raise RuntimeError("Litestream has made no snapshot")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(replica, ignore_errors=True)


ROW = Row(
    "replicated",
    "lateness of a threshold beside Litestream, 1,000,000 pending, 20 due and 500 commands a second",
    "the same without Litestream",
    (Target("ratio, p99", 2, at_least=False),),
    run,
    600,
    alone=True,
)
