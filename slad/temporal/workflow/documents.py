"""The core's values as AlgaPSA's messages, and back. What cannot be meant is refused with its path (B6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from slad.core.calendar import Calendar, compile_calendar
from slad.core.errors import InvalidField
from slad.core.events import PauseReason, Phase
from slad.core.events import pause_reason as known_reason
from slad.core.facts import Fact, FactKind
from slad.core.history import History
from slad.core.instants import MINUTE_MS, format_instant, parse_instant
from slad.core.schedule import ALWAYS, DateOverride, Schedule, build_schedule, format_date, format_hours
from slad.core.terms import DEFAULT_NOTIFICATION_PERCENTS, Terms, check_minutes, check_percent
from slad.core.tracking import Engine, Fired, PauseAccounting, Tracking
from slad.temporal.workflow.names import PAUSE_REASONS, PHASE_NAMES
from slad.temporal.workflow.wire import (
    BusinessHoursEntry,
    BusinessHoursSchedule,
    CarriedPause,
    CarriedState,
    CarriedTicketState,
    Echo,
    Holiday,
    NotifiedThresholds,
    PolicyTarget,
    StateExtension,
    TicketWorkflowInput,
    UpdateSignal,
)
from slad.temporal.workflow.wire import DateOverride as OverrideDocument

_EVERY_HOUR: Final = 0
_BY_SCHEDULE: Final = 1
"""The schedule keys of terms that were not slad's."""

Schedules = Mapping[int, Schedule]
"""By the key that terms give them."""

NO_SCHEDULES: Final[Schedules] = MappingProxyType({})

_REASONS: Final = {name: reason for reason, name in PAUSE_REASONS.items()}


class ScheduledTracking(NamedTuple):
    """What a workflow starts from: the state, and what it counts by."""

    tracking: Tracking
    schedule: Schedule
    of_clocks: Schedules = NO_SCHEDULES
    """The schedules of named clocks that have one of their own."""

    def calendar(self, schedule_key: int) -> Calendar:
        """The schedule of that key, compiled."""
        if schedule_key == self.tracking.terms.schedule_key:
            return calendar_of(self.schedule)
        return calendar_of(ALWAYS if schedule_key == _EVERY_HOUR else self.of_clocks[schedule_key])


# --- what the daemon sends


def ticket_input(
    tenant_id: str,
    ticket_id: str,
    state: StateExtension,
    schedule: Schedule | None,
    carried: CarriedState | None = None,
    *,
    of_clocks: Schedules = NO_SCHEDULES,
) -> TicketWorkflowInput:
    """The input of the workflow of a ticket whose `state` (with its tracking) is journaled.

    `schedule` None: every hour counts. `of_clocks` are the schedules that named clocks have of their own.
    `carried`: the same for AlgaPSA's worker, which since its PR 3412 can go on with it.
    """
    tracking = _required(state.tracking)
    return TicketWorkflowInput(
        ticket_id=ticket_id,
        tenant_id=tenant_id,
        policy_targets=(target_document(tracking.terms, every_hour=schedule is None),),
        business_hours_schedule=schedule_document(schedule, tenant_id),
        notification_thresholds=tracking.terms.notification_percents,
        carried=carried,
        slad=_lean(state, of_clocks),
    )


def announced(tracking: Tracking) -> NotifiedThresholds:
    """What was announced of a ticket and not retracted; false when that is nothing."""
    response, resolution = (
        tuple(sorted(f.percent for f in tracking.fired if f.clock == phase and f.fired_at))
        for phase in (Phase.RESPONSE, Phase.RESOLUTION)
    )
    return NotifiedThresholds(response=response, resolution=resolution)


def carried_state(tracking: Tracking, told: NotifiedThresholds, generation: int) -> CarriedState:
    """How a ticket stands, in AlgaPSA's form. Of finished pauses it has only their minutes, floored each.

    `told`: what AlgaPSA's worker is not to tell again. A worker that takes it over gives `generation` back.
    """
    history = tracking.history
    pause = history.running_pause
    spans = (stop.to_ms - stop.from_ms for stop in history.stops if stop.reason and stop.to_ms is not None)
    minutes = sum(span_ms // MINUTE_MS for span_ms in spans)
    responded = history.response is not None
    state = CarriedTicketState(
        current_phase=PHASE_NAMES[Phase.RESOLUTION if responded else Phase.RESPONSE],
        current_status="paused" if pause else "active",
        pause_state=CarriedPause(
            is_paused=pause is not None,
            pause_started_at=instant_text(pause.from_ms) if pause else None,
            total_pause_minutes=minutes,
            reason=pause_name(history),
        ),
        notified_thresholds=told,
        slad=Echo(generation=generation),
    )
    return CarriedState(
        started_at=instant_text(tracking.started_at), state=state, response_completed=responded
    )


def update_signal(
    tenant_id: str,
    state: StateExtension,
    schedule: Schedule | None,
    of_clocks: Schedules = NO_SCHEDULES,
) -> UpdateSignal:
    """The signal that puts `state` (with its tracking) in place of what a workflow holds."""
    return UpdateSignal(
        business_hours_schedule=schedule_document(schedule, tenant_id), slad=_lean(state, of_clocks)
    )


def target_document(terms: Terms, *, every_hour: bool) -> PolicyTarget:
    """Terms as AlgaPSA's policy target."""
    one, two, three = terms.escalation_percents
    return PolicyTarget(
        sla_policy_id=terms.policy_id,
        priority_id=terms.priority_id,
        # Whole minutes, as AlgaPSA has them; of a fixed due date slad's worker has the exact open time.
        response_time_minutes=-(-terms.response_ms // MINUTE_MS) or None,
        resolution_time_minutes=-(-terms.resolution_ms // MINUTE_MS) or None,
        escalation_1_percent=one,
        escalation_2_percent=two,
        escalation_3_percent=three,
        is_24x7=every_hour,
    )


def schedule_document(schedule: Schedule | None, tenant_id: str = "") -> BusinessHoursSchedule:
    """A schedule as AlgaPSA's; `read_schedule` gives the same back. None: every hour counts."""
    schedule = schedule or ALWAYS
    entries = []
    for window in schedule.windows:
        start_time, end_time = format_hours(window.start_ms, window.end_ms)
        entries.append(
            BusinessHoursEntry(day_of_week=window.day_of_week, start_time=start_time, end_time=end_time)
        )
    return BusinessHoursSchedule(
        tenant=tenant_id or None,
        timezone=schedule.timezone or "UTC",
        is_24x7=schedule.is_24x7,
        entries=tuple(entries),
        holidays=tuple(
            Holiday(
                holiday_date=format_date(holiday.day_number),
                is_recurring=holiday.is_recurring,
                holiday_name=holiday.name,
            )
            for holiday in schedule.holidays
        ),
        slad_date_overrides=tuple(map(_override_document, schedule.date_overrides)) or msgspec.UNSET,
    )


def _override_document(override: DateOverride) -> OverrideDocument:
    return OverrideDocument(
        name=override.name,
        from_date=format_date(override.from_day),
        to_date=format_date(override.to_day),
        is_recurring=override.is_recurring,
        hours=tuple(format_hours(start_ms, end_ms) for start_ms, end_ms in override.hours),
    )


def _lean(state: StateExtension, of_clocks: Schedules) -> StateExtension:
    """With the schedules of clocks; without attributes, which no workflow needs and histories would hold."""
    tracking = msgspec.structs.replace(_required(state.tracking), attributes={})
    schedules = {key: schedule_document(schedule) for key, schedule in of_clocks.items()}
    return msgspec.structs.replace(state, tracking=tracking, schedules=schedules)


def _required(tracking: Tracking | None) -> Tracking:
    if tracking is None:
        raise InvalidField("slad.tracking", "REQUIRED", "the state of a ticket has a tracking")
    return tracking


# --- what a workflow is given


def read_ticket(given: TicketWorkflowInput, started_at: int) -> ScheduledTracking | None:
    """The ticket that a workflow is given; None when nothing is promised, so that there is nothing to do.

    `started_at` (UTC epoch ms) is its start unless the input tells another. Raises InvalidField.
    """
    if given.slad is not None and given.slad.tracking is not None:
        return _with_schedules(given.slad.tracking, given.business_hours_schedule, given.slad)
    if not given.policy_targets:
        return None
    target = given.policy_targets[0]
    terms = _read_target(target, given.notification_thresholds)
    if not terms.response_ms and not terms.resolution_ms:
        return None
    tracking = Tracking(terms, started_at, engine=Engine.TEMPORAL)
    if given.carried is not None:
        tracking = _carried(tracking, given.carried)
    if target.is_24x7:
        return _keyed(tracking, ALWAYS)
    if given.business_hours_schedule is None:
        raise InvalidField("businessHoursSchedule", "REQUIRED", "a target that is not 24x7 needs a schedule")
    return _keyed(tracking, read_schedule(given.business_hours_schedule))


def read_update(signal: UpdateSignal) -> ScheduledTracking:
    """The ticket as an update says that it is. Raises InvalidField."""
    return _with_schedules(_required(signal.slad.tracking), signal.business_hours_schedule, signal.slad)


def _with_schedules(
    tracking: Tracking, document: BusinessHoursSchedule | None, state: StateExtension
) -> ScheduledTracking:
    own = ALWAYS if document is None else read_schedule(document)
    of_clocks = {}
    for key in tracking.terms.schedule_keys - {tracking.terms.schedule_key, _EVERY_HOUR}:
        if key not in state.schedules:
            raise InvalidField("slad.schedules", "REQUIRED", f"the schedule {key} of a clock is not there")
        of_clocks[key] = read_schedule(state.schedules[key])
    return ScheduledTracking(tracking, own, of_clocks)


def _keyed(tracking: Tracking, schedule: Schedule) -> ScheduledTracking:
    key = _EVERY_HOUR if schedule.is_24x7 else _BY_SCHEDULE
    terms = msgspec.structs.replace(tracking.terms, schedule_key=key)
    return ScheduledTracking(msgspec.structs.replace(tracking, terms=terms), schedule)


def read_schedule(document: BusinessHoursSchedule) -> Schedule:
    """AlgaPSA's schedule as the core's. Raises InvalidField with a path below `businessHoursSchedule`."""
    try:
        return build_schedule(
            timezone=document.timezone,
            is_24x7=document.is_24x7,
            entries=[
                (entry.day_of_week, entry.start_time, entry.end_time, entry.is_enabled)
                for entry in document.entries or ()
            ],
            holidays=[
                (holiday.holiday_date, holiday.is_recurring, holiday.holiday_name)
                for holiday in document.holidays or ()
            ],
            date_overrides=[
                (override.from_date, override.to_date, override.is_recurring, override.name, override.hours)
                for override in document.slad_date_overrides or ()
            ],
        )
    except InvalidField as error:
        raise error.under("businessHoursSchedule") from None


@lru_cache(maxsize=4096)
def calendar_of(schedule: Schedule) -> Calendar:
    """The calendar of a schedule, compiled once for all tickets of a worker that use it."""
    return compile_calendar(schedule)


def _read_target(target: PolicyTarget, percents: tuple[int, ...] | None) -> Terms:
    levels = (
        target.escalation_1_percent or 0,
        target.escalation_2_percent or 0,
        target.escalation_3_percent or 0,
    )
    for level, percent in enumerate(levels, start=1):
        if percent:
            check_percent(f"policyTargets[0].escalation_{level}_percent", percent)
    for place, percent in enumerate(percents or ()):
        check_percent(f"notificationThresholds[{place}]", percent)
    return Terms(
        policy_id=target.sla_policy_id,
        priority_id=target.priority_id or "",
        response_ms=_minutes("response_time_minutes", target.response_time_minutes),
        resolution_ms=_minutes("resolution_time_minutes", target.resolution_time_minutes),
        notification_percents=tuple(sorted(set(percents or ()))) or DEFAULT_NOTIFICATION_PERCENTS,
        escalation_percents=levels,
        schedule_key=_BY_SCHEDULE,
    )


def _minutes(name: str, minutes: int | None) -> int:
    if minutes is None or minutes <= 0:
        return 0
    check_minutes(f"policyTargets[0].{name}", minutes)
    return minutes * MINUTE_MS


def _carried(tracking: Tracking, carried: CarriedState) -> Tracking:
    """The tracking as AlgaPSA's worker left it when its run continued.

    It keeps no more of past pauses than their wall-clock length, by which it moves deadlines, so they are
    accounted for in that way: as one pause at the start.
    """
    started_at = read_instant("carried.startedAt", carried.started_at)
    pause, told = carried.state.pause_state, carried.state.notified_thresholds
    facts: list[Fact] = []
    if pause.total_pause_minutes > 0:
        ended_at = started_at + pause.total_pause_minutes * MINUTE_MS
        facts.append(Fact(started_at, FactKind.PAUSE, PauseReason.STATUS_PAUSE))
        facts.append(Fact(ended_at, FactKind.RESUME))
    latest = facts[-1].at if facts else started_at
    if carried.response_completed:
        facts.append(Fact(latest, FactKind.RESPOND))
    if pause.is_paused and pause.pause_started_at:
        paused_at = read_instant("carried.state.pauseState.pauseStartedAt", pause.pause_started_at)
        facts.append(Fact(max(latest, paused_at), FactKind.PAUSE, pause_reason(pause.reason)))
    fired = tuple(
        Fired(phase, percent, started_at, started_at, silent=True)
        for phase, percents in ((Phase.RESPONSE, told.response), (Phase.RESOLUTION, told.resolution))
        for percent in percents
    )
    return msgspec.structs.replace(
        tracking,
        started_at=started_at,
        facts=tuple(facts),
        fired=fired,
        accounting=PauseAccounting.ALGA_WALL_CLOCK,
    )


# --- values


def pause_name(history: History) -> str | None:
    """The reason of the pause that is on, as AlgaPSA names it."""
    return PAUSE_REASONS[known_reason(history.held[0])] if history.held else None


def pause_reason(name: str | None) -> PauseReason:
    """The reason that AlgaPSA names; of one that slad does not know, STATUS_PAUSE."""
    return _REASONS.get(name or "", PauseReason.STATUS_PAUSE)


def read_instant(path: str, text: str) -> int:
    """An ISO 8601 instant, UTC unless it says otherwise, as UTC epoch ms. Raises InvalidField."""
    try:
        return parse_instant(text)
    except ValueError as error:
        raise InvalidField(path, "MALFORMED_TIMESTAMP", str(error)) from None


def instant_text(instant_ms: int) -> str:
    """UTC epoch ms as JavaScript writes it: `2026-03-02T09:00:00.000Z`."""
    return format_instant(instant_ms, with_ms=True)
