"""One turn of the pump: what is due fires, then waiting commands are carried out, all in one unit of work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from heapq import heappop, heappush
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from slad.core import machine
from slad.core.errors import InvalidField, Refusal, Refused, without_frames
from slad.core.tracking import TicketRef
from slad.engine.job_queue import Job, JobQueue
from slad.engine.outgoing import fenced
from slad.engine.time_source import TimeSource
from slad.engine.timers import Timers
from slad.engine.unit_of_work import UnitOfWork, Write
from slad.storage.database import WAKE_MARKS, StorageError, wake_mark
from slad.storage.journal import CannotWrite

log = logging.getLogger(__name__)

MAX_COMMANDS: Final = 128
"""Commands in one transaction: bounds the time between two turns."""

MAX_TIMERS: Final = 256
"""Timers that fire in one transaction."""

TURN_NS: Final = 15_000_000
"""How long the timers of one turn may take, and its commands as well. The cost of a job is only known after
it has run, and other callers' thresholds must not wait for it."""

HURRY_NS: Final = 2_000_000
"""How long the commands of a turn may take when a fired threshold waits to be announced, or when the commands
have waited for that."""

EVENT_NS: Final = 10_000
"""The time for each event that the writer's thread makes: the turn lasts until all are made."""

HOLD_MS: Final = 5
"""The commands of streams wait for a threshold that is this near."""

ROOM_NS_A_MS: Final = 180_000
"""How long commands may take for each ms until the next threshold: making and writing their rows takes two to
three times as long as carrying them out."""


class Result(NamedTuple):
    """What came of a job; its caller hears it after the commit."""

    job: Job
    value: Any
    error: Exception | None


def refusal_of(error: CannotWrite | StorageError) -> Refused:
    """The error for the callers of a turn that could not read or write the database."""
    if isinstance(error, CannotWrite) and error.disk_full:
        return Refused(Refusal.RESOURCE_EXHAUSTED, "DISK_FULL", "slad's disk is full")
    if isinstance(error, CannotWrite) and error.fenced:
        return fenced(error)
    return Refused(Refusal.UNAVAILABLE, "CANNOT_WRITE", "slad cannot write its database; try again")


def commands_of(results: Sequence[Result]) -> int:
    """How many commands were carried out."""
    return sum(result.job.commands for result in results)


class Pace:
    """How long the commands of each turn may take, so that no threshold waits for the commands of streams.

    A stream can fill turn after turn. So its commands wait when a threshold is about to fall due, and while
    fired thresholds are written. After each such threshold they get a turn, however much falls due.
    """

    def __init__(self) -> None:
        self._owed = False

    def room_ns(self, wakes: int, due_in_ms: int, batched: int) -> int:
        """The time for commands; 0: there are none in this turn.

        `wakes` timers have gone off, the next one does in `due_in_ms`; `batched` commands are of streams.
        """
        if not batched:
            return HURRY_NS if wakes else TURN_NS
        owed, self._owed = self._owed, False
        room = 0 if wakes else min(TURN_NS, (due_in_ms - HOLD_MS) * ROOM_NS_A_MS)
        if owed:
            return max(room, HURRY_NS)
        self._owed = wakes > 0
        return max(room, 0)


def fire_due(work: UnitOfWork, timers: Timers, clock: TimeSource, until: int) -> int:
    """Fires what is due, up to MAX_TIMERS and for TURN_NS, over all tickets in the order of instants (C5).

    How many timers went off. Raises StorageError when the database cannot be read.
    """
    left, ends, wakes = MAX_TIMERS, perf_counter_ns() + TURN_NS, 0
    while due := _take_due(timers, until, left):
        if len(due) > 1:
            work.tickets.foresee_keys([tracking_key for _, _, tracking_key in due])
        last, place = due[-1][0], len(due)
        while due and left:
            wake_at, _, tracking_key = heappop(due)
            wakes += 1
            clock.reach(wake_at)
            work.now = max(clock.now(), wake_at)
            left = left - 1 if perf_counter_ns() < ends else 0
            try:
                next_wake = _fire(work, wake_at, tracking_key)
            except StorageError:
                raise
            except Exception:
                # One ticket that cannot be read must not stop the clocks of all others.
                timers.give_up(tracking_key)
                log.exception(
                    "tracking %d cannot fire; its timer stays off until slad restarts", tracking_key
                )
                continue
            if next_wake is not None and next_wake < last:
                # Overdue as well, with its place among those of other tickets.
                heappush(due, (next_wake, place, tracking_key))
                place += 1
            else:
                timers.set(tracking_key, next_wake)
        for wake_at, _, tracking_key in due:
            timers.set(tracking_key, wake_at)
    return wakes


def carry_out(work: UnitOfWork, waiting: JobQueue, results: list[Result], room_ns: int) -> None:
    """Runs the next jobs that wait: one at least, up to MAX_COMMANDS, and as many as begin within `room_ns`.

    What came of each goes into `results`, also when it raises.
    Raises StorageError when the database cannot be read.
    """
    begun, left = perf_counter_ns(), work.left
    taken = waiting.take(MAX_COMMANDS)
    count = 0
    try:
        if len(taken) > 1:
            work.foresee([job.command for _, job in taken if job.command is not None])
        for _, job in taken:
            count += 1
            try:
                results.append(Result(job, job.run(work), None))
            except (InvalidField, Refused) as error:
                results.append(Result(job, None, without_frames(error)))
            except Exception as error:
                results.append(Result(job, None, error))
                if isinstance(error, StorageError):
                    raise
            if perf_counter_ns() - begun + (work.left - left) * EVENT_NS > room_ns:
                break
    finally:
        waiting.put_back(taken[count:])


def _take_due(timers: Timers, until: int, most: int) -> list[tuple[int, int, int]]:
    """Takes out the next timers that are due: (wake, place, key), in order."""
    due: list[tuple[int, int, int]] = []
    while len(due) < most and (timer := timers.pop(until)) is not None:
        wake_at, tracking_key = timer
        due.append((wake_at, len(due), tracking_key))
    return due


def _fire(work: UnitOfWork, wake_at: int, tracking_key: int) -> int | None:
    """Fires one tracking; its next wake."""
    record = work.tickets.by_key(tracking_key)
    if record is None or record.wake_at is None:
        return None
    transition = machine.fire(record.tracking, work.catalog.calendar, work.now, until=wake_at)
    if wake_at < WAKE_MARKS:
        work.derived += 1
        work.moved += transition.wake_at is None or wake_mark(transition.wake_at) != wake_at
    tenant_id = work.catalog.tenant_id(record.tenant_key)
    work.put(Write(TicketRef(tenant_id, record.ticket_id, record.generation), tracking_key, transition))
    return transition.wake_at
