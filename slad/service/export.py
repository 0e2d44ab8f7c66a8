"""Live trackings as rows of an import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Final

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.access import Tenants
from slad.core.events import RESPONSE, PauseReason, pause_reason
from slad.core.facts import REPORTED, Fact, FactKind
from slad.core.history import History
from slad.core.instants import MINUTE_MS
from slad.core.schedule import Schedule, format_date, format_hours
from slad.core.terms import ClockTerms, Terms
from slad.core.tracking import Fired
from slad.engine.event_codec import set_instants, set_ms
from slad.engine.protobuf_bytes import embedded, tag_of
from slad.engine.queries import LiveTracking, Queries
from slad.engine.query_thread import QueryThread
from slad.service.access import holder
from slad.service.limits import STREAM_BYTES


async def export(queries: QueryThread, tenants: Tenants) -> AsyncIterator[bytes]:
    """Serialized ExportSlaTrackingsResponses, with all live trackings of some tenants, or of all.

    Read page by page, not in one view: a reader that is slow must not hold up the checkpoints of the WAL.
    """
    after: int | None = 0
    while after is not None:
        replies, after = await queries.run(partial(_page, tenants=tenants, after_key=after), holder())
        for reply in replies:
            yield reply


def _page(queries: Queries, tenants: Tenants, after_key: int) -> tuple[list[bytes], int | None]:
    """(serialized replies with the next live trackings, the key to go on after, None at the end)."""
    page = queries.live(tenants, after_key)
    replies: list[bytes] = []
    rows: list[bytes] = []
    size = 0
    for tracking in page.trackings:
        row = embedded(_TRACKINGS, tracking_row(tracking).SerializeToString())
        if rows and size + len(row) > STREAM_BYTES:
            replies.append(b"".join(rows))
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        replies.append(b"".join(rows))
    return replies, page.next_key


_TRACKINGS: Final = tag_of(rpc.ExportSlaTrackingsResponse, "trackings")


def tracking_row(live: LiveTracking) -> rpc.SlaTrackingImport:
    """What an import needs to have the tracking as it is here."""
    tracking, terms = live.tracking, live.tracking.terms
    history, schedule = tracking.history, live.schedules[terms.schedule_key]
    start = rpc.StartSlaTrackingRequest(
        tenant_id=live.tenant_id,
        ticket_id=live.ticket_id,
        policy_id=terms.policy_id,
        priority_id=terms.priority_id,
        targets=[_target(terms, schedule)],
        schedule=None if schedule is None else schedule_message(schedule, terms.schedule_id or ""),
        notification_thresholds=terms.notification_percents,
        pause_accounting=pb.PauseAccounting.ValueType(tracking.accounting),
        attributes=tracking.attributes or None,
        clocks=[_clock_terms(clock, terms, live.schedules) for clock in terms.named],
    )
    if tracking.unjudged_response:
        start.response_on_resolution = pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED
    set_ms(start.started_at, tracking.started_at)
    response_met = history.response.reported if history.response else None
    row = rpc.SlaTrackingImport(start=start, response_met=response_met)
    set_instants(row, response_completed_at=history.response_at)
    _add_stops(row, history)
    row.facts.extend(map(_fact, filter(partial(_is_fact_of, terms), history.readable)))
    row.fired.extend(map(_fired, filter(partial(_is_fired_of, terms), tracking.fired)))
    return row


def _is_fact_of(terms: Terms, fact: Fact) -> bool:
    """Whether a row says it, of a clock that the terms have: an import takes no others."""
    if fact.kind not in _FACT_KINDS:
        return False
    closes_named = fact.kind in (FactKind.COMPLETE, FactKind.DISCARD) and fact.text != RESPONSE
    return not closes_named or any(clock.name == fact.text for clock in terms.named)


def _is_fired_of(terms: Terms, fired: Fired) -> bool:
    """Whether it is of a clock and kind that the terms have: what any other announced was retracted (K9)."""
    return not isinstance(fired.clock, str) or any(
        clock.name == fired.clock and clock.has_one_cycle == (not fired.opened_at) for clock in terms.named
    )


def _add_stops(row: rpc.SlaTrackingImport, history: History) -> None:
    for hold in history.holds:
        reason = pause_reason(hold.reason)
        pause = row.pauses.add(reason=pb.SlaPauseReason.ValueType(reason))
        if reason is PauseReason.OTHER:
            pause.reason_code = hold.reason
        set_instants(pause, paused_at=hold.from_ms, resumed_at=hold.to_ms)
    resolutions = {fact.at for fact in history.readable if fact.kind == FactKind.RESOLVE}
    for stop in history.stops:
        if stop.reason is None and stop.to_ms is not None:
            closed = row.closed.add(resolved=stop.from_ms in resolutions)
            set_instants(closed, closed_at=stop.from_ms, reopened_at=stop.to_ms)


_FACT_KINDS: Final = {
    FactKind.CUSTOMER_MESSAGE: rpc.SLA_FACT_KIND_CUSTOMER_MESSAGE,
    FactKind.AGENT_MESSAGE: rpc.SLA_FACT_KIND_AGENT_MESSAGE,
    FactKind.ASSIGN: rpc.SLA_FACT_KIND_ASSIGNED,
    FactKind.COMPLETE: rpc.SLA_FACT_KIND_CLOCK_COMPLETED,
    FactKind.DISCARD: rpc.SLA_FACT_KIND_CLOCK_DISCARDED,
}


def _fact(fact: Fact) -> rpc.SlaFact:
    kind = FactKind(fact.kind)
    message = rpc.SlaFact(kind=_FACT_KINDS[kind])
    set_ms(message.at, fact.at)
    if kind is FactKind.ASSIGN:
        message.owner = fact.text
    elif kind in (FactKind.COMPLETE, FactKind.DISCARD):
        message.clock = fact.text
        if kind is FactKind.COMPLETE and (met := REPORTED[fact.detail]) is not None:
            message.met = met
    return message


def _fired(fired: Fired) -> rpc.SlaFiredThreshold:
    message = rpc.SlaFiredThreshold(
        percent=fired.percent,
        superseded=fired.superseded,
        silent=fired.silent,
        retractions=fired.arming,
    )
    if isinstance(fired.clock, str):
        message.clock = fired.clock
    else:
        message.phase = pb.SlaPhase.ValueType(fired.clock)
    set_instants(
        message,
        cycle_opened_at=fired.opened_at or None,
        scheduled_at=fired.scheduled_at,
        fired_at=fired.fired_at or None,
    )
    return message


def _clock_terms(
    clock: ClockTerms, terms: Terms, schedules: Mapping[int, Schedule | None]
) -> pb.SlaClockTerms:
    message = pb.SlaClockTerms(name=clock.name)
    if not clock.is_unnamed:
        levels = clock.escalation_percents
        message.kind = pb.SlaClockKind.ValueType(clock.kind)
        message.target_minutes = clock.target_ms // MINUTE_MS
        message.notification_thresholds.extend(clock.notification_percents)
        message.escalation_1_percent, message.escalation_2_percent, message.escalation_3_percent = levels
        message.owner = clock.owner
        if not clock.follows(terms.schedule_key):
            schedule, schedule_id = schedules[clock.schedule_key], clock.schedule_id or ""
            if schedule is not None:
                message.schedule.CopyFrom(schedule_message(schedule, schedule_id))
            elif schedule_id:
                message.schedule.schedule_id, message.schedule.is_24x7 = schedule_id, True
            else:
                message.is_24x7 = True
    if clock.paused_by is not None:
        message.paused_by.never = not clock.paused_by
        message.paused_by.reasons.extend(clock.paused_by)
    return message


def _target(terms: Terms, schedule: Schedule | None) -> pb.SlaPolicyTarget:
    levels = terms.escalation_percents
    target = pb.SlaPolicyTarget(
        priority_id=terms.priority_id,
        escalation_1_percent=levels[0],
        escalation_2_percent=levels[1],
        escalation_3_percent=levels[2],
        is_24x7=schedule is None,
    )
    if terms.response_due_at:
        set_ms(target.response_due_at, terms.response_due_at)
        target.response_open_time.FromMilliseconds(terms.response_ms)
    elif terms.response_ms:
        target.response_time_minutes = terms.response_ms // MINUTE_MS
    if terms.resolution_due_at:
        set_ms(target.resolution_due_at, terms.resolution_due_at)
        target.resolution_open_time.FromMilliseconds(terms.resolution_ms)
    elif terms.resolution_ms:
        target.resolution_time_minutes = terms.resolution_ms // MINUTE_MS
    return target


def schedule_message(schedule: Schedule, schedule_id: str = "") -> pb.BusinessHoursSchedule:
    """A schedule as a caller would state it; read again, it is the same."""
    message = pb.BusinessHoursSchedule(
        schedule_id=schedule_id, timezone=schedule.timezone, is_24x7=schedule.is_24x7
    )
    for window in schedule.windows:
        start_time, end_time = format_hours(window.start_ms, window.end_ms)
        message.entries.add(
            day_of_week=window.day_of_week, start_time=start_time, end_time=end_time, is_enabled=True
        )
    for holiday in schedule.holidays:
        message.holidays.add(
            holiday_name=holiday.name,
            holiday_date=format_date(holiday.day_number),
            is_recurring=holiday.is_recurring,
        )
    for override in schedule.date_overrides:
        added = message.date_overrides.add(
            name=override.name,
            from_date=format_date(override.from_day),
            to_date=format_date(override.to_day),
            is_recurring=override.is_recurring,
        )
        for start_ms, end_ms in override.hours:
            start_time, end_time = format_hours(start_ms, end_ms)
            added.entries.add(start_time=start_time, end_time=end_time)
    return message
