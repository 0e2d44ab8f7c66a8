"""APScheduler with its jobs in SQLite, as a process: `python -m benchmarks.apscheduler_peer KIND PATH …`.

    add     adds delayed jobs one after the other for some seconds; how many a second, as a JSON line
    fill    puts many pending jobs into the database, due in months
    fire    starts, tells that it is ready, adds jobs that fall due soon; how late each ran, as a JSON line

What it is given: a connection that stays open, WAL and synchronous=FULL as slad has them (each add is a
transaction that is synced before `add_job` returns), UTC, its thread pool, and jobs that run however late
they are.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import create_engine, event

JOB: Final = "__main__:fired"
"""Jobs are found by name, and `late` must be the one of this process."""
ROWS_AT_ONCE: Final = 10_000
FIRE_S: Final = 60.0
"""How long jobs may be late before that is an error."""

late: list[float] = []
"""Of each job that ran: ms after its instant."""


def fired(_ticket_id: str, _tenant_id: str, _phase: str, _percent: int, due_ms: float) -> None:
    """The job: a threshold of a ticket."""
    late.append(time.time_ns() / 1e6 - due_ms)


def scheduler_of(path: Path, *, durable: bool = True) -> BackgroundScheduler:
    """A scheduler with its jobs in the SQLite file `path`, not started."""
    engine = create_engine(f"sqlite:///{path}")

    def connected(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL" if durable else "PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = OFF")

    event.listen(engine, "connect", connected)
    return BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(engine=engine)},
        job_defaults={"misfire_grace_time": None},
        timezone=UTC,
    )


def add(scheduler: BackgroundScheduler, at: datetime) -> None:
    """One delayed job; it is on the disk when this returns."""
    ticket_id = uuid4().hex
    arguments = (ticket_id, "acme", "response", 50, at.timestamp() * 1e3)
    scheduler.add_job(JOB, "date", run_date=at, args=arguments, id=ticket_id)


def add_for(path: Path, seconds: float, *, paused: bool) -> dict[str, float]:
    """Jobs added in so many seconds, after half a second of warm-up.

    `paused`: the scheduler does not look for what is due meanwhile, which it otherwise does after each add.
    """
    scheduler = scheduler_of(path)
    scheduler.start(paused=paused)
    at = datetime.now(UTC) + timedelta(hours=1)
    warm = time.perf_counter() + 0.5
    while time.perf_counter() < warm:
        add(scheduler, at)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        add(scheduler, at)
        count += 1
    rate = count / (time.perf_counter() - begun)
    if count > _rows(scheduler):
        raise RuntimeError("the jobs are not in the database")
    scheduler.shutdown()
    return {"rate": rate}


def _rows(scheduler: BackgroundScheduler) -> int:
    with scheduler._lookup_jobstore("default").engine.begin() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM apscheduler_jobs").scalar_one())


def fill(path: Path, number: int) -> None:
    """So many pending jobs. One is added, and its row is written again under other ids of the same length."""
    scheduler = scheduler_of(path, durable=False)
    scheduler.start(paused=True)
    at, first = datetime.now(UTC) + timedelta(days=200), "0" * 32
    arguments = (first, "acme", "response", 50, at.timestamp() * 1e3)
    scheduler.add_job(JOB, "date", run_date=at, args=arguments, id=first)
    store = scheduler._lookup_jobstore("default")
    with store.engine.begin() as connection:
        due, state = connection.exec_driver_sql("SELECT next_run_time, job_state FROM apscheduler_jobs").one()
        for begin in range(1, number, ROWS_AT_ONCE):
            ids = [f"{place:032x}" for place in range(begin, min(begin + ROWS_AT_ONCE, number))]
            rows = [(job_id, due, state.replace(first.encode(), job_id.encode())) for job_id in ids]
            connection.exec_driver_sql("INSERT INTO apscheduler_jobs VALUES (?, ?, ?)", rows)
    last = f"{number - 1:032x}"
    job = scheduler.get_job(last)
    if job is None or job.id != last or job.args[0] != last:
        raise RuntimeError("the pending jobs are not what the scheduler would have written")
    scheduler.shutdown()


def fire(path: Path, number: int, every_s: float, lead_s: float) -> dict[str, list[float]]:
    """How late `number` jobs ran, in ms, of which one falls due every so many seconds."""
    scheduler = scheduler_of(path)
    scheduler.start()
    print("ready", flush=True)
    first = datetime.now(UTC) + timedelta(seconds=lead_s)
    for place in range(number):
        add(scheduler, first + timedelta(seconds=place * every_s))
    if datetime.now(UTC) > first:
        raise RuntimeError("adding the jobs took too long for this measurement")
    deadline = time.monotonic() + lead_s + number * every_s + FIRE_S
    while len(late) < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{number} jobs were due, {len(late)} ran")
        time.sleep(0.1)
    scheduler.shutdown()
    return {"late": late}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("add", "fill", "fire"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--paused", action="store_true")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument("--lead", type=float, default=3.0, metavar="SECONDS")
    given = parser.parse_args()
    if given.kind == "add":
        print(json.dumps(add_for(given.path, given.seconds, paused=given.paused)))
    elif given.kind == "fill":
        fill(given.path, given.number)
    else:
        print(json.dumps(fire(given.path, given.number, given.every, given.lead)))


if __name__ == "__main__":
    main()
