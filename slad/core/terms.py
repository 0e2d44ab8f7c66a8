"""What was promised: targets, thresholds, and the schedule they count by (C1, C4)."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from slad.core.errors import InvalidField
from slad.core.events import PHASES, Phase

CLOCK_NAME: Final = re.compile("[a-z][a-z0-9_-]{0,63}")
"""The names that a clock may have (K1)."""

BREACH_PERCENT: Final = 100
MAX_PERCENT: Final = 1_000
DEFAULT_NOTIFICATION_PERCENTS: Final = (50, 75, 90)


MAX_MINUTES: Final = 10_000 * 366 * 24 * 60
"""Minutes that no deadline can have; keeps arithmetic within 64 bits."""


def check_percent(field: str, percent: int) -> None:
    """Raises InvalidField for what is no percent of a target (C4)."""
    if not 1 <= percent <= MAX_PERCENT:
        text = f"{percent} is not a percent from 1 to {MAX_PERCENT}"
        raise InvalidField(field, "PERCENT_OUT_OF_RANGE", text)


def check_minutes(field: str, minutes: int) -> None:
    """Raises InvalidField for minutes that are no target (C1)."""
    if minutes <= 0:
        raise InvalidField(field, "NOT_POSITIVE", "a target is at least one minute; leave it out for none")
    if minutes > MAX_MINUTES:
        raise InvalidField(field, "DEADLINE_OUT_OF_RANGE", "the deadline would fall past the year 9999")


class ClockKind(IntEnum):
    """How a clock reads the facts into cycles (K2). The numbers are those of the contract, and stored."""

    RESPONSE = 1
    RESOLUTION = 2
    FROM_START = 3
    NEXT_REPLY = 4
    PERIODIC_UPDATE = 5
    OWNERSHIP = 6


class ClockTerms(msgspec.Struct, frozen=True, array_like=True):
    """What one clock promises (K1)."""

    name: str
    kind: int
    target_ms: int
    """Open time allowed for a cycle, in ms."""
    notification_percents: tuple[int, ...]
    """Empty: those of the ticket."""
    escalation_percents: tuple[int, int, int]
    """Percents of levels 1 to 3; 0: no such level."""
    schedule_key: int
    """Key of the stored schedule; 0: every hour counts."""
    paused_by: tuple[str, ...] | None = None
    """The codes of the reasons that stop it; None: every reason; empty: none (K5)."""
    owner: str = ""
    """Of OWNERSHIP: whose cycles it counts; empty: anybody's."""
    schedule_id: str | None = None
    """The caller's id of a schedule that is the clock's own, "" if it gave none; None: the clock counts by
    that of the ticket, or nothing is known of an id."""

    def follows(self, ticket_schedule_key: int) -> bool:
        """Whether it counts by the ticket's schedule, whatever that becomes."""
        return self.schedule_id is None and self.schedule_key == ticket_schedule_key

    @property
    def is_unnamed(self) -> bool:
        """Whether it is one of the two that need no name: response or resolution (C1)."""
        return self.kind <= ClockKind.RESOLUTION

    @property
    def has_one_cycle(self) -> bool:
        """Whether its only cycle opens at the start, so that it is the same whatever the start is (K4)."""
        return self.kind <= ClockKind.FROM_START


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """The terms of a tracking. Immutable; a retarget replaces them whole (M5)."""

    policy_id: str
    priority_id: str
    response_ms: int
    """Open time allowed until the response, in ms; 0: no response clock."""
    resolution_ms: int
    """Open time allowed until the resolution, in ms; 0: no resolution clock."""
    notification_percents: tuple[int, ...]
    escalation_percents: tuple[int, int, int]
    """Percents of levels 1 to 3; 0: no such level."""
    schedule_key: int
    """Key of the stored schedule; 0: every hour counts."""
    named: tuple[ClockTerms, ...] = ()
    """The clocks that have to be named, and what stops response and resolution if not every reason (K1)."""
    schedule_id: str | None = None
    """The caller's own id of the schedule, "" if it gave none; None: not known, or the target is 24x7."""
    response_due_at: int = 0
    """The fixed due date that the response's target was given as, UTC epoch ms; 0: it was minutes."""
    resolution_due_at: int = 0

    @property
    def follows_schedule(self) -> bool:
        """Whether these terms count by a schedule, be it one that is 24x7, not by a target that is."""
        return self.schedule_key != 0 or self.schedule_id is not None

    def same_as(self, other: Terms) -> bool:
        """Whether the two promise the same, whatever the caller calls the schedules."""
        return self._without_ids() == other._without_ids()

    def _without_ids(self) -> Terms:
        named = tuple(msgspec.structs.replace(clock, schedule_id=None) for clock in self.named)
        return msgspec.structs.replace(self, schedule_id=None, named=named)

    def counts_by(self, schedule_id: str) -> bool:
        """Whether a clock of it counts by the schedule that the caller calls so."""
        return schedule_id in (self.schedule_id, *(clock.schedule_id for clock in self.named))

    def due_at(self, phase: Phase) -> int:
        """The fixed due date of `phase` (UTC epoch ms), 0 for none."""
        return self.response_due_at if phase is Phase.RESPONSE else self.resolution_due_at

    def target_ms(self, phase: Phase) -> int:
        """The target of `phase` in ms, 0 for none."""
        return self.response_ms if phase is Phase.RESPONSE else self.resolution_ms

    @property
    def promises(self) -> tuple[Promise, ...]:
        """All clocks: response and resolution, as far as they have a target, then the named ones."""
        return _promises(
            self.response_ms,
            self.resolution_ms,
            self.notification_percents,
            self.escalation_percents,
            self.schedule_key,
            self.named,
        )

    @property
    def clocks(self) -> tuple[ClockTerms, ...]:
        """What each of its clocks promises."""
        return tuple(promise.clock for promise in self.promises)

    @property
    def schedule_keys(self) -> frozenset[int]:
        """The keys of all schedules that its clocks count by."""
        return frozenset({self.schedule_key, *(clock.schedule_key for clock in self.named)})


class Promise(NamedTuple):
    """A clock, with what follows from its terms."""

    clock: ClockTerms
    specs: tuple[ThresholdSpec, ...]
    """Its thresholds, ascending."""
    needs: list[int]
    """The open ms at which each of them is reached."""
    breach: int
    """The place of 100 % among them."""
    key: tuple[int | str, int] | None
    """What makes its cycle the same (K4); None when it has several, which their openings tell apart."""


@lru_cache(maxsize=1024)
def _promises(
    response_ms: int,
    resolution_ms: int,
    notifications: tuple[int, ...],
    escalations: tuple[int, int, int],
    schedule_key: int,
    named: tuple[ClockTerms, ...],
) -> tuple[Promise, ...]:
    heeded = {clock.name: clock.paused_by for clock in named if clock.is_unnamed}
    unnamed = [
        ClockTerms(name, phase.value, target_ms, notifications, escalations, schedule_key, heeded.get(name))
        for (name, phase), target_ms in zip(PHASES.items(), (response_ms, resolution_ms), strict=True)
        if target_ms
    ]
    clocks = [*unnamed, *(clock for clock in named if not clock.is_unnamed)]
    return tuple(_promise(clock, clock.notification_percents or notifications) for clock in clocks)


def _promise(clock: ClockTerms, notifications: tuple[int, ...]) -> Promise:
    specs, breach = _thresholds(notifications, clock.escalation_percents)
    # The first ms at which that much has counted: a target of whole minutes has whole percents (C3).
    needs = [-(-clock.target_ms * spec.percent // 100) for spec in specs]
    key: tuple[int | str, int] | None = None
    if clock.has_one_cycle:
        key = clock.kind if clock.is_unnamed else clock.name, 0
    return Promise(clock, specs, needs, breach, key)


class Thresholds(NamedTuple):
    """All thresholds of a clock (C4)."""

    specs: tuple[ThresholdSpec, ...]
    """Ascending."""
    breach: int
    """The place of 100 % among them."""


class ThresholdSpec(NamedTuple):
    """One percent of a target and what it stands for (C4)."""

    percent: int
    notification: bool
    escalation_level: int
    breach: bool


@lru_cache(maxsize=1024)
def _thresholds(notifications: tuple[int, ...], escalations: tuple[int, int, int]) -> Thresholds:
    levels = {percent: level for level, percent in enumerate(escalations, start=1) if percent > 0}
    notify = {*notifications, BREACH_PERCENT}
    percents = sorted(notify | levels.keys())
    specs = tuple(
        ThresholdSpec(percent, percent in notify, levels.get(percent, 0), percent == BREACH_PERCENT)
        for percent in percents
    )
    return Thresholds(specs, percents.index(BREACH_PERCENT))
