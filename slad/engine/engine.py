"""slad's own engine: due timers and commands go through one pump to the one writer.

A turn of the pump: take what timers are due and what commands wait, apply the state machine to each, write
everything in one transaction on the writer's thread, and only then resolve the callers, re-arm the wheel and
publish the events. While a commit is under way the event loop takes in the next commands, which then share
the next commit (group commit). Nothing in memory is changed by a turn whose commit fails.

Contract
  - A caller is answered after the commit that holds its change (M8). Cancelling the call does not stop it.
  - Timers go before commands in every turn, so that a flood of commands does not delay them.
  - Overdue timers fire in order of their instants, over all tickets (C5).
  - While the disk is full or fails, commands are refused and timers wait. Each further try is a turn with
    timers alone or, when none are due, a trial write; the first that is committed ends that state.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, Final, NamedTuple, TypeVar

from slad.config.settings import DEFAULT_LIMITS
from slad.core.errors import InvalidField, Refused, stopping
from slad.core.instants import SECOND_MS, format_instant
from slad.core.metrics import TWO_CLOCKS, ClockLabels
from slad.engine.carrier import Carrier
from slad.engine.catalog import Catalog
from slad.engine.commands import Command, Render
from slad.engine.counts import EngineCounts
from slad.engine.execute import execute, execute_all
from slad.engine.job_queue import Job, JobQueue
from slad.engine.listeners import Listeners, TurnReport
from slad.engine.time_source import StepDetector, TimeSource
from slad.engine.timers import Timers, TimersView
from slad.engine.turn import Pace, Result, carry_out, commands_of, fire_due, refusal_of
from slad.engine.unit_of_work import UnitOfWork
from slad.engine.writer_thread import WriterThread
from slad.storage.database import DAMAGE, StorageError
from slad.storage.journal import CannotWrite, Journal
from slad.storage.kill_points import PUBLISHED, TURN_BUILT, kill_point
from slad.storage.rows import Batch, EventRow

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_SLEEP_MS: Final = SECOND_MS
"""How soon a stepped wall clock is noticed."""

RETRY_S: Final = 0.25
"""Pause after a failed turn, so that a full disk does not keep a core busy."""

TRIAL_BYTES: Final = 64 * 1024
"""How much a trial writes: if there is room for this, slad goes on."""


class _Advance(NamedTuple):
    target: int
    done: asyncio.Future[int]


class SlaEngine:
    """Timing wheel and journal. All methods are for the event loop's thread."""

    def __init__(
        self,
        journal: Journal,
        catalog: Catalog,
        clock: TimeSource,
        carrier: Carrier,
        listeners: Listeners,
        max_waiting: int = DEFAULT_LIMITS.waiting_commands,
        ledger_attributes: Collection[str] = (),
        clock_labels: ClockLabels = TWO_CLOCKS,
    ) -> None:
        self._journal = journal
        self._store = journal.store
        self._catalog = catalog
        self._clock = clock
        self._carrier = carrier
        self._listeners = listeners
        self._timers = Timers(journal.store)
        self._counters = journal.counters()
        self._jobs = JobQueue()
        self.max_waiting = max_waiting
        """Commands that may wait."""
        self.ledger_attributes = ledger_attributes
        """The attributes of a ticket that its rows of the ledger hold (A2)."""
        self._advances: deque[_Advance] = deque()
        self._advanced_events = 0
        self._awake = asyncio.Event()
        self._stopping = False
        self._trouble: str | None = None
        self._writer = WriterThread(self._commit)
        self._steps = StepDetector(clock.now(), clock.monotonic())
        self.counts = EngineCounts(clock_labels)
        self._commit_took = 0
        self._fired = 0
        self._pace = Pace()
        self._held_ms = 0  # to the next threshold, if it is so near that the commands of streams wait for it
        self._derived = self._moved = 0

    @property
    def sequence(self) -> int:
        """The sequence of the last committed event."""
        return self._counters.sequence

    @property
    def timers_in_memory(self) -> int:
        """Timers that the wheel holds; the others are further ahead than its horizon."""
        return len(self._timers)

    @property
    def waiting(self) -> int:
        """Commands that wait for their turn."""
        return len(self._jobs)

    @property
    def writable(self) -> bool:
        """Whether the last commit succeeded; otherwise commands are refused until one does."""
        return self._trouble is None

    @property
    def trouble(self) -> str | None:
        """The error of the disk while it refuses to write; None: it writes."""
        return self._trouble

    def look_at_timers(self, now: int) -> TimersView:
        """What the wheel holds, as of `now` (UTC epoch ms)."""
        return self._timers.look(now)

    async def submit(self, command: Command, render: Render) -> bytes:
        """Carries out `command` and returns its rendered answer; durable when it arrives (M8).

        Raises InvalidField, Refused; then nothing has changed. Cancelling the task does not stop it.
        """
        return await self.write(lambda work: execute(work, command, render), command)

    async def write(
        self, run: Callable[[UnitOfWork], T], command: Command | None = None, *, tenant_id: str = ""
    ) -> T:
        """Lets `run` read and write in one of the next transactions; its result arrives when that is durable.

        Raises what `run` raises, and Refused when the engine is stopping, overloaded or cannot write.
        """
        if self._stopping:
            raise stopping()
        if command is not None:
            tenant_id = command.tenant_id
        self._jobs.require_room(self.max_waiting, tenant_id)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        observer = self._listeners.observer
        self._jobs.put(Job(run, done, observer and observer.cause(), command, tenant_id))
        self._awake.set()
        # A caller that goes away takes its future along, but not the command out of its transaction.
        return await done

    def put(
        self, stream: Hashable, commands: Sequence[tuple[Command, Render]], cause: Any = None
    ) -> asyncio.Future[list[bytes | Exception]]:
        """Lets commands of a stream be carried out in a turn to come, after those that it put before (X3).

        Once they are durable the future has what came of each (see `execute_all`). `cause` is the observer's.
        """
        done: asyncio.Future[list[bytes | Exception]] = asyncio.get_running_loop().create_future()
        if self._stopping:
            _fail(done, stopping())
            return done
        run = partial(execute_all, commands=commands)
        self._jobs.put(Job(run, done, cause, stream=stream, commands=len(commands)))
        self._awake.set()
        return done

    async def advance(self, target: int) -> int:
        """Moves virtual time to `target`, stopping at every timer on the way; the number of events committed.

        Raises InvalidField when `target` is behind.
        """
        ahead = self._advances[-1].target if self._advances else self._clock.now()
        if target < ahead:
            raise InvalidField("to", "BACKWARDS", f"the virtual clock is at {format_instant(ahead)} already")
        advance = _Advance(target, asyncio.get_running_loop().create_future())
        self._advances.append(advance)
        self._awake.set()
        return await advance.done

    def prepare(self) -> None:
        """Loads what is due soon. To be called once, before `run`."""
        self._timers.fill(self._until())

    def stop(self, *, at_once: bool = False) -> None:
        """Lets `run` finish the commands that wait, or `at_once` refuse them, and return; takes no more."""
        self._stopping = True
        if at_once:
            self._refuse([], stopping())
        self._awake.set()

    async def run(self) -> None:
        """The pump. Returns after `stop`; raises only when slad cannot go on: DAMAGE of the file."""
        results: list[Result] = []
        try:
            while True:
                self._listeners.turn_begins()
                self._notice_step()
                results = []
                began = built = perf_counter_ns()
                try:
                    work = self._turn(results)
                    batch = work.finish()
                    if self._trouble is not None and not batch:
                        batch.trials.append((TRIAL_BYTES,))
                    if batch:
                        kill_point(TURN_BUILT)
                        built = perf_counter_ns()
                        await self._writer.run(batch)
                        self._recovered()
                        self._count(work, batch.events, results)
                    else:
                        self._journal.abandon()
                except DAMAGE:
                    raise
                except (CannotWrite, StorageError) as error:
                    self._failed(error, results)
                    self._report(began, built, results, 0, str(error))
                    if self._stopping:
                        return
                    await asyncio.sleep(RETRY_S)
                    continue
                self._committed(work, batch.events, results)
                if batch:
                    self._report(began, built, results, len(batch.events))
                if not await self._goes_on():
                    return
        finally:
            self._stopping = True
            self._writer.close()
            refused = stopping()
            self._refuse(results, refused)
            for advance in self._advances:
                _fail(advance.done, refused)

    async def _goes_on(self) -> bool:
        """Waits until there is something to do; False when there will be nothing."""
        if self._fired:
            await asyncio.sleep(0)  # watchers hear of it before the next turn
        if self._held_ms:
            await asyncio.sleep(self._held_ms / SECOND_MS)
        elif self._stopping and not self._jobs:
            return False  # timers, however many are overdue, fire after the next start
        elif not self._has_work():
            await self._sleep()
        return True

    # --- one turn

    def _until(self) -> int:
        """Up to which instant timers are due."""
        return self._advances[0].target if self._advances else self._clock.now()

    def _has_work(self) -> bool:
        waits = self._jobs or self._advances or self._trouble is not None
        return bool(waits) or self._timers.has_due(self._until())

    def _turn(self, results: list[Result]) -> UnitOfWork:
        """Applies due timers and waiting commands; returns what is to be committed.

        What is to be answered goes into `results`, also when it raises.
        Raises StorageError when the database cannot be read; the turn is void then.
        """
        until, self._held_ms = self._until(), 0
        self._journal.begin()
        self._timers.restore()
        self._timers.fill(until)
        work = UnitOfWork(self._store, self._catalog, self._counters, self._clock.now(), self._carrier.turn())
        work.ledger.attributes = self.ledger_attributes
        wakes = fire_due(work, self._timers, self._clock, until)
        self._fired = len(work.crossings)
        work.now = self._clock.now()
        if self._trouble is None and self._jobs:
            due_in = MAX_SLEEP_MS if self._clock.is_virtual else self._timers.next_wake() - work.now
            if room := self._pace.room_ns(wakes, due_in, self._jobs.batched):
                carry_out(work, self._jobs, results, room)
            elif not wakes:
                self._held_ms = due_in
        return work

    def _commit(self, batch: Batch) -> None:
        """On the writer's thread."""
        began = perf_counter_ns()
        self._journal.commit(batch)
        self._commit_took = perf_counter_ns() - began

    def _count(self, work: UnitOfWork, events: list[EventRow], results: list[Result]) -> None:
        now = self._clock.now()
        self.counts.committed(self._commit_took, commands_of(results), events, work.crossings, now)
        self.counts.closed(work.rows.ledger, work.overdue)
        if not self._clock.is_virtual:
            self.counts.fired(work.crossings[: self._fired], now)

    def _report(self, began: int, built: int, results: list[Result], events: int, error: str = "") -> None:
        observer = self._listeners.observer
        if observer is not None:
            causes = [result.job.cause for result in results]
            commands, now = commands_of(results), perf_counter_ns()
            observer.turn(TurnReport(began, built, now, causes, commands, events, error))

    def _committed(
        self,
        work: UnitOfWork,
        events: list[EventRow],
        results: list[Result],
    ) -> None:
        self._timers.settle()
        self._counters = work.counters
        work.catalog.committed()
        self._tell_of_moved_wakes(work)
        for tracking_key, wake_at in work.tickets.wakes.items():
            self._timers.set(tracking_key, wake_at)
        if events:
            self._listeners.events_committed(events)
        work.carrier.committed()
        kill_point(PUBLISHED)
        for job, result, error in results:
            if job.done.done():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                _fail(job.done, error)
        if self._advances:
            self._advanced_events += len(events)
            advance = self._advances[0]
            if not self._timers.has_due(advance.target):
                self._advances.popleft()
                self._clock.reach(advance.target)
                if not advance.done.done():
                    advance.done.set_result(self._advanced_events)
                self._advanced_events = 0

    def _tell_of_moved_wakes(self, work: UnitOfWork) -> None:
        """How many wakes another time-zone database has moved, once all are derived again (B5)."""
        self._derived += work.derived
        self._moved += work.moved
        if self._derived and not work.derived:
            log.info("%d pending wakes were derived again; %d have moved", self._derived, self._moved)
            self._derived = self._moved = 0

    def _failed(self, error: CannotWrite | StorageError, results: list[Result]) -> None:
        self.counts.commit_failures += 1
        if str(error) != self._trouble:
            self._listeners.writable_changes(False)
            log.error("a commit failed; nothing of it took effect: %s", error)
        self._trouble = str(error)
        self._refuse(results, refusal_of(error))

    def _recovered(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            log.info("commits succeed again")
            self._listeners.writable_changes(True)

    def _refuse(self, results: list[Result], refused: Refused) -> None:
        """Refuses the callers of a turn that came to nothing, and those that wait."""
        for job in [*(job for job, _, _ in results), *self._jobs.drain()]:
            _fail(job.done, refused)

    # --- time

    def _notice_step(self) -> None:
        if self._clock.is_virtual:
            return
        now = self._clock.now()
        step = self._steps.step(now, self._clock.monotonic())
        if step:
            self.counts.stepped(step)
            log.warning("the wall clock was stepped by %+d ms, to %s", step, format_instant(now))
            if step < 0:
                self._timers.rewind(now)

    async def _sleep(self) -> None:
        """Until the next timer, a command, or long enough that a step of the clock must be looked for."""
        alarm = None
        if not self._clock.is_virtual:
            delay = min(max(self._timers.next_wake() - self._clock.now(), 0), MAX_SLEEP_MS) / SECOND_MS
            alarm = asyncio.get_running_loop().call_later(delay, self._awake.set)
        await self._awake.wait()
        self._awake.clear()
        if alarm is not None:
            alarm.cancel()


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
        # The caller may be gone; then asyncio must not warn that nobody retrieved the error.
        done.exception()
