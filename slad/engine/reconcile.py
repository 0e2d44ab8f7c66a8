"""Compares a PSA's list of open tickets with slad's, in one consistent view of slad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

import msgspec

from slad.core.errors import InvalidField
from slad.core.events import Phase
from slad.core.facts import Fact, FactKind
from slad.core.history import History, Hold, Stop, fold
from slad.core.instants import MINUTE_MS, format_instant
from slad.core.status import TrackingState
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.tracking import PauseAccounting, Tracking
from slad.engine.catalog import EVERY_HOUR, Catalog
from slad.engine.commands import Mend, ScheduleOffer, Start
from slad.storage.row_reader import Record
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

PAGE = 512
"""Live trackings that are read at once when orphans are looked for."""


class DifferenceKind(IntEnum):
    """What a difference is about. The numbers are those of the wire contract."""

    MISSING = 1
    ORPHANED = 2
    DIFFERENT_TARGET = 3
    DIFFERENT_PAUSE = 4
    DIFFERENT_COMPLETION = 5


class Difference(NamedTuple):
    """One thing on which both differ; the values are texts for people."""

    kind: DifferenceKind
    field: str
    psa_value: str
    slad_value: str


class TicketDifferences(NamedTuple):
    """Everything that differs about one ticket, and the command that would mend it."""

    ticket_id: str
    differences: list[Difference]
    mend: Mend


class Reconciliation:
    """Compares the rows of one tenant with a snapshot (see `Store.snapshot`). For one thread at a time.

    Instants of starts, pauses and responses that differ by `tolerance_ms` or less are the same.
    """

    def __init__(self, snapshot: Store, tenant_id: str, tolerance_ms: int = 0) -> None:
        self._tolerance_ms = tolerance_ms
        self._store = snapshot
        self._catalog = Catalog(snapshot)
        self._tenant_id = tenant_id
        self._tenant_key = self._catalog.tenant_key(tenant_id)
        self._listed: set[int] = set()
        self.is_given_up = False
        """Nobody waits for the result any more: the rest is skipped."""
        self._missing: set[str] = set()

    def compare(self, wanted: Start) -> TicketDifferences | None:
        """What differs about the ticket of one row; nothing if slad's own row is damaged.

        Raises InvalidField when it is listed twice.
        """
        record = None
        if self._tenant_key is not None:
            try:
                record = self._store.latest(self._tenant_key, wanted.ticket_id)
            except Unreadable:
                return None
        if record is None or record.state is not TrackingState.ACTIVE:
            if wanted.ticket_id in self._missing:
                raise _listed_twice(wanted.ticket_id)
            self._missing.add(wanted.ticket_id)
            state = "" if record is None else record.state.name
            missing = Difference(DifferenceKind.MISSING, "state", TrackingState.ACTIVE.name, state)
            return self._finding(wanted.ticket_id, [missing], wanted, None)
        if record.tracking_key in self._listed:
            raise _listed_twice(wanted.ticket_id)
        self._listed.add(record.tracking_key)
        if self._tolerance_ms:
            wanted = _snapped(wanted, record.tracking, self._tolerance_ms)
        differences = [*self._of_terms(wanted, record), *_of_facts(wanted, record)]
        return self._finding(wanted.ticket_id, differences, wanted, record) if differences else None

    def orphans(self) -> Iterator[TicketDifferences]:
        """The live trackings that were in no row."""
        if self._tenant_key is None:
            return
        after = 0
        while page := list(self._store.of_tenant(self._tenant_key, TrackingState.ACTIVE, after, PAGE)):
            if self.is_given_up:
                return
            after = page[-1].tracking_key
            for record in page:
                if record.tracking_key not in self._listed:
                    orphaned = Difference(DifferenceKind.ORPHANED, "state", "", TrackingState.ACTIVE.name)
                    yield self._finding(record.ticket_id, [orphaned], None, record)

    def _finding(
        self, ticket_id: str, differences: list[Difference], wanted: Start | None, found: Record | None
    ) -> TicketDifferences:
        mend = Mend(
            tenant_id=self._tenant_id,
            ticket_id=ticket_id,
            wanted=wanted,
            expected=found.tracking if found else None,
        )
        return TicketDifferences(ticket_id, differences, mend)

    def _of_terms(self, wanted: Start, record: Record) -> Iterator[Difference]:
        offer = wanted.terms
        asked = _spell_terms(offer.under(self._key_of, wanted.policy_id), offer.target_path)
        known = _spell_terms(record.tracking.terms, offer.target_path)
        if not offer.notification_percents:
            del asked["start.notification_thresholds"]
        if not offer.clocks:
            del asked["start.clocks"]
        asked["start.pause_accounting"] = wanted.accounting.name
        known["start.pause_accounting"] = PauseAccounting(record.tracking.accounting).name
        if wanted.started_at is not None:
            asked["start.started_at"] = format_instant(wanted.started_at)
            known["start.started_at"] = format_instant(record.tracking.started_at)
        for field, value in asked.items():
            if value != known[field]:
                yield Difference(DifferenceKind.DIFFERENT_TARGET, field, value, known[field])

    def _key_of(self, schedule: ScheduleOffer | None) -> int:
        if schedule is None:
            return EVERY_HOUR
        # One that slad has never stored differs from whatever it has.
        return self._catalog.schedule_key(schedule.digest) or -1


def _snapped(wanted: Start, tracking: Tracking, tolerance_ms: int) -> Start:
    """`wanted` with slad's own instants where they differ by no more than the tolerance."""
    started_at = wanted.started_at
    if started_at is not None and abs(started_at - tracking.started_at) <= tolerance_ms:
        started_at = tracking.started_at
    own = list(_instants(tracking.history))
    facts: list[Fact] = []
    for fact in wanted.facts:
        near = [at for kind, at in own if kind == fact.kind and abs(at - fact.at) <= tolerance_ms]
        at = min(near, key=lambda at: abs(at - fact.at), default=fact.at)
        if near:
            own.remove((FactKind(fact.kind), at))
        # Not out of order, and not before a start that is another than slad's.
        earliest = facts[-1].at if facts else started_at or at
        facts.append(msgspec.structs.replace(fact, at=max(at, earliest)))
    return msgspec.structs.replace(wanted, started_at=started_at, facts=tuple(facts))


def _instants(history: History) -> Iterator[tuple[FactKind, int]]:
    for stop in history.stops:
        if stop.reason:
            yield FactKind.PAUSE, stop.from_ms
        if stop.resumed and stop.to_ms is not None:
            yield FactKind.RESUME, stop.to_ms
    if history.response_at is not None:
        yield FactKind.RESPOND, history.response_at


def _of_facts(wanted: Start, record: Record) -> Iterator[Difference]:
    asked = fold(wanted.facts, unjudged_response=wanted.unjudged_response)
    known = record.tracking.history
    if pauses := different_pauses(asked, known):
        yield Difference(DifferenceKind.DIFFERENT_PAUSE, "pauses", *pauses)
    if asked.response_at != known.response_at:
        yield Difference(
            DifferenceKind.DIFFERENT_COMPLETION,
            "response_completed_at",
            _spell_instant(asked.response_at),
            _spell_instant(known.response_at),
        )


def _spell_terms(terms: Terms, target_path: str) -> dict[str, str]:
    """Terms by the path of their field in a row, in words."""
    target = f"start.{target_path}"
    spelt = {
        "start.policy_id": terms.policy_id,
        "start.priority_id": terms.priority_id,
        "start.schedule": _spell_schedule(terms.schedule_key),
        "start.notification_thresholds": ", ".join(map(str, terms.notification_percents)),
    }
    for phase in Phase:
        due_at, minutes = terms.due_at(phase), terms.target_ms(phase) // MINUTE_MS
        spelt[f"{target}.{phase.name.lower()}_due_at"] = format_instant(due_at) if due_at else ""
        spelt[f"{target}.{phase.name.lower()}_time_minutes"] = str(minutes) if minutes and not due_at else ""
    for level, percent in enumerate(terms.escalation_percents, start=1):
        spelt[f"{target}.escalation_{level}_percent"] = str(percent) if percent else ""
    spelt["start.clocks"] = ", ".join(map(_spell_clock, terms.named))
    return spelt


def _spell_clock(clock: ClockTerms) -> str:
    paused_by = "every reason" if clock.paused_by is None else " ".join(clock.paused_by) or "no reason"
    words = [
        f"{clock.name}: {ClockKind(clock.kind).name}",
        f"{clock.target_ms // MINUTE_MS} min",
        "/".join(map(str, clock.notification_percents)),
        "/".join(map(str, filter(None, clock.escalation_percents))),
        _spell_schedule(clock.schedule_key),
        f"paused by {paused_by}",
        clock.owner and f"of {clock.owner}",
    ]
    return " ".join(filter(None, words))


def _spell_schedule(schedule_key: int) -> str:
    if schedule_key == EVERY_HOUR:
        return "24x7"
    return "a schedule not seen before" if schedule_key < 0 else f"schedule {schedule_key}"


def different_pauses(asked: History, known: History) -> tuple[str, str] | None:
    """The pauses of both in words, if they differ.

    A row does not say in which order facts of the same instant arrived (K6), so that order is no difference.
    """
    holds = _spell_stretches(asked.holds), _spell_stretches(known.holds)
    if holds[0] == holds[1]:
        return None
    asked_stops, known_stops = ([s for s in history.stops if s.reason] for history in (asked, known))
    # A PSA may know of one reason at a time; only one that says more is held against every reason (K5).
    if len(asked.holds) > len(asked_stops):
        return holds
    stops = _spell_stretches(asked_stops), _spell_stretches(known_stops)
    return None if stops[0] == stops[1] else stops


def _spell_stretches(stretches: Iterable[Stop | Hold]) -> str:
    """In words, in order, without those that ended when they began."""
    shown = [stretch for stretch in stretches if stretch.to_ms is None or stretch.from_ms < stretch.to_ms]
    shown.sort(key=lambda stretch: (stretch.from_ms, stretch.reason))
    return ", ".join(
        f"{_spell_instant(one.from_ms)}/{_spell_instant(one.to_ms)} {one.reason}" for one in shown
    )


def _spell_instant(instant: int | None) -> str:
    return "" if instant is None else format_instant(instant)


def _listed_twice(ticket_id: str) -> InvalidField:
    return InvalidField("start.ticket_id", "LISTED_TWICE", f"ticket {ticket_id!r} is in the list already")
