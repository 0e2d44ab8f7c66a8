"""What an engine can be told. Values only; instants are UTC epoch ms, None for "not given"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

import msgspec

from slad.core.calendar import Calendar
from slad.core.due_dates import NoOpenTime
from slad.core.errors import BadTarget, InvalidField
from slad.core.events import RESPONSE, PauseReason
from slad.core.facts import Fact
from slad.core.machine import ReopenMode
from slad.core.reading import Reading
from slad.core.schedule import Schedule
from slad.core.status import TrackingState
from slad.core.terms import DEFAULT_NOTIFICATION_PERCENTS, ClockTerms, Terms
from slad.core.tracking import Fired, PauseAccounting, TicketRef, Tracking


class OnExisting(IntEnum):
    """What a start does when the ticket has a tracking already (M1). Numbers of the wire contract."""

    KEEP = 1
    REPLACE = 2
    FAIL = 3
    CONTINUE_CANCELLED = 4
    CONTINUE_OR_NEW = 5


class ResponseOnResolution(IntEnum):
    """What becomes of a response that was never recorded (K7). Numbers of the wire contract."""

    COUNTS = 1
    UNJUDGED = 2


class MessageSender(IntEnum):
    """Who wrote (K2). Numbers of the wire contract."""

    CUSTOMER = 1
    AGENT = 2


class ScheduleOffer(NamedTuple):
    """A schedule with its content address and stored form (see `slad.storage.codec`)."""

    schedule: Schedule
    digest: bytes
    body: bytes
    calendar: Calendar | None = None
    """The compiled schedule, if it is large; None: compile it when it is needed."""


KeyOf = Callable[[ScheduleOffer | None], int]
"""The key of a schedule; None: every hour counts."""


def place_for(priority_id: str, priorities: list[str]) -> int | None:
    """The place of the target for a priority among targets with these; None: there is none.

    A target without a priority stands for any that is not listed.
    """
    return next((priorities.index(wanted) for wanted in (priority_id, "") if wanted in priorities), None)


class ClockOffer(NamedTuple):
    """A named clock as a caller states it."""

    terms: ClockTerms
    """With a schedule key that means nothing yet."""
    schedule: ScheduleOffer | None
    """Its own, if it has one (see `ClockTerms.schedule_id`); None: every hour counts."""
    path: str
    """Where it stood in the request, for errors: `clocks[0]`."""


class TermsOffer(msgspec.Struct, frozen=True):
    """Terms as a caller states them: with the schedules themselves, and where in the request they stood."""

    priority_id: str
    response_ms: int
    resolution_ms: int
    notification_percents: tuple[int, ...]
    """Empty: the caller says nothing of them."""
    escalation_percents: tuple[int, int, int]
    schedule: ScheduleOffer | None
    """None: every hour counts."""
    target_path: str
    """The path of the chosen target in the request, for errors: `targets[0]`."""
    clocks: tuple[ClockOffer, ...] = ()
    """The named ones (K1)."""
    schedule_id: str | None = None
    """As in Terms."""
    response_due_at: int = 0
    resolution_due_at: int = 0
    """Fixed due dates in place of minutes, UTC epoch ms."""

    def clock(self, name: str) -> ClockTerms | None:
        """The named clock of that name."""
        return next((offer.terms for offer in self.clocks if offer.terms.name == name), None)

    def under(self, key_of: KeyOf, policy_id: str) -> Terms:
        """The terms, given what keys their schedules have and the policy that they come from.

        Without notification thresholds of their own they have the default ones (C4).
        """
        schedule_key = key_of(self.schedule)
        return Terms(
            policy_id,
            self.priority_id,
            self.response_ms,
            self.resolution_ms,
            self.notification_percents or DEFAULT_NOTIFICATION_PERCENTS,
            self.escalation_percents,
            schedule_key,
            self.named(key_of, schedule_key),
            self.schedule_id,
            self.response_due_at,
            self.resolution_due_at,
        )

    def named(self, key_of: KeyOf, schedule_key: int) -> tuple[ClockTerms, ...]:
        """The named clocks, given the key of the ticket's own schedule."""
        return tuple(
            msgspec.structs.replace(
                clock.terms,
                schedule_key=schedule_key if clock.terms.schedule_id is None else key_of(clock.schedule),
            )
            for clock in self.clocks
        )

    def refused(self, error: BadTarget) -> InvalidField:
        """The error for a target that cannot be, with the path of its field (B6)."""
        if isinstance(error, NoOpenTime):
            return InvalidField(
                f"{self.target_path}.{error.clock}_due_at",
                "NO_OPEN_TIME",
                "there is no open time from the start to this due date, pauses left out",
            )
        return InvalidField(
            self._path_of(error.clock),
            "DEADLINE_OUT_OF_RANGE",
            "a threshold of this target would fall past the year 9999",
        )

    def _path_of(self, clock: str) -> str:
        for offer in self.clocks:
            if offer.terms.name == clock:
                return f"{offer.path}.target_minutes"
        is_fixed = self.response_due_at if clock == RESPONSE else self.resolution_due_at
        return f"{self.target_path}.{clock}_{'due_at' if is_fixed else 'time_minutes'}"


class RequestIdentity(msgspec.Struct, frozen=True):
    """A command that may be sent again (M6)."""

    scope: str
    """The tenant_id of the request, as given."""
    request_id: str
    fingerprint: bytes
    """Equal for equal requests."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one ticket."""

    tenant_id: str
    """Empty: the one tenant under which the ticket is live (M7)."""
    ticket_id: str
    request: RequestIdentity | None = None
    token_id: str = ""
    """The token that it came with, for the audit; empty: without one."""


class Start(Command, frozen=True, kw_only=True):
    """Starts the clocks of a ticket (M1)."""

    policy_id: str
    terms: TermsOffer
    started_at: int | None = None
    on_existing: OnExisting = OnExisting.KEEP
    suppress_past: bool = False
    accounting: PauseAccounting = PauseAccounting.BUSINESS_TIME
    attributes: Mapping[str, str] = {}
    unjudged_response: bool = False
    """A response that the resolution brings with it has no verdict (K7)."""
    continue_within_ms: int | None = None
    facts: tuple[Fact, ...] = ()
    """What has happened to the ticket already, when it is imported; in order."""
    fired: tuple[Fired, ...] = ()
    """What was announced of it already, when it is imported."""


class Pause(Command, frozen=True, kw_only=True):
    """Stops both clocks (M2)."""

    reason: PauseReason
    reason_code: str = ""
    """Of a reason that is OTHER (K5)."""
    effective_at: int | None = None


class Resume(Command, frozen=True, kw_only=True):
    """Lets go of one reason, or of all (M2, K5)."""

    reason: PauseReason | None = None
    """None: every reason."""
    reason_code: str = ""
    effective_at: int | None = None


class Complete(Command, frozen=True, kw_only=True):
    """Closes the open cycle of a clock; the resolution closes all and the tracking (M3, K3)."""

    clock: str
    """By name, response and resolution too."""
    discard: bool = False
    """Without a verdict."""
    reported_met: bool | None = None
    effective_at: int | None = None


class RecordMessage(Command, frozen=True, kw_only=True):
    """Somebody wrote on the ticket (K2)."""

    sender: MessageSender
    effective_at: int | None = None


class Assign(Command, frozen=True, kw_only=True):
    """The ticket has another owner (K2)."""

    owner: str
    """Empty: nobody."""
    effective_at: int | None = None


class Cancel(Command, frozen=True, kw_only=True):
    """Ends the tracking without a verdict (M4)."""

    effective_at: int | None = None


class Retarget(Command, frozen=True, kw_only=True):
    """Puts the tracking under new terms (M5)."""

    policy_id: str
    terms: TermsOffer
    started_at: int | None = None
    """None: the start stays."""
    suppress_past: bool = False


class Reopen(Command, frozen=True, kw_only=True):
    """Lets an ended ticket run again as its next generation (M5)."""

    mode: ReopenMode
    effective_at: int | None = None


class Annotate(Command, frozen=True, kw_only=True):
    """Says why a cycle was missed, and whether it is to count (A3)."""

    generation: int | None
    """None: the latest."""
    clock: str
    cycle: int | None
    """None: the last one."""
    reason_code: str = ""
    note: str = ""
    excused: bool = False


class Mend(Command, frozen=True, kw_only=True):
    """Brings a ticket in line with what a PSA says of it, unless it has changed since it was looked at."""

    wanted: Start | None
    """None: the PSA does not have it open, so it is cancelled."""
    expected: Tracking | None
    """The live tracking that was found; None: there was none."""


class Answer(msgspec.Struct, frozen=True):
    """What became of a command: whether it changed anything, and how the ticket stands now."""

    ticket: TicketRef
    state: TrackingState
    tracking: Tracking
    reading: Reading
    changed: bool

    def verdict(self, command: Complete) -> bool | None:
        """slad's own verdict on the cycle that a completion is about (M3, K3), which need not be the last.

        It is the last closed one that had opened by then. None when there is none, or it has no verdict.
        """
        stated = command.effective_at
        at = None if stated is None else max(stated, self.tracking.started_at)
        for cycle in reversed(self.reading.cycles(command.clock)):
            if cycle.closed_at is not None and (at is None or cycle.opened_at <= at):
                return cycle.met
        return None


Render = Callable[[Answer], bytes]
"""Makes the reply of an answer. Called before the commit, so that a repeated request id can be given the very
same reply (M6)."""
