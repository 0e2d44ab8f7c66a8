"""A crash trial: load, kill, restart, catch up, and so on; now and then everything is examined."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random

from tests.trials.crash import exam
from tests.trials.crash.caller import Caller
from tests.trials.crash.client import Client, Connected
from tests.trials.crash.daemon import Daemon
from tests.trials.crash.faults import FaultError, FaultKind, Faults
from tests.trials.crash.gate import Gate
from tests.trials.crash.hours import stop_and_go
from tests.trials.crash.journal import Counts, TicketJournal, now_ms
from tests.trials.crash.kills import KINDS, RANDOM, Kill, draw
from tests.trials.crash.lane import Lane
from tests.trials.crash.log import EventLog
from tests.trials.crash.replay import REACHED, RETRACTED
from tests.trials.crash.watchers import Consumer, Observer

POINT_TIMEOUT_S = 15.0
"""A kill point that has not struck by then is followed by an ordinary SIGKILL."""

MAX_FAULTS = 25
"""More are of no use to anybody: the trial ends."""

SAMPLE = 300
"""Tickets whose timelines are read at the end, and requests that are sent again."""


@dataclass
class Result:
    """What a trial counted."""

    seed: int
    clients: int
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    exams: int = 0
    tickets: int = 0
    counts: Counts = field(default_factory=Counts)
    events: int = 0
    thresholds: int = 0
    retracted: int = 0
    faults: Faults = field(default_factory=Faults)
    wall_s: float = 0.0
    slowest_start_s: float = 0.0


class Trial:
    """`minutes`: no more kills after that long."""

    def __init__(
        self,
        directory: Path,
        *,
        kills: int,
        seed: int,
        clients: int,
        exam_every: int = 50,
        minutes: float = 24 * 60,
    ) -> None:
        self.result = Result(seed, clients)
        self._directory = directory
        self._arguments = ("--listen", f"unix:{directory}/s", "--data", str(directory / "data"))
        self._exam_every = exam_every
        self._at_most_s = minutes * 60
        self._plan = draw(Random(f"{seed} kills"), kills)
        self._rng = Random(f"{seed} trial")
        self._gate = Gate()
        self._log = EventLog()
        faults, schedule = self.result.faults, stop_and_go(now_ms())
        self._clients = [Client(number, seed, schedule, faults) for number in range(clients)]
        self._auditor = Consumer("auditor", "", Random(f"{seed} auditor"), faults)
        observer = Observer(self._log, Random(f"{seed} observer"), faults)
        self._watchers = Connected([observer, self._auditor])
        self._settled: set[str] = set()
        """Tickets that nothing changes any more, as of the last examination."""
        self._broken: set[str] = set()
        """Tickets with a fault, which is told once."""

    async def run(self, progress: Callable[[Result], None] = lambda result: None) -> Result:
        """The whole trial. `progress` is called after every kill."""
        began, since_exam = time.monotonic(), 0
        async with self._at_work():
            for kill in self._plan:
                since_exam += 1
                wants_exam = since_exam >= self._exam_every and kill.kind == RANDOM
                await self._run_once(kill, wants_exam=wants_exam)
                since_exam = 0 if wants_exam else since_exam
                self.result.wall_s = time.monotonic() - began
                progress(self.result)
                if len(self.result.faults) >= MAX_FAULTS or self.result.wall_s > self._at_most_s:
                    break
            self._check_file()
            await self._finish()
        self._count()
        self.result.wall_s = time.monotonic() - began
        return self.result

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """The clients and watchers, as tasks; one that fails for a reason of its own ends the trial."""
        async with asyncio.TaskGroup() as tasks:
            workers = [
                task
                for connected in (self._watchers, *self._clients)
                for task in connected.start(tasks, self._gate)
            ]
            yield
            for worker in workers:
                worker.cancel()

    # --- runs of the daemon

    async def _run_once(self, kill: Kill, *, wants_exam: bool) -> None:
        slad = Daemon(*self._arguments, env=kill.environment)
        try:
            if kill.while_starting and kill.kind == RANDOM and not wants_exam:
                await asyncio.sleep(kill.delay_s)
                self._killed(RANDOM)
                return
            if not await self._ready(slad):
                # A kill point in the very first turn.
                self._killed(kill.kind)
                return
            if wants_exam:
                await self._examine(slad)
            if kill.kind == RANDOM:
                await asyncio.sleep(kill.delay_s)
                self._killed(RANDOM)
            else:
                self._killed(kill.kind if await slad.ends_by_itself(POINT_TIMEOUT_S) else RANDOM)
        finally:
            await self._reap(slad)

    async def _ready(self, slad: Daemon) -> bool:
        began = time.monotonic()
        if not await slad.becomes_ready():
            return False
        self.result.restarts += 1
        self.result.slowest_start_s = max(self.result.slowest_start_s, time.monotonic() - began)
        await self._gate.open(self._address)
        return True

    async def _reap(self, slad: Daemon) -> None:
        await slad.end()
        for entry in slad.log:
            if entry["level"] in ("error", "critical") or "error" in entry:
                self.result.faults.add(FaultKind.UNEXPLAINED, "slad's log", str(entry))
        if slad.other_output:
            self.result.faults.add(FaultKind.UNEXPLAINED, "slad's log", "\n".join(slad.other_output))

    def _killed(self, kind: str) -> None:
        self.result.kills[kind] += 1

    @property
    def _address(self) -> str:
        return f"unix:{self._directory}/s"

    # --- examinations

    async def _examine(self, slad: Daemon) -> exam.Exam:
        """Holds the load still and looks at every ticket that may have changed since the last time."""
        faults = self.result.faults
        async with self._caller() as caller:
            await self._gate.hold(len(self._lanes))
            journals = [j for j in self._journals if j.name not in self._settled | self._broken]
            taken = exam.Exam(self._log, now_ms())
            await _noting(faults, taken.take(caller, journals, faults))
            await _noting(faults, exam.catch_up_all(self._consumers, self._log))
            confirmed = {consumer.name: consumer.confirmed for consumer in self._consumers}
            await exam.check_consumers(self._address, confirmed, faults)
            for consumer in self._consumers:
                try:
                    consumer.check(self._log)
                except FaultError as error:
                    faults.append(error.fault)
        self._broken |= taken.failed
        in_use = {name for lane in self._lanes for name in lane.in_use}
        self._settled |= {
            played.ticket.ticket_id
            for played in taken.played
            if played.settled and played.ticket.ticket_id not in in_use
        }
        self._gate.release()
        self.result.exams += 1
        return taken

    async def _finish(self) -> None:
        """The last run: all tickets, all consumers, all events from the beginning."""
        for consumer in self._consumers:
            consumer.may_be_away = False
        slad = Daemon(*self._arguments)
        try:
            if not await self._ready(slad):
                raise RuntimeError(slad.output)
            self._settled.clear()
            faults = self.result.faults
            taken = await self._examine(slad)
            exam.check_order(taken.played, faults)
            async with self._caller() as caller:
                await self._gate.hold(len(self._lanes))
                await _noting(faults, exam.catch_up(caller, self._log))
                await _noting(faults, exam.read_again(caller, self._log))
                names = {name for lane in self._lanes for name in lane.names}
                exam.check_strangers(await exam.statuses_of(caller), self._log, names, faults)
                sample = self._rng.sample(self._journals, min(SAMPLE, len(self._journals)))
                await exam.check_timelines(caller, self._log, sample, faults)
                for lane in self._lanes:
                    await lane.repeat_all(caller)
        finally:
            await self._reap(slad)

    def _check_file(self) -> None:
        """After a kill: a copy of the database with its WAL, as the next start would find it."""
        copy = self._directory / "copy"
        copy.mkdir()
        for name in ("slad.db", "slad.db-wal"):
            path = self._directory / "data" / name
            if path.exists():
                shutil.copy(path, copy)
        exam.check_file(copy / "slad.db", self.result.faults)

    @asynccontextmanager
    async def _caller(self) -> AsyncIterator[Caller]:
        caller = Caller(self._address)
        try:
            yield caller
        finally:
            await caller.close()

    @property
    def _lanes(self) -> list[Lane]:
        return [lane for client in self._clients for lane in client.lanes]

    @property
    def _journals(self) -> list[TicketJournal]:
        return [journal for lane in self._lanes for journal in lane.journals]

    @property
    def _consumers(self) -> list[Consumer]:
        return [self._auditor, *(client.consumer for client in self._clients)]

    def _count(self) -> None:
        result = self.result
        result.tickets = sum(len(lane.names) for lane in self._lanes)
        result.events = len(self._log.sequences)
        result.thresholds = self._log.types[REACHED]
        result.retracted = self._log.types[RETRACTED]
        sources = [lane.counts for lane in self._lanes]
        sources += [consumer.counts for consumer in self._consumers]
        for name in (f.name for f in fields(Counts)):
            setattr(result.counts, name, sum(getattr(source, name) for source in sources))
        for kind in KINDS:
            result.kills.setdefault(kind, 0)


async def _noting(faults: Faults, check: Awaitable[object]) -> None:
    """Notes the fault that ends a check."""
    try:
        await check
    except FaultError as error:
        faults.append(error.fault)
