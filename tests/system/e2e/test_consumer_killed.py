"""A consumer with a parking lot is killed again and again, and slad with it: nothing is lost."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from tests.paths import ROOT
from tests.system.e2e.slad_process import slad_process

pytestmark = pytest.mark.slow

PATIENCE_S = 120
KILLS = 12
TICKETS = [f"T-{number}" for number in range(8)]
POISON = TICKETS[2:4]

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE done (handler TEXT, ticket TEXT, sequence INTEGER);
CREATE TABLE poison (ticket TEXT);
"""

README = (ROOT / "clients" / "python" / "README.md").read_text("utf-8")
TABLE = next(
    code for code in re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S) if "class Table" in code
)
"""The parking lot of the document, as it stands there."""

PROGRAM = """
import asyncio, sqlite3, sys
from slad_client import RetryPolicy, aio, sync
kind, action, database, address = sys.argv[1:]
db = sqlite3.connect(database, isolation_level=None, timeout=60, check_same_thread=False)

class AsyncTable(Table):
    async def put(self, parked): super().put(parked)
    async def list(self): return super().list()
    async def remove(self, event_id): super().remove(event_id)

def note(event):
    db.execute("INSERT INTO done VALUES ('note', ?, ?)", [event.ticket_id, event.sequence])

def work(event):
    if db.execute("SELECT 1 FROM poison WHERE ticket = ?", [event.ticket_id]).fetchone():
        raise ValueError(f"{event.ticket_id} is poison")
    db.execute("INSERT INTO done VALUES ('work', ?, ?)", [event.ticket_id, event.sequence])

retry = RetryPolicy(attempts=2, random=lambda: 0.0)
if kind == "sync":
    with sync.SladClient(address) as client:
        consumer = sync.SlaEventConsumer(client, "psa", parking_lot=Table(db), retry=retry)
        consumer.on_any(note)
        consumer.on_any(work)
        getattr(consumer, action)()
else:
    def awaited(function):
        async def handler(event): function(event)
        handler.__qualname__ = function.__qualname__
        return handler
    async def main():
        async with aio.SladClient(address) as client:
            consumer = aio.SlaEventConsumer(client, "psa", parking_lot=AsyncTable(db), retry=retry)
            consumer.on_any(awaited(note))
            consumer.on_any(awaited(work))
            await getattr(consumer, action)()
    asyncio.run(main())
"""


class World:
    """slad, a PSA's database, and the process that consumes."""

    def __init__(self, folder: Path, kind: str, stack: ExitStack) -> None:
        self._folder, self._kind, self._stack = folder, kind, stack
        self.address = f"unix:{folder}/slad.sock"
        self.database = folder / "psa.db"
        self.db = stack.enter_context(
            closing(sqlite3.connect(self.database, isolation_level=None, timeout=60))
        )
        self.db.executescript(SCHEMA)
        self.start_slad()
        self.client = stack.enter_context(SladClient(self.address, timeout=60))

    def start_slad(self) -> None:
        arguments = ("--listen", self.address, "--data", str(self._folder / "data"))
        self.slad = self._stack.enter_context(slad_process(*arguments))

    @contextmanager
    def process(self, action: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable,
            "-c",
            TABLE + PROGRAM,
            self._kind,
            action,
            str(self.database),
            self.address,
        ]
        process = subprocess.Popen(command)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def events(self) -> dict[str, list[int]]:
        """The sequences of each ticket's events, as slad has them."""
        found: dict[str, list[int]] = {ticket: [] for ticket in TICKETS}
        marker = uuid4().hex
        self.client.start_sla_tracking(tenant_id="marker", ticket_id=marker, targets=[TARGET])
        with closing(self.client.watch_sla_events(after_sequence=0)) as events:
            for event in events:
                if event.ticket_id == marker:
                    return found
                if event.ticket_id in found:
                    found[event.ticket_id].append(event.sequence)
        raise AssertionError

    def done(self, handler: str) -> dict[str, list[int]]:
        """What a handler has done, each event where it first was."""
        rows = self.db.execute(
            "SELECT ticket, sequence FROM done WHERE handler = ? ORDER BY rowid", [handler]
        )
        found: dict[str, dict[int, None]] = {ticket: {} for ticket in TICKETS}
        for ticket, sequence in rows:
            found.setdefault(ticket, {})[sequence] = None
        return {ticket: [*found[ticket]] for ticket in TICKETS}

    def progress(self) -> int:
        return self.count("done") + self.count("parked_sla_event")

    def count(self, table: str) -> int:
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        if not self.db.execute(query, [table]).fetchone()[0]:
            return 0
        (count,) = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


TARGET = pb.SlaPolicyTarget(resolution_time_minutes=10_000, is_24x7=True)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def toggle(world: World, ticket: str, step: int) -> None:
    """The next event of a ticket."""
    if step % 2:
        world.client.resume_sla(tenant_id="acme", ticket_id=ticket)
    else:
        world.client.pause_sla(tenant_id="acme", ticket_id=ticket, reason="AWAITING_CLIENT")


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_killed_at_any_moment_it_loses_nothing_and_keeps_the_order_of_each_ticket(
    tmp_path: Path, kind: str
) -> None:
    random = Random(7)
    with ExitStack() as stack:
        world = World(tmp_path, kind, stack)
        world.db.executemany("INSERT INTO poison VALUES (?)", [[ticket] for ticket in POISON])
        for ticket in TICKETS:
            world.client.start_sla_tracking(tenant_id="acme", ticket_id=ticket, targets=[TARGET])
        for kill in range(KILLS):
            with world.process("run"):
                enough = world.progress() + random.randint(1, 12)
                for ticket in TICKETS:
                    toggle(world, ticket, kill)
                until(lambda enough=enough: world.progress() >= enough, "it works")  # type: ignore[misc]
                if kill % 4 == 3:
                    world.slad.kill()
                    world.start_slad()
        told = world.events()
        healthy = [ticket for ticket in TICKETS if ticket not in POISON]
        with world.process("run"):
            until(
                lambda: all(world.done("work")[ticket] == told[ticket] for ticket in healthy),
                "all other tickets go on",
            )
            until(
                lambda: world.count("parked_sla_event") == sum(len(told[ticket]) for ticket in POISON),
                "what is poison is parked, with all that follows",
            )
        work = world.done("work")
        assert all(not work[ticket] for ticket in POISON)
        assert [world.done("note")[ticket] for ticket in POISON] == [told[ticket][:1] for ticket in POISON]

        world.db.execute("DELETE FROM poison")
        with world.process("run") as consumer:
            with world.process("retry_parked"):  # killed in the middle
                until(lambda: any(world.done("work")[ticket] for ticket in POISON), "something went through")
            with world.process("retry_parked") as again:
                assert again.wait(PATIENCE_S) == 0
            assert world.count("parked_sla_event") == 0
            for ticket in POISON:
                toggle(world, ticket, KILLS)
            told = world.events()
            until(lambda: world.done("work") == told, "every ticket goes on, in order")
            assert consumer.poll() is None
