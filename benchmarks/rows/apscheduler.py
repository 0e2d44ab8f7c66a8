"""Durable StartSlaTracking against jobs of APScheduler in SQLite; start and lateness with as many pending."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.pending import copied
from benchmarks.processes import load, slad
from benchmarks.results import Result
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import DUE_A_SECOND, measure

SECONDS: Final = 10
"""Of each run with timers that fall due."""
LEAD_S: Final = 4.0
"""Before the first falls due."""
IN_FLIGHT: Final = (32, 1)


def run(options: Options) -> Result:
    """In turn: a round with APScheduler, a round with slad."""
    figures: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        jobs = Path(scratch) / "jobs.db"
        with slad(Path(scratch) / "data") as server:
            for _ in range(options.repeats):
                running = _peer("add", jobs, "--seconds", options.seconds)["rate"]
                paused = _peer("add", jobs, "--seconds", options.seconds, "--paused")["rate"]
                figures["apscheduler/s"].append(running)
                figures["apscheduler/s, paused"].append(paused)
                for in_flight in IN_FLIGHT:
                    started = load(
                        server,
                        in_flight=in_flight,
                        warm_up=0.5,
                        seconds=options.seconds,
                        with_request_id=True,
                    )
                    figures[f"slad/s, {in_flight}"].append(started.rate)
                    figures[f"ratio, {in_flight}"].append(started.rate / running)
                    figures[f"ratio, {in_flight}, paused"].append(started.rate / paused)
        many = Path(scratch) / "many.db"
        _peer("fill", many, "--number", options.large)
        with copied(options.large, options.disk) as data:
            for repeat in range(options.repeats):
                _note("apscheduler", *_start_and_fire(many), figures)
                begun = time.perf_counter()
                with slad(data) as server:
                    ready = time.perf_counter() - begun
                    late = measure(server, str(repeat), seconds=SECONDS, lead_s=LEAD_S, commands_a_second=0)
                _note("slad", ready, [ms for _, ms in late], figures)
    notes = [
        "Both in SQLite with WAL and synchronous=FULL: a call returns when what it did is on the disk. "
        "APScheduler adds one job a transaction, under a lock: more threads would not help, and nothing "
        "shares a commit. It is called in its own process, without a network, and a job is one timer; a "
        "start is a ticket with its thresholds, an audit row and an answer that can be repeated. `32` "
        "and `1` are the calls in flight to slad. A running APScheduler looks for due jobs after each add; "
        "a `paused` one does not, and runs none.",
        f"With {options.large:,} pending: `ready` is from the start of the process until it takes commands, "
        f"`late` of {DUE_A_SECOND} timers a second for {SECONDS} s without other work. A job of APScheduler "
        "runs in its own process before its removal is committed, and again after a crash in between; slad's "
        "event is committed first, and received by another process.",
    ]
    return Result("apscheduler", dict(figures), notes)


def _note(side: str, ready: float, late: list[float], figures: dict[str, list[float]]) -> None:
    figures[f"ready s, {side}"].append(ready)
    figures[f"late p50 ms, {side}"].append(median(late))
    figures[f"late p99 ms, {side}"].append(quantiles(late, n=100, method="inclusive")[98])


def _command(kind: str, path: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.apscheduler_peer", kind, str(path), *map(str, arguments)]


def _peer(kind: str, path: Path, *arguments: object) -> Any:
    """What it told; None when it has nothing to tell."""
    done = subprocess.run(
        _command(kind, path, *arguments), check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    return json.loads(done.stdout) if done.stdout else None


def _start_and_fire(path: Path) -> tuple[float, list[float]]:
    """(seconds until it was ready, ms that each job was late)."""
    begun = time.perf_counter()
    arguments = ("--number", DUE_A_SECOND * SECONDS, "--every", 1 / DUE_A_SECOND, "--lead", LEAD_S)
    with subprocess.Popen(_command("fire", path, *arguments), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        ready = time.perf_counter() - begun
        rest, _ = process.communicate(timeout=SECONDS + 120)
    if not line or process.returncode:
        raise RuntimeError(f"APScheduler ended with exit code {process.returncode}")
    late: list[float] = json.loads(rest)["late"]
    return ready, late


ROW = Row(
    "apscheduler",
    "durable StartSlaTracking, 32 and 1 in flight",
    "APScheduler 3 with its jobs in SQLite, one after the other",
    (),
    run,
    150,
    reported=("ratio, 32", "ratio, 32, paused", "ratio, 1", "ratio, 1, paused"),
)
