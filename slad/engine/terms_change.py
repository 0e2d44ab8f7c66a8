"""A change of some terms of many trackings; whatever is left out stays as it is in each (M9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from slad.core import machine
from slad.core.errors import BadTarget, InvalidField
from slad.core.reading import Calendars, Reading
from slad.core.settle import Transition
from slad.core.terms import ClockTerms, Terms, ThresholdSpec
from slad.core.tracking import CycleKey, Tracking
from slad.engine.catalog import EVERY_HOUR
from slad.engine.commands import Command, KeyOf, ScheduleOffer, TermsOffer, place_for


class Selection(NamedTuple):
    """Which live trackings of a tenant to change; one of the three fields is given."""

    schedule_id: str = ""
    policy_id: str = ""
    ticket_ids: tuple[str, ...] = ()
    """Each once."""

    def fits(self, terms: Terms) -> bool:
        """Whether a tracking with these terms is selected; those that are named by their ticket are."""
        if self.ticket_ids:
            return True
        if self.policy_id:
            return terms.policy_id == self.policy_id
        return terms.counts_by(self.schedule_id)


class TermsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changes. Empty: it stays."""

    policy_id: str = ""
    targets: tuple[TermsOffer, ...] = ()
    """Only the targets of these count; a tracking's priority chooses its target."""
    replaces_schedule: bool = False
    schedule: ScheduleOffer | None = None
    """With `replaces_schedule`; None: every hour counts."""
    schedule_id: str = ""
    of_schedule: str = ""
    """The id of the schedules that are replaced, also those of named clocks; empty: those of the tickets."""
    notification_percents: tuple[int, ...] = ()
    clocks: TermsOffer | None = None
    """Only the named clocks of it count."""

    def applied_to(self, terms: Terms, key_of: KeyOf) -> Terms:
        """The terms with the change, due dates without their open time. Raises InvalidField."""
        former_key = terms.schedule_key
        replaces = self.replaces_schedule and (
            self.of_schedule in ("", terms.schedule_id) or not terms.follows_schedule
        )
        if self.policy_id:
            terms = msgspec.structs.replace(terms, policy_id=self.policy_id)
        if self.notification_percents:
            terms = msgspec.structs.replace(terms, notification_percents=self.notification_percents)
        follows = terms.follows_schedule
        if self.targets:
            target = self._target(terms.priority_id)
            follows = target.schedule_id is not None
            if follows and not terms.follows_schedule and not self.replaces_schedule:
                raise InvalidField("schedule", "REQUIRED", "a target that is not 24x7 needs a schedule")
            terms = msgspec.structs.replace(
                terms,
                response_ms=target.response_ms,
                resolution_ms=target.resolution_ms,
                escalation_percents=target.escalation_percents,
                response_due_at=target.response_due_at,
                resolution_due_at=target.resolution_due_at,
            )
        if not follows:
            terms = msgspec.structs.replace(terms, schedule_key=EVERY_HOUR, schedule_id=None)
        elif replaces:
            key = key_of(self.schedule)
            terms = msgspec.structs.replace(terms, schedule_key=key, schedule_id=self.schedule_id)
        if self.clocks is not None:
            named = self.clocks.named(key_of, terms.schedule_key)
        elif terms.named:
            named = tuple(self._clock(clock, former_key, terms.schedule_key, key_of) for clock in terms.named)
        else:
            return terms
        return msgspec.structs.replace(terms, named=named)

    def _clock(self, clock: ClockTerms, former_key: int, ticket_key: int, key_of: KeyOf) -> ClockTerms:
        """A named clock that stays, given the former and the present key of the ticket's schedule."""
        if clock.follows(former_key):
            return msgspec.structs.replace(clock, schedule_key=ticket_key)
        if self.replaces_schedule and self.of_schedule and clock.schedule_id == self.of_schedule:
            key = key_of(self.schedule)
            return msgspec.structs.replace(clock, schedule_key=key, schedule_id=self.schedule_id)
        return clock

    @property
    def offer(self) -> TermsOffer:
        """Its schedule and clocks, for a check of what a ticket's carrier can carry."""
        clocks = self.clocks.clocks if self.clocks else ()
        return TermsOffer("", 0, 0, (), (0, 0, 0), self.schedule, "", clocks)

    def _target(self, priority_id: str) -> TermsOffer:
        place = place_for(priority_id, [target.priority_id for target in self.targets])
        if place is None:
            raise InvalidField("targets", "NO_TARGET", f"no target has priority_id {priority_id!r}")
        return self.targets[place]

    def refused(self, error: BadTarget, priority_id: str) -> InvalidField:
        """The error for a target that cannot be, with the path of its field."""
        if self.clocks is not None and error.clock in {offer.terms.name for offer in self.clocks.clocks}:
            return self.clocks.refused(error)
        if self.targets:
            return self._target(priority_id).refused(error)
        return InvalidField("schedule", "DEADLINE_OUT_OF_RANGE", "a threshold would fall past the year 9999")


class ChangeTerms(Command, frozen=True, kw_only=True):
    """Changes some of the terms of a live tracking, as one of many."""

    change: TermsChange
    suppress_past: bool = False


class ClockDifference(NamedTuple):
    """What becomes of one cycle of a clock. Instants in UTC epoch ms; None: there is no such clock."""

    clock: str
    cycle: int
    due_before: int | None
    due_after: int | None
    fired: list[int]
    """Percents that fire at once, silently or not."""
    retracted: list[int]


def changed_terms(
    tracking: Tracking,
    change: TermsChange,
    key_of: KeyOf,
    calendars: Calendars,
    now: int,
    *,
    suppress_past: bool,
) -> Transition:
    """What a change of terms amounts to for a live tracking (M5, M9). Raises InvalidField, Refused."""
    terms = change.applied_to(tracking.terms, key_of)
    try:
        return machine.retarget(tracking, terms, calendars, now, suppress_past=suppress_past)
    except BadTarget as error:
        raise change.refused(error, terms.priority_id) from None


def differences(
    before: Tracking, reading: Reading, after: Tracking, reading_after: Reading
) -> Iterator[ClockDifference]:
    """The open cycles whose deadline or thresholds differ between two states of a tracking, as read."""
    fired, fired_after = _fired(before), _fired(after)
    found, found_after = _open(reading), _open(reading_after)
    for key in dict.fromkeys((*found, *found_after)):
        name, cycle, due_before, specs = found.get(key) or (*found_after[key][:2], None, None)
        due_after, specs_after = found_after[key][2:] if key in found_after else (None, None)
        fires = sorted(percent for cycle_key, percent in fired_after - fired if cycle_key == key)
        retracted = sorted(percent for cycle_key, percent in fired - fired_after if cycle_key == key)
        if (due_before, specs) != (due_after, specs_after) or fires or retracted:
            yield ClockDifference(name, cycle, due_before, due_after, fires, retracted)


def _fired(tracking: Tracking) -> set[tuple[CycleKey, int]]:
    return {(fired.cycle, fired.percent) for fired in tracking.fired if fired.fired_at}


def _open(
    reading: Reading,
) -> dict[CycleKey, tuple[str, int, int | None, tuple[ThresholdSpec, ...] | None]]:
    return {
        clock.key: (clock.name, clock.number, clock.due_at, clock.specs)
        for clock in reading.clocks
        if clock.closed_at is None
    }
