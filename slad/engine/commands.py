"""What an engine can be told. Values only; instants are UTC epoch ms, None for "not given"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

import msgspec

from slad.core.errors import InvalidField
from slad.core.events import PauseReason, Phase
from slad.core.facts import Fact
from slad.core.machine import ReopenMode
from slad.core.reading import Reading
from slad.core.schedule import Schedule
from slad.core.status import TrackingState
from slad.core.terms import DEFAULT_NOTIFICATION_PERCENTS, Terms
from slad.core.tracking import Fired, PauseAccounting, TicketRef, Tracking


class OnExisting(IntEnum):
    """What a start does when the ticket has a tracking already (M1). Numbers of the wire contract."""

    KEEP = 1
    REPLACE = 2
    FAIL = 3
    CONTINUE_CANCELLED = 4
    CONTINUE_OR_NEW = 5


class ScheduleOffer(NamedTuple):
    """A schedule with its content address and stored form (see `slad.storage.codec`)."""

    schedule: Schedule
    digest: bytes
    body: bytes


class TermsOffer(msgspec.Struct, frozen=True):
    """Terms as a caller states them: with the schedule itself, and where in the request they stood."""

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

    def under(self, schedule_key: int, policy_id: str) -> Terms:
        """The terms, given the key of their schedule and the policy that they come from.

        Without notification thresholds of their own they have the default ones (C4).
        """
        return Terms(
            policy_id,
            self.priority_id,
            self.response_ms,
            self.resolution_ms,
            self.notification_percents or DEFAULT_NOTIFICATION_PERCENTS,
            self.escalation_percents,
            schedule_key,
        )

    def out_of_range(self, phase: Phase) -> InvalidField:
        """The error for a target that leads past year 9999 (B6)."""
        return InvalidField(
            f"{self.target_path}.{phase.name.lower()}_time_minutes",
            "DEADLINE_OUT_OF_RANGE",
            "a threshold of this target would fall past the year 9999",
        )


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
    continue_within_ms: int | None = None
    facts: tuple[Fact, ...] = ()
    """What has happened to the ticket already, when it is imported; in order."""
    fired: tuple[Fired, ...] = ()
    """What was announced of it already, when it is imported."""


class Pause(Command, frozen=True, kw_only=True):
    """Stops both clocks (M2)."""

    reason: PauseReason
    effective_at: int | None = None


class Resume(Command, frozen=True, kw_only=True):
    """Lets them count on (M2)."""

    effective_at: int | None = None


class Complete(Command, frozen=True, kw_only=True):
    """Closes the response clock, or both and the tracking (M3)."""

    phase: Phase
    reported_met: bool | None = None
    effective_at: int | None = None


class Cancel(Command, frozen=True, kw_only=True):
    """Ends the tracking without a verdict (M4)."""

    effective_at: int | None = None


class Retarget(Command, frozen=True, kw_only=True):
    """Puts the tracking under new terms (M5)."""

    policy_id: str
    terms: TermsOffer
    suppress_past: bool = False


class Reopen(Command, frozen=True, kw_only=True):
    """Lets an ended ticket run again as its next generation (M5)."""

    mode: ReopenMode
    effective_at: int | None = None


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


Render = Callable[[Answer], bytes]
"""Makes the reply of an answer. Called before the commit, so that a repeated request id can be given the very
same reply (M6)."""
