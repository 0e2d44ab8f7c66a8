"""What travels between a client, Temporal and a worker, as messages (see also `names`).

The fields are AlgaPSA's, so that its client and its worker can each stand on the other side. slad
adds one optional field, `slad`, and one signal, `sladUpdate`; who does not know them loses only precision.

Messages are values here and JSON on the wire: `to_json` before sending, `read` after receiving. Instants in
AlgaPSA's fields are ISO 8601 text in UTC, in slad's own fields UTC epoch ms.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from slad.core.errors import InvalidField
from slad.core.events import PauseReason
from slad.core.tracking import Tracking
from slad.temporal.workflow.names import PAUSE_REASONS


class _Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A message with AlgaPSA's spelling: `ticketId`. Unknown fields are ignored."""


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of AlgaPSA's database as it puts it into a message: `response_time_minutes`."""


# --- the input of a workflow


class PolicyTarget(_Row, frozen=True, kw_only=True):
    """What was promised (AlgaPSA's ISlaPolicyTarget). Minutes that are absent or 0: no such clock."""

    target_id: str = ""
    sla_policy_id: str = ""
    priority_id: str | None = None
    response_time_minutes: int | None = None
    resolution_time_minutes: int | None = None
    escalation_1_percent: int | None = None
    escalation_2_percent: int | None = None
    escalation_3_percent: int | None = None
    is_24x7: bool = False


class BusinessHoursEntry(_Row, frozen=True, kw_only=True):
    """A weekly window (B2)."""

    day_of_week: int
    start_time: str
    end_time: str
    is_enabled: bool = True
    entry_id: str = ""


class Holiday(_Row, frozen=True, kw_only=True):
    """A closed date (B4)."""

    holiday_date: str
    is_recurring: bool = False
    holiday_name: str = ""
    holiday_id: str = ""


class DateOverride(_Row, frozen=True, kw_only=True):
    """Dates with other hours (B8). Slad's own; AlgaPSA's schedules have none."""

    name: str = ""
    from_date: str
    to_date: str
    is_recurring: bool = False
    hours: tuple[tuple[str, str], ...] = ()
    """(start_time, end_time) each."""


class BusinessHoursSchedule(_Row, frozen=True, kw_only=True):
    """When time counts (AlgaPSA's IBusinessHoursScheduleWithEntries)."""

    tenant: str | None = None
    schedule_id: str = ""
    schedule_name: str = ""
    timezone: str = ""
    is_default: bool = False
    is_24x7: bool = False
    entries: tuple[BusinessHoursEntry, ...] | None = None
    holidays: tuple[Holiday, ...] | None = None
    slad_date_overrides: tuple[DateOverride, ...] | msgspec.UnsetType = msgspec.UNSET
    """A worker that knows nothing of it counts by the week."""


class Effects(_Message, frozen=True, kw_only=True):
    """What a workflow does when a threshold is reached."""

    report: bool = False
    """Tells the slad daemon, which announces it (`Activity.REPORT`)."""
    activities_task_queue: str = ""
    """Calls AlgaPSA's activity types on this task queue. Empty: does not."""


class StateExtension(_Message, frozen=True, kw_only=True):
    """What slad knows of a ticket, more than AlgaPSA's fields can say."""

    generation: int = 0
    """Which tracking of the ticket this is; 0: not slad's."""
    revision: int = 0
    """Grows with every change of the ticket. A message with a revision not above the one held is dropped, so
    that neither repetition nor order matters."""
    tracking: Tracking | None = None
    """Terms, start, facts and what has been announced. The schedule is `businessHoursSchedule`."""
    schedules: dict[int, BusinessHoursSchedule] = {}
    """Those of named clocks that have one of their own, by the key that the terms give it (K1)."""
    effects: Effects | None = None
    """None: those of the worker."""
    request_ids: tuple[str, ...] = ()
    """Ids of the latest signals that were obeyed; carried from run to run."""


class CarriedPause(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """Part of AlgaPSA's carried state. `total_pause_minutes` without the running pause."""

    is_paused: bool = False
    pause_started_at: str | None = None
    total_pause_minutes: int = 0
    reason: str | None = None


class NotifiedThresholds(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """Percents that were announced, ascending, by clock."""

    response: tuple[int, ...] = ()
    resolution: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.response or self.resolution)


class Echo(_Message, frozen=True, kw_only=True):
    """Says in an answer to `getState` that the workflow took over what slad had carried into it.

    AlgaPSA's worker gives back whatever was in the carried state.
    """

    generation: int


class CarriedTicketState(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """Part of AlgaPSA's carried state."""

    current_phase: str = "response"
    current_status: str = "active"
    pause_state: CarriedPause = CarriedPause()
    notified_thresholds: NotifiedThresholds = NotifiedThresholds()
    slad: Echo | None = None


class CarriedState(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """What AlgaPSA's own worker hands from run to run; by slad, from a run that is gone to the next one."""

    started_at: str
    state: CarriedTicketState = CarriedTicketState()
    response_completed: bool = False


class TicketWorkflowInput(_Message, frozen=True, kw_only=True):
    """The one argument of `slaTicketWorkflow`. The first target is the ticket's."""

    ticket_id: str
    tenant_id: str
    policy_targets: tuple[PolicyTarget, ...] = ()
    business_hours_schedule: BusinessHoursSchedule | None = None
    notification_thresholds: tuple[int, ...] | None = None
    carried: CarriedState | None = None
    continue_as_new_after_events: int | None = None
    """Begins a new run after so many events of history; for tests."""
    slad: StateExtension | None = None


# --- signals


class SignalExtension(_Message, frozen=True, kw_only=True):
    """What slad adds to a signal."""

    request_id: str = ""
    """A signal with an id that was obeyed before is dropped."""
    effective_at: int | None = None
    """When it happened, UTC epoch ms; None: when the signal is seen (M6)."""
    revision: int = 0
    """The revision of the ticket that this signal makes; see StateExtension. 0: not said."""


class PlainSignal(_Message, frozen=True, kw_only=True):
    """With `resume` and `cancel`, from slad only."""

    slad: SignalExtension | None = None


class PauseSignal(_Message, frozen=True, kw_only=True):
    """With `pause`. `reason` is one of PAUSE_REASONS."""

    reason: str = PAUSE_REASONS[PauseReason.STATUS_PAUSE]
    slad: SignalExtension | None = None


class CompleteSignal(_Message, frozen=True, kw_only=True):
    """With `completeResponse` and `completeResolution`. `met` is the sender's verdict, if it has one."""

    met: bool | None = None
    slad: SignalExtension | None = None


class UpdateSignal(_Message, frozen=True, kw_only=True):
    """With `sladUpdate`: the whole state of the ticket, in place of what the workflow holds.

    For what AlgaPSA's signals cannot say: other terms, corrected facts, a reopened ticket.
    """

    business_hours_schedule: BusinessHoursSchedule | None
    """None: every hour counts."""
    slad: StateExtension


# --- the state that a query answers


class PauseState(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """Whether and since when the ticket is paused; minutes as in T2."""

    is_paused: bool
    pause_started_at: str | None
    total_pause_minutes: int
    reason: str | None


class TicketState(_Message, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to `getState`. Every field is there, null where it has no value."""

    current_phase: str
    """`response` while that clock is open, else `resolution`."""
    current_status: str
    """`active`, `paused`, `completed` or `cancelled`."""
    pause_state: PauseState
    notified_thresholds: NotifiedThresholds
    response_deadline: str | None
    resolution_deadline: str | None
    next_wake_time: str | None
    remaining_time_minutes: int | None
    """Minutes until `next_wake_time`, rounded up."""
    slad: Echo | None = None


# --- activities


class TicketInput(_Message, frozen=True, kw_only=True):
    """The input of `completeIfTicketClosed` and `getTicketSlaPauseState`."""

    tenant_id: str
    ticket_id: str


class ClosedTicket(_Message, frozen=True, kw_only=True):
    """The answer to `completeIfTicketClosed`; `reason` is `closed` or `deleted`."""

    closed: bool
    response_met: bool | None = None
    resolution_met: bool | None = None
    reason: str | None = None


class TicketPause(_Message, frozen=True, kw_only=True):
    """The answer to `getTicketSlaPauseState`: whether AlgaPSA has the ticket paused, and why."""

    paused: bool
    reason: str | None = None


class ThresholdInput(_Message, frozen=True, kw_only=True):
    """The input of `sendSlaNotification` and `checkAndEscalate`."""

    tenant_id: str
    ticket_id: str
    phase: str
    threshold_percent: int


class StatusInput(_Message, frozen=True, kw_only=True):
    """The input of `updateSlaStatus`."""

    tenant_id: str
    ticket_id: str
    phase: str
    breached: bool


class AuditInput(_Message, frozen=True, kw_only=True):
    """The input of `recordSlaAuditLog`."""

    tenant_id: str
    ticket_id: str
    event_type: str
    event_data: dict[str, Any]


class ThresholdReport(_Message, frozen=True, kw_only=True):
    """One threshold that was reached; `phase` as in the contract, instants in UTC epoch ms."""

    phase: int = 0
    """0: of the named `clock`, the cycle that was opened at `cycle_opened_at` (K4)."""
    clock: str = ""
    cycle_opened_at: int = 0
    percent: int
    scheduled_at: int
    fired_at: int


class ThresholdReports(_Message, frozen=True, kw_only=True):
    """The input of `reportSlaThresholds`."""

    tenant_id: str
    ticket_id: str
    generation: int
    reports: tuple[ThresholdReport, ...]


# --- JSON

M = TypeVar("M", bound=msgspec.Struct)

_PATH: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)


def to_json(message: msgspec.Struct) -> Any:
    """A message as the JSON document that Temporal's default converter sends."""
    return msgspec.to_builtins(message)


def read(document: Any, kind: type[M]) -> M:
    """A JSON document as a message of `kind`.

    Numbers that came as text are accepted (PostgreSQL drivers make them of bigint). Raises InvalidField with
    the path of what does not fit.
    """
    try:
        return msgspec.convert(document, kind, strict=False)
    except msgspec.ValidationError as error:
        match = _PATH.fullmatch(str(error))
        assert match
        raise InvalidField(match[2] or "", "MALFORMED_MESSAGE", match[1]) from None


# msgspec looks at a type when it is first used, and two threads that are first at once crash the process
# (seen with 0.22): a worker's do, when it starts with many workflows waiting.
for _kind in (*_Message.__subclasses__(), *_Row.__subclasses__()):
    msgspec.json.Decoder(_kind)
