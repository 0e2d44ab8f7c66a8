"""Where the CPU of a StartSlaTracking goes, step by step, in one process without gRPC."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slad_client.v1 import sla_backend_pb2 as rpc

from benchmarks.results import Result
from benchmarks.row import Options, Row
from benchmarks.start_request import StartRequests
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.commands import Answer
from slad.engine.execute import execute
from slad.engine.unit_of_work import UnitOfWork
from slad.service import replies
from slad.service.fields import Fields
from slad.service.requests import RequestReader
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.store import Store

IN_A_TURN = 32
TURNS = 250
STEPS = ("parse", "validate", "look up", "decide", "reply", "rows", "SQLite")


def run(options: Options) -> Result:
    """µs of CPU for a call, in turns of 32."""
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
            spent = _measure(Path(scratch))
        for step in STEPS:
            figures[f"{step} us"].append(spent[step] / (IN_A_TURN * TURNS) / 1e3)
    result = Result("profile", dict(figures))
    result.notes = [
        "`SQLite` is the time of the thread that commits; all else is the event loop's. What the server "
        "spends beyond these, in the row `start`, is gRPC, the event loop, and handing over between threads. "
        "`decide` is the state machine with the rows of events and audit; the reply is apart."
    ]
    result.bars = {"CPU of a StartSlaTracking, µs": [(step, result.median(f"{step} us")) for step in STEPS]}
    return result


class _Stopwatch:
    """Nanoseconds of this thread's CPU by step; steps may be inside others, and are taken out of them."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        outer, self._inside = self._inside, 0
        begun = time.thread_time_ns()
        try:
            yield
        finally:
            took = time.thread_time_ns() - begun
            self.spent[name] += took - self._inside
            self._inside = outer + took


def _measure(scratch: Path) -> dict[str, float]:
    data = DataDirectory(scratch / "data")
    connection = data.writer()
    journal, store = Journal(connection), Store(connection)
    directory, counters = Catalog(store), journal.counters()
    source, requests = StartRequests(1), RequestReader(Fields())
    watch = _Stopwatch()

    def render(answer: Answer) -> bytes:
        with watch.step("reply"):
            return replies.STARTED.whole(answer)

    for turn in range(TURNS + 10):
        if turn == 10:  # warm
            watch.spent.clear()
        bodies, now = [source.next() for _ in range(IN_A_TURN)], time.time_ns() // 1_000_000
        with watch.step("parse"):
            messages = [rpc.StartSlaTrackingRequest.FromString(body) for body in bodies]
        with watch.step("validate"):
            commands = [requests.start(message, now) for message in messages]
        with watch.step("look up"):
            journal.begin()
            work = UnitOfWork(store, directory, counters, now, LocalCarrier())
            work.foresee(commands)
        with watch.step("decide"):
            for command in commands:
                execute(work, command, render)
        with watch.step("rows"):
            batch = work.finish()
        with watch.step("SQLite"):
            journal.commit(batch)
        counters = work.counters
    connection.close()
    data.close()
    return watch.spent


ROW = Row("profile", "where the CPU of a StartSlaTracking goes", "– (reported)", (), run, 20)
