"""What became of each promise, as entries of the ledger (A1, A2), and how a change of a ticket revises them.

Pure: readings in, entries out. All instants are UTC epoch ms, all spans ms of open time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import IntEnum
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from slad.core.facts import first_difference
from slad.core.history import History, Leading
from slad.core.reading import Calendars, ClockReading, Reading, read
from slad.core.stretches import BusinessTime
from slad.core.terms import ClockKind, ClockTerms
from slad.core.tracking import Annotation, Tracking

EVER: Final = 0
"""Earlier than every fact: a change from then on may touch every cycle."""


class Verdict(IntEnum):
    """What the ledger says of a cycle. The numbers are stored; those of the contract are the same."""

    MET = 1
    MISSED = 2
    NONE = 3
    """Closed without a verdict."""
    VOID = 4
    """Not closed any more, never there, or another generation's by now."""


_VERDICTS: Final = {True: Verdict.MET, False: Verdict.MISSED, None: Verdict.NONE}

EntryKey = tuple[str, int]
"""What makes an entry of a tracking the same: `LedgerEntry.clock` and `cycle_key`."""


class LedgerEntry(NamedTuple):
    """What there is to say of one cycle of a clock."""

    clock: str
    cycle_key: int
    """When it opened, of a clock that has several; else 0 (K4)."""
    cycle: int
    """Its number, from 1."""
    opened_at: int
    policy_id: str
    priority_id: str
    owner: str
    """Who had the ticket when it closed, or has it."""
    due_at: int | None
    """None: past year 9999."""
    closed_at: int | None
    """None: it is open."""
    target_ms: int
    elapsed_ms: int
    paused_ms: int
    paused_by: Mapping[str, int]
    """The same by reason; of several that are held at a time, the one held longest has it."""
    verdict: Verdict | None
    """None: it is open."""
    reported_met: bool | None
    reason_code: str = ""
    note: str = ""
    excused: bool = False

    @property
    def key(self) -> EntryKey:
        """What makes it the same."""
        return self.clock, self.cycle_key


class Revision(NamedTuple):
    """An entry as it was recorded, with its place among all that were recorded of its cycle."""

    entry: LedgerEntry
    number: int
    """From 1."""
    recorded_at: int


def entry_of(
    clock: ClockReading, tracking: Tracking, history: History, calendar: BusinessTime
) -> LedgerEntry:
    """What there is to say of a cycle, open or closed. `calendar` is the one that its clock counts by."""
    return _Entries(tracking, history).of(clock, calendar)


class _Entries:
    """Makes the entries of a ticket; what several of its cycles need is looked up once."""

    def __init__(self, tracking: Tracking, history: History) -> None:
        self._terms = tracking.terms
        self._history = history
        self._annotations = {annotation.cycle: annotation for annotation in tracking.annotations}
        self._leading: dict[tuple[str, ...] | None, Leading] = {}

    def of(self, clock: ClockReading, calendar: BusinessTime) -> LedgerEntry:
        """As `entry_of`."""
        closed_at, terms = clock.closed_at, self._terms
        paused_by = self._paused_by(clock, calendar) if self._history.holds else {}
        annotation = self._annotations.get(clock.key, _NOTHING_SAID)
        return LedgerEntry(
            clock.name,
            clock.key[1],
            clock.number,
            clock.opened_at,
            terms.policy_id,
            terms.priority_id,
            self._history.owner if closed_at is None else _owner_at(self._history, clock.terms, closed_at),
            clock.due_at,
            closed_at,
            clock.target_ms,
            clock.elapsed_ms,
            sum(paused_by.values()),
            paused_by,
            None if closed_at is None else _VERDICTS[clock.met],
            clock.reported_met,
            annotation.reason_code,
            annotation.note,
            annotation.excused,
        )

    def _paused_by(self, clock: ClockReading, calendar: BusinessTime) -> dict[str, int]:
        """The open ms that pauses took of a cycle, by reason; only of reasons that took any."""
        taken: dict[str, int] = {}
        for hold in self._leading_of(clock.terms).within(clock.opened_at, clock.closed_at or clock.now):
            assert hold.to_ms is not None
            if span_ms := calendar.open_between(hold.from_ms, hold.to_ms):
                taken[hold.reason] = taken.get(hold.reason, 0) + span_ms
        return taken

    def _leading_of(self, clock: ClockTerms) -> Leading:
        """Which of the reasons that a clock heeds has its time."""
        leading = self._leading.get(clock.paused_by)
        if leading is None:
            heeds, holds = clock.paused_by, self._history.holds
            leading = Leading(hold for hold in holds if heeds is None or hold.reason in heeds)
            self._leading[clock.paused_by] = leading
        return leading


def overdue_cycles(reading: Reading) -> int:
    """How many open cycles are past 100 %."""
    return sum([clock.closed_at is None and clock.breached_at is not None for clock in reading.clocks])


def closed_entries(
    tracking: Tracking, reading: Reading, calendars: Calendars, since: int
) -> list[LedgerEntry]:
    """The entries of all cycles that closed at `since` or later."""
    entries = _Entries(tracking, reading.history)
    return [
        entries.of(clock, calendars(clock.terms.schedule_key))
        for clock in reading.clocks
        if clock.closed_at is not None and clock.closed_at >= since
    ]


def withdrawn_entries(
    former: Tracking, tracking: Tracking, calendars: Calendars, now: int
) -> list[LedgerEntry]:
    """The open cycles of clocks that the new terms do not have: closed at `now`, without a verdict (K9)."""
    if former.terms is tracking.terms:
        return []
    gone = {clock.name for clock in former.terms.clocks} - {clock.name for clock in tracking.terms.clocks}
    if not gone:
        return []
    reading = read(former, former.history, calendars, now)
    entries = _Entries(former, reading.history)
    return [
        entries.of(clock, calendars(clock.terms.schedule_key))._replace(closed_at=now, verdict=Verdict.NONE)
        for clock in reading.clocks
        if clock.name in gone and clock.closed_at is None
    ]


def changed_since(before: Tracking, after: Tracking) -> int | None:
    """The instant from which on a change may have touched cycles; None: it has touched none.

    Facts are read in the order of their instants, so a cycle that closed before the first fact that differs
    is as it was.
    """
    if (
        before.terms is not after.terms
        or before.annotations is not after.annotations
        or before.started_at != after.started_at
        or before.accounting != after.accounting
        or before.unjudged_response != after.unjudged_response
    ):
        return EVER
    if before.facts is after.facts:
        return None
    place = first_difference(before.facts, after.facts)
    differing = (*before.facts[place : place + 1], *after.facts[place : place + 1])
    return min((fact.at for fact in differing), default=None)


def revisions(
    known: Mapping[EntryKey, Revision], closed: Iterable[LedgerEntry], clocks: Collection[str], now: int
) -> Iterator[Revision]:
    """What has to be recorded at `now`, given the last revisions that are `known` and the cycles `closed`.

    What is known of a cycle that is not closed now becomes VOID, if its clock is one of `clocks`, those that
    the terms have: of a clock that was taken away, what closed stays closed (K9). No row is recorded before
    the instant that it tells of, or before the one that it revises.
    """
    seen = set()
    for entry in closed:
        seen.add(entry.key)
        was = known.get(entry.key)
        # A number is as of its recording: when an earlier cycle turns up, the later ones are the same (K8).
        if was is None or was.entry != entry._replace(cycle=was.entry.cycle):
            yield _next(was, entry, max(now, entry.closed_at or now))
    for key, was in known.items():
        if key not in seen and was.entry.verdict is not Verdict.VOID and key[0] in clocks:
            yield _next(was, was.entry._replace(verdict=Verdict.VOID), now)


def annotated(tracking: Tracking, annotation: Annotation) -> Tracking:
    """`tracking` with an annotation, in place of one of the same cycle; itself if that says the same (A3)."""
    if annotation in tracking.annotations:
        return tracking
    others = tuple(known for known in tracking.annotations if known.cycle != annotation.cycle)
    if not (annotation.reason_code or annotation.note or annotation.excused):
        if len(others) == len(tracking.annotations):
            return tracking
        return msgspec.structs.replace(tracking, annotations=others)
    return msgspec.structs.replace(tracking, annotations=(*others, annotation))


def _next(was: Revision | None, entry: LedgerEntry, at: int) -> Revision:
    return (
        Revision(entry, 1, at) if was is None else Revision(entry, was.number + 1, max(at, was.recorded_at))
    )


def _owner_at(history: History, clock: ClockTerms, at: int) -> str:
    """Who had the ticket at an instant; for a clock of ownership: until then, as the next one closes it."""
    bisect = bisect_left if clock.kind == ClockKind.OWNERSHIP else bisect_right
    place = bisect(history.owners, at, key=itemgetter(0)) - 1
    return history.owners[place][1] if place >= 0 else ""


_NOTHING_SAID: Final = Annotation("", 0)
