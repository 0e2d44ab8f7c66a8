"""A turn of the engine without gRPC, threads and clocks, so that its work can be counted exactly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
from slad_client.v1 import sla_backend_pb2 as rpc

from benchmarks.start_request import StartRequests
from slad.core.events import RESOLUTION
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.commands import Answer, Command, Complete
from slad.engine.execute import execute
from slad.engine.queries import Queries
from slad.engine.unit_of_work import UnitOfWork
from slad.service import replies
from slad.service.fields import Fields
from slad.service.import_rows import tracking_import
from slad.service.requests import RequestReader
from slad.storage.checkpoint import Checkpointer
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.rows import Batch
from slad.storage.store import Store

NOW = 1_772_442_000_000


class Turns:
    """Requests as bytes in, replies as bytes out, in the order in which the engine does it."""

    def __init__(self, path: Path) -> None:
        self.data = DataDirectory(path)
        self.connection: apsw.Connection = self.data.writer()
        checkpointer = Checkpointer(self.connection, self.data.checkpointer(), beside=lambda copy: copy())
        self._journal, self._store = Journal(self.connection, checkpointer), Store(self.connection)
        self._directory = Catalog(self._store)
        self._counters = self._journal.counters()
        self._starts = StartRequests(1)
        self._reader = RequestReader(Fields())
        self.tickets: list[tuple[str, str]] = []

    def requests(self, number: int) -> list[bytes]:
        """Serialized starts of tickets that are new."""
        return [self._starts.next() for _ in range(number)]

    def take(self, bodies: list[bytes]) -> list[bytes]:
        """One turn: parsed, carried out, committed."""
        commands = [self._reader.start(rpc.StartSlaTrackingRequest.FromString(body), NOW) for body in bodies]
        answers = self._carry_out(commands, replies.STARTED.whole, NOW)
        self.tickets += [(command.tenant_id, command.ticket_id) for command in commands]
        return answers

    def resolve(self, number: int) -> None:
        """One turn: so many tickets, the youngest first, are resolved ten minutes after their start."""
        commands = [
            Complete(tenant_id=tenant_id, ticket_id=ticket_id, clock=RESOLUTION)
            for tenant_id, ticket_id in (self.tickets.pop() for _ in range(number))
        ]
        self._carry_out(commands, lambda answer: b"", NOW + 600_000)

    def _carry_out(
        self, commands: Sequence[Command], render: Callable[[Answer], bytes], now: int
    ) -> list[bytes]:
        self._journal.begin()
        work = UnitOfWork(self._store, self._directory, self._counters, now, LocalCarrier())
        if len(commands) > 1:
            work.foresee(commands)
        answers = [execute(work, command, render) for command in commands]
        self._journal.commit(work.finish())
        self._counters = work.counters
        return answers

    def build_row(self, body: bytes) -> Batch:
        """What the event loop does for a row of an import that is a turn of its own, up to the commit."""
        row = rpc.SlaTrackingImport.FromString(body)
        self._journal.begin()
        self._work = UnitOfWork(self._store, self._directory, self._counters, NOW, LocalCarrier())
        execute(self._work, tracking_import(self._reader, row, "", NOW), lambda answer: b"")
        return self._work.finish()

    def commit(self, batch: Batch) -> None:
        """What the writer's thread does then."""
        self._journal.commit(batch)
        self._counters = self._work.counters

    def status(self, place: int) -> bytes:
        """GetSlaStatus of a ticket that was started."""
        tenant_id, ticket_id = self.tickets[place]
        message = rpc.GetSlaStatusRequest(tenant_id=tenant_id, ticket_id=ticket_id)
        query = self._reader.ticket_query(rpc.GetSlaStatusRequest.FromString(message.SerializeToString()))
        answer = Queries(self._store, self._directory).status(*query, NOW)
        return replies.with_status(rpc.GetSlaStatusResponse(), answer)

    def close(self) -> None:
        self._journal.close()
        self.data.close()


@contextmanager
def turns(path: Path) -> Iterator[Turns]:
    """Turns that are warm: schedules compiled, statements prepared, caches filled."""
    made = Turns(path)
    try:
        for _ in range(6):
            made.take(made.requests(32))
            made.take(made.requests(1))
        yield made
    finally:
        made.close()


def function_calls(action: Callable[[], object]) -> int:
    """How many functions `action` calls, of Python and of C."""
    count = 0

    def see(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of Python `action` runs: also a loop that calls nothing shows."""
    count = 0

    def see(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return see

    sys.settrace(see)
    try:
        action()
    finally:
        sys.settrace(None)
    return count


def statements(connection: apsw.Connection, action: Callable[[], object]) -> list[str]:
    """The SQL that `action` runs, in order."""
    seen: list[str] = []
    connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: seen.append(event["sql"]))
    try:
        action()
    finally:
        connection.trace_v2(0)
    return seen
