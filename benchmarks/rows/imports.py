"""Import, against apsw inserting the very rows that it leaves behind; bytes on disk."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import apsw

from benchmarks import import_million
from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from slad.storage.database import DATABASE_NAME

TABLES = ("tracking", "event", "audit", "ledger")
BATCH = 256


def run(options: Options) -> Result:
    """Imports a tenth of the large number, then inserts the same rows into an empty copy, one thread."""
    number = max(options.large // 10, 1_000)
    figures: dict[str, list[float]] = {"trackings/s": [], "apsw/s": [], "ratio": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
            data = Path(scratch) / "data"
            with slad(data) as server:
                seconds, _ = import_million.import_into(server, number)
            rate, bare = (
                number / seconds,
                number / _insert_again(data / DATABASE_NAME, Path(scratch) / "bare"),
            )
            figures["trackings/s"].append(rate)
            figures["apsw/s"].append(bare)
            figures["ratio"].append(rate / bare)
            for name, value in sizes(data / DATABASE_NAME, number).items():
                figures.setdefault(name, []).append(value)
    notes = [
        f"{number:,} open tickets of the last five days, some paused or answered, from a client process.",
        "Bytes per live ticket: the database less its events and the ledger; per event and per closed cycle: "
        "their tables with their indexes.",
    ]
    return Result("import", figures, notes)


def _insert_again(source: Path, scratch: Path) -> float:
    """Seconds that apsw needs to insert the rows of `source` into an empty database with the same schema."""
    scratch.mkdir()
    target = scratch / DATABASE_NAME
    shutil.copy(source, target)
    connection = apsw.Connection(str(target))
    for pragma, value in (("journal_mode", "wal"), ("synchronous", "FULL"), ("cache_size", -16 * 1024)):
        connection.pragma(pragma, value)
    rows = {table: list(connection.execute(f"SELECT * FROM {table}")) for table in TABLES}
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("VACUUM")
    begun = time.perf_counter()
    for batch in range(0, max(map(len, rows.values())), BATCH):
        with connection:
            for table, some in rows.items():
                marks = ", ".join("?" * len(some[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", some[batch : batch + BATCH])
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def sizes(database: Path, tickets: int) -> dict[str, float]:
    """Bytes that a live ticket takes, an event, and a cycle of the ledger where there are some."""
    connection = apsw.Connection(str(database))
    pages = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    counts = {table: connection.execute(f"SELECT count(*) FROM {table}").get for table in ("event", "ledger")}
    connection.close()
    apart = {table: sum(size for name, size in pages.items() if name.startswith(table)) for table in counts}
    found = {
        "bytes/ticket": (sum(pages.values()) - sum(apart.values())) / tickets,
        "bytes/event": apart["event"] / counts["event"],
    }
    if counts["ledger"]:
        found["bytes/closed cycle"] = apart["ledger"] / counts["ledger"]
    return found


ROW = Row(
    "import",
    "import; disk per live ticket, per event, per closed cycle",
    "apsw inserting the rows that it leaves behind, batches of 256, one thread",
    (
        Target("ratio", 0.28, at_least=True),
        Target("trackings/s", 12_000, at_least=True, unit="/s"),
        Target("bytes/ticket", 700, at_least=False, unit="B"),
        Target("bytes/event", 250, at_least=False, unit="B"),
    ),
    run,
    90,
    retired="20,000 a second and 0.30 of apsw. That is 50 µs for a row of which up to fourteen thresholds "
    "are decided, in Python. The targets that stay are 83 µs for a row. By a profile of November 2026 it "
    "takes some 120 µs of the event loop's CPU: 29 to read and check it, 43 to decide, 36 for its rows of "
    "events, ledger and audit, 12 for the rest; the thread that writes takes 24 more. A second process could "
    "take over the first two, but would have to know what a turn has decided so far.",
)
