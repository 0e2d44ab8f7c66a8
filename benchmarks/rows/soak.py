"""An hour of mixed load with a million pending: does anything drift?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from benchmarks.clients import started, told
from benchmarks.import_million import MIB, resident_bytes
from benchmarks.pending import copied
from benchmarks.processes import Server, slad
from benchmarks.results import Result
from benchmarks.row import Options, Row
from benchmarks.rows.lateness import DUE_A_SECOND, LEAD_S, import_due
from slad.storage.database import DATABASE_NAME

COMMANDS_A_SECOND = 100
SAMPLE_S = 5.0


def run(options: Options) -> Result:
    """Samples memory, WAL and database; lateness at a watcher. First tenth held against the last."""
    seconds = options.soak_minutes * 60
    with copied(options.large, options.disk) as data, slad(data) as server:
        watcher = started("lateness", server.target, "--seconds", str(LEAD_S + seconds + 2))
        import_due(server, "soak", time.time() + LEAD_S, DUE_A_SECOND * seconds)
        load = started("commands", server.target, "--rate", str(COMMANDS_A_SECOND), "--seconds", str(seconds))
        samples = _sample(server, data, seconds)
        late = told(watcher, seconds + 300)["late"]
        latencies = told(load, seconds + 300)["latencies"]
    result = Result("soak", _figures(samples, late, latencies))
    result.notes = [
        f"{options.soak_minutes} min; a second {DUE_A_SECOND} thresholds and {COMMANDS_A_SECOND} commands. "
        f"{len(late):,} thresholds came, {len(latencies):,} commands were answered."
    ]
    result.series = {
        "resident memory, MiB": [[at, rss / MIB] for at, rss, _, _ in samples],
        "WAL, MiB": [[at, wal / MIB] for at, _, wal, _ in samples],
        "lateness at the watcher, median of each minute, ms": _of_each_minute(late, median),
        "lateness at the watcher, p99 of each minute, ms": _of_each_minute(late, _p99),
    }
    return result


def _sample(server: Server, data: Path, seconds: int) -> list[tuple[float, int, int, int]]:
    """(seconds since the start, resident bytes, bytes of the WAL, bytes of the database)."""
    begun, samples = time.monotonic(), []
    while (at := time.monotonic() - begun) < seconds:
        wal, database = data / f"{DATABASE_NAME}-wal", data / DATABASE_NAME
        samples.append((at, resident_bytes(server.pid), wal.stat().st_size, database.stat().st_size))
        time.sleep(SAMPLE_S)
    return samples


def _of_each_minute(late: list[list[float]], what: Callable[[list[float]], float]) -> list[list[float]]:
    """(seconds since the first threshold, what the minute from there on comes to)."""
    minutes: dict[int, list[float]] = {}
    for at, ms in late:
        minutes.setdefault(int(at - late[0][0]) // 60, []).append(ms)
    return [[minute * 60, what(some)] for minute, some in sorted(minutes.items()) if len(some) > 1]


def _p99(some: list[float]) -> float:
    return quantiles(some, n=100)[98]


def _figures(
    samples: list[tuple[float, int, int, int]], late: list[list[float]], latencies: list[float]
) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    tenth = max(len(samples) // 10, 1)
    for name, some in (("first tenth", samples[:tenth]), ("last tenth", samples[-tenth:])):
        figures[f"RSS MiB, {name}"] = [median(rss for _, rss, _, _ in some) / MIB]
        figures[f"WAL MiB, {name}"] = [median(wal for _, _, wal, _ in some) / MIB]
    tenth = max(len(late) // 10, 1)
    for name, part in (("first tenth", late[:tenth]), ("last tenth", late[-tenth:])):
        figures[f"lateness p50 ms, {name}"] = [median(ms for _, ms in part)]
        figures[f"lateness p99 ms, {name}"] = [_p99([ms for _, ms in part])]
    figures["command p99 ms"] = [_p99(latencies)]
    figures["database MiB at the end"] = [samples[-1][3] / MIB]
    return figures


ROW = Row("soak", "a soak of an hour, 1,000,000 pending", "– (reported)", (), run, 3_700, alone=True)
