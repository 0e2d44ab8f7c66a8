"""Answers that change nothing: status, list, timeline. The same whichever engine owns a ticket."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from slad.core import machine
from slad.core.access import Tenants
from slad.core.calendar import Calendar
from slad.core.reading import Reading
from slad.core.schedule import Schedule
from slad.core.status import TimerStatus, TrackingState, timer_status
from slad.core.timeline import TimelineSegment, clock_timeline, timeline
from slad.core.tracking import TicketRef, Tracking
from slad.core.wheel import INSTANT_LIMIT_MS
from slad.engine.attainment import Attainment
from slad.engine.catalog import Catalog
from slad.engine.commands import Answer
from slad.engine.dry_run import WouldChange, would_change
from slad.engine.giving_way import giving_way
from slad.engine.overview import Overview, tenant_keys
from slad.engine.terms_change import Selection, TermsChange
from slad.engine.tickets import clock_not_found, generation_not_found, not_found, sole_holder
from slad.storage.codec import AuditEntry
from slad.storage.row_reader import Record, StoredEvent
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

MAX_SCANNED: Final = 2_000
"""Trackings that one page of a list looks at; a page may be short, but never slow."""


LIVE_PAGE: Final = 256
"""Live trackings that an export reads at once."""

LIVE_SIZE: Final = 500_000
"""About their bytes: one ticket may hold as much as hundreds of others."""

FACT_SIZE: Final = 100

LIGHT: Final = 100
"""Facts and fired thresholds of a ticket that is answered for on the event loop: a fifth of a millisecond."""

HEAVY_REMEMBERED: Final = 4_096


class TrackingPage(NamedTuple):
    """One page of a list; `next_key` is None on the last."""

    trackings: list[tuple[int, Answer]]
    """With the key after which the next page would begin, were this the last of its page."""
    next_key: int | None


class LiveTracking(NamedTuple):
    """A live tracking with the schedules that its clocks count by."""

    tenant_id: str
    ticket_id: str
    tracking: Tracking
    schedules: Mapping[int, Schedule | None]
    """By key; None: every hour."""


class StatusPage(NamedTuple):
    """How some tickets stand, in the order in which they were asked for."""

    answers: list[Answer]
    not_found: list[str]
    unreadable: list[str]
    """Tickets whose row is damaged."""


class LivePage(NamedTuple):
    """Some live trackings; `next_key` is None when there are no more."""

    trackings: list[LiveTracking]
    next_key: int | None


class TrackingTimeline(NamedTuple):
    """The life of one tracking."""

    answer: Answer
    segments: tuple[TimelineSegment, ...]
    events: list[StoredEvent]
    audit: list[tuple[int, AuditEntry]]
    """(recorded_at, entry) of its commands, in order; empty when they were not asked for."""


class Queries:
    """Reads what is committed. Instants in UTC epoch ms. Used by one thread at a time."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self.attainment = Attainment(store, catalog)
        """The pieces of reports."""
        self.overview = Overview(store, catalog, self._readable)

    def status(self, tenant_id: str, ticket_id: str, generation: int | None, now: int) -> Answer:
        """How a ticket stands; its latest generation, unless another is named. Raises Refused."""
        return self.answer(self.locate(tenant_id, ticket_id, generation), now)

    def statuses(self, tenant_id: str, ticket_ids: Sequence[str], now: int) -> StatusPage:
        """How these tickets of a tenant stand, each its latest generation (X5)."""
        page = StatusPage([], [], [])
        tenant_key = self._catalog.tenant_key(tenant_id)
        if tenant_key is None:
            page.not_found.extend(ticket_ids)
            return page
        found = self._store.latest_of([(tenant_key, ticket_id) for ticket_id in dict.fromkeys(ticket_ids)])
        for ticket_id in ticket_ids:
            ticket = tenant_key, ticket_id
            record = found.get(ticket)
            if record is None and ticket in found:
                page.not_found.append(ticket_id)
            elif (answer := self._readable(record, now)) is not None:
                page.answers.append(answer)
            else:
                page.unreadable.append(ticket_id)
        return page

    def timeline(
        self,
        tenant_id: str,
        ticket_id: str,
        generation: int | None,
        now: int,
        until: int | None = None,
        *,
        clock: str = "",
        with_audit: bool = False,
    ) -> TrackingTimeline:
        """Every stretch of a life, up to `until` if that is ahead, and its events; of one clock if named.

        Raises Refused.
        """
        record = self.locate(tenant_id, ticket_id, generation)
        answer = self.answer(record, now)
        started_at, terms = record.tracking.started_at, record.tracking.terms
        history, until = answer.reading.history, max(now, until or now)
        if clock:
            of_clock = next((known for known in terms.clocks if known.name == clock), None)
            if of_clock is None:
                raise clock_not_found(ticket_id, clock)
            calendar = self._catalog.calendar(of_clock.schedule_key)
            segments = clock_timeline(started_at, history, answer.reading.cycles(clock), calendar, until)
        else:
            calendar = self._catalog.calendar(terms.schedule_key)
            segments = timeline(started_at, history, calendar, until)
        key = record.tracking_key
        audit = self._store.audit_of(key) if with_audit else []
        return TrackingTimeline(answer, segments, self._store.events_of(key), audit)

    def tenant_of(self, ticket_id: str, tenants: frozenset[str]) -> str:
        """The one of `tenants` that has such a ticket (M7). Raises Refused."""
        holders = {
            key: live
            for key, live in self._store.holders(ticket_id).items()
            if self._catalog.tenant_id(key) in tenants
        }
        return self._catalog.tenant_id(sole_holder(holders, ticket_id))

    def calendar(self, schedule_key: int) -> Calendar:
        """The compiled calendar of a schedule that a tracking counts by. Raises Unreadable."""
        return self._catalog.calendar(schedule_key)

    def page(
        self,
        tenants: Tenants,
        states: frozenset[TrackingState],
        statuses: frozenset[TimerStatus],
        due_before: int | None,
        after_key: int,
        size: int,
        now: int,
    ) -> TrackingPage:
        """The next trackings, in the order of their creation, that fit (T1); empty sets fit all."""
        found: list[tuple[int, Answer]] = []
        key = after_key
        for scanned, record in enumerate(self._records(tenants, states, after_key), start=1):
            key = record.tracking_key
            answer = self._readable(record, now) if not states or record.state in states else None
            if (
                answer is not None
                and (not statuses or timer_status(answer.reading) in statuses)
                and (due_before is None or _is_due_before(answer.reading, due_before))
            ):
                found.append((key, answer))
            if len(found) == size or scanned == MAX_SCANNED:
                return TrackingPage(found, key)
        return TrackingPage(found, None)

    def live(self, tenants: Tenants, after_key: int) -> LivePage:
        """The next live trackings of some tenants or all, in the order of their creation."""
        found: list[LiveTracking] = []
        schedules: dict[int, Schedule | None] = {}
        key: int | None = None
        size = 0
        for record in self._records(tenants, frozenset({TrackingState.ACTIVE}), after_key):
            key, tracking = record.tracking_key, record.tracking
            if record.state is TrackingState.ACTIVE:
                try:
                    for schedule_key in tracking.terms.schedule_keys - schedules.keys():
                        schedules[schedule_key] = self._catalog.schedule(schedule_key)
                except Unreadable as error:
                    self._store.unreadable.note(error)
                    continue
                tenant = self._catalog.tenant_id(record.tenant_key)
                found.append(LiveTracking(tenant, record.ticket_id, tracking, schedules))
                size += FACT_SIZE * (len(tracking.facts) + len(tracking.fired))
                size += sum(map(len, tracking.attributes.values()))
            if len(found) == LIVE_PAGE or size >= LIVE_SIZE:
                break
        return LivePage(found, key)

    def selected(self, tenant_id: str, selection: Selection, after_key: int) -> tuple[list[str], int | None]:
        """(ids of the next live tickets that are selected, the key to go on after, None at the end)."""
        found: list[str] = []
        key = after_key
        states = frozenset({TrackingState.ACTIVE})
        scanned = 0
        for record in self._records(frozenset({tenant_id}), states, after_key):
            key, scanned = record.tracking_key, scanned + 1
            if selection.fits(record.tracking.terms):
                found.append(record.ticket_id)
        return found, key if scanned == MAX_SCANNED else None

    def would_change(
        self, tenant_id: str, ticket_ids: list[str], change: TermsChange, now: int, *, suppress_past: bool
    ) -> list[WouldChange]:
        """What a change of terms would make of these tickets (M9); those that are not live are left out."""
        tenant_key = self._catalog.tenant_key(tenant_id)
        if tenant_key is None:
            return []
        found = self._store.latest_of([(tenant_key, ticket_id) for ticket_id in ticket_ids])
        live = [record for record in found.values() if record and record.state is TrackingState.ACTIVE]
        return would_change(live, self._catalog, change, now, suppress_past=suppress_past)

    def keys(
        self, tenants: Tenants, state: TrackingState, after_key: int, size: int
    ) -> tuple[list[int], int | None]:
        """(keys of the next trackings in `state`, the key to go on after, None at the end).

        Looks at `size` trackings.
        """
        records = list(islice(self._records(tenants, frozenset({state}), after_key), size))
        next_key = records[-1].tracking_key if len(records) == size else None
        return [record.tracking_key for record in records if record.state is state], next_key

    def _records(
        self, tenants: Tenants, states: frozenset[TrackingState], after_key: int
    ) -> Iterator[Record]:
        if tenants is None:
            return giving_way(self._store.of_all(after_key, MAX_SCANNED))
        return giving_way(
            heapq.merge(
                *(
                    self._store.of_tenant(tenant_key, state, after_key, MAX_SCANNED)
                    for tenant_key in tenant_keys(self._catalog, tenants)
                    for state in states or TrackingState
                ),
                key=attrgetter("tracking_key"),
            )
        )

    def next_wakes(self, limit: int, now: int, tenants: Tenants = None) -> list[tuple[int, Answer]]:
        """(wake_at, how the ticket stands) of the earliest `limit` that wake, of some tenants or all."""
        if tenants is None:
            wakes = self._store.wakes(0, INSTANT_LIMIT_MS, limit)
        else:
            of_each = [self._store.wakes_of_tenant(key, limit) for key in tenant_keys(self._catalog, tenants)]
            wakes = list(islice(heapq.merge(*of_each), limit))
        records = self._store.by_keys([key for _, key in wakes])
        answers = [(wake_at, self._readable(records.get(key), now)) for wake_at, key in giving_way(wakes)]
        return [(wake_at, answer) for wake_at, answer in answers if answer is not None]

    def locate(self, tenant_id: str, ticket_id: str, generation: int | None) -> Record:
        """A generation of a ticket; None: the latest. Raises Refused."""
        if tenant_id:
            tenant_key = self._catalog.tenant_key(tenant_id)
        else:
            tenant_key = sole_holder(self._store.holders(ticket_id), ticket_id)
        if tenant_key is None:
            raise not_found(ticket_id, tenant_id)
        if generation is None:
            record = self._store.latest(tenant_key, ticket_id)
        else:
            record = self._store.generation(tenant_key, ticket_id, generation)
            if record is None and self._store.latest(tenant_key, ticket_id) is not None:
                raise generation_not_found(ticket_id, generation)
        if record is None:
            raise not_found(ticket_id, tenant_id)
        return record

    def _readable(self, record: Record | None, now: int) -> Answer | None:
        """How a ticket stands; None when it is not there or cannot be read."""
        try:
            return self.answer(record, now) if record else None
        except Unreadable as error:
            self._store.unreadable.note(error)
            return None

    def answer(self, record: Record, now: int) -> Answer:
        """How it stands. Raises Unreadable."""
        tracking = record.tracking
        return Answer(
            TicketRef(self._catalog.tenant_id(record.tenant_key), record.ticket_id, record.generation),
            record.state,
            tracking,
            machine.reading_at(tracking, self._catalog.calendar, now),
            changed=False,
        )


class LoopQueries:
    """Queries on the event loop's thread. Those of one iteration of the loop share a read transaction.

    None misses a commit that its caller can know of: whoever was answered before it asked, asked in a later
    iteration. `store` must be read by nobody else, as others may have to see newer commits.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._queries = Queries(store, catalog)
        self._reading = False
        self._heavy: set[tuple[str, str]] = set()
        """Tickets that were found to be too heavy for the loop; not even to be read there."""

    def status(self, tenant_id: str, ticket_id: str, generation: int | None, now: int) -> Answer | None:
        """See `Queries.status`. None: the ticket holds so much that it is to be asked for beside the loop.

        Hundreds may ask within one iteration of the loop, for which a timer waits.
        """
        ticket = tenant_id, ticket_id
        if ticket in self._heavy:
            return None
        self._begin()
        record = self._queries.locate(tenant_id, ticket_id, generation)
        if len(record.tracking.facts) + len(record.tracking.fired) <= LIGHT:
            return self._queries.answer(record, now)
        if len(self._heavy) >= HEAVY_REMEMBERED:
            self._heavy.clear()
        self._heavy.add(ticket)
        return None

    def _begin(self) -> None:
        if not self._reading:
            self._store.begin()
            self._reading = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._reading = False
        self._store.end()


def _is_due_before(reading: Reading, instant: int) -> bool:
    return any(
        clock.closed_at is None and clock.due_at is not None and clock.due_at < instant
        for clock in reading.clocks
    )
