"""The methods of both clients: their arguments, and the requests that these make.

The clients take name, signature and documentation of their methods from the functions here (see `method_of`).
Common to all: `timeout` is for the whole call, retries included, in seconds or as a timedelta; `retry` is
NO_RETRY or another policy; both are the client's own by default. Instants are aware datetimes, or Timestamps
as they come in replies. A command without a `request_id` gets one, so that it can be retried safely. An enum
value is a constant of `types_pb2` or its name, with or without its prefix: "AWAITING_CLIENT". What a field
means, and what happens when it is left out, is said in proto/slad/v1.
"""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from slad_client._enums import Named, number, numbers
from slad_client._policy import RETRIED_COMMAND, RETRIED_QUERY, RetryPolicy, UnaryCall, Watch
from slad_client.v1 import attainment_pb2 as attainment
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

Instant = datetime | Timestamp
Span = float | timedelta
"""Seconds, or a timedelta."""

M = TypeVar("M", bound=Callable[..., object])
R = TypeVar("R", bound=Message)


def start_sla_tracking(
    *,
    tenant_id: str,
    ticket_id: str,
    targets: Sequence[pb.SlaPolicyTarget],
    schedule: pb.BusinessHoursSchedule | None = None,
    policy_id: str = "",
    priority_id: str = "",
    notification_thresholds: Sequence[int] = (),
    started_at: Instant | None = None,
    on_existing: Named[pb.OnExisting.ValueType] = pb.ON_EXISTING_UNSPECIFIED,
    continue_within: timedelta | None = None,
    suppress_past: bool = False,
    pause_accounting: Named[pb.PauseAccounting.ValueType] = pb.PAUSE_ACCOUNTING_UNSPECIFIED,
    attributes: Mapping[str, str] | None = None,
    clocks: Sequence[pb.SlaClockTerms] = (),
    response_on_resolution: Named[pb.SlaResponseOnResolution.ValueType] = (
        pb.SLA_RESPONSE_ON_RESOLUTION_UNSPECIFIED
    ),
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.StartSlaTrackingResponse]:
    """Starts the clocks of a ticket (M1).

    Idempotent: a live tracking is returned as it is, with `created` false, unless `on_existing` says
    otherwise. The target counts whose `priority_id` is the one given, or else the first; the `schedule` may
    be left out when it is 24x7. `notification_thresholds` are percents (50, 75, 90 when none are given);
    `started_at` is now by default. `clocks` are up to 16 others, by name.

    Raises InvalidArgument (its `field` is the path in the request), AlreadyExists with ON_EXISTING_FAIL,
    FailedPrecondition when the `request_id` was used for something else, Unavailable, DeadlineExceeded,
    ResourceExhausted when the disk is full.
    """
    request = rpc.StartSlaTrackingRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        policy_id=policy_id,
        targets=targets,
        priority_id=priority_id,
        schedule=schedule,
        notification_thresholds=notification_thresholds,
        started_at=timestamp("started_at", started_at),
        on_existing=number("on_existing", pb.OnExisting, on_existing),
        suppress_past=suppress_past,
        pause_accounting=number("pause_accounting", pb.PauseAccounting, pause_accounting),
        request_id=request_id or _fresh_id(),
        attributes=attributes,
        continue_within=_duration(continue_within),
        clocks=clocks,
        response_on_resolution=number(
            "response_on_resolution", pb.SlaResponseOnResolution, response_on_resolution
        ),
    )
    return UnaryCall("StartSlaTracking", request, RETRIED_COMMAND, _timeout(timeout), retry)


def pause_sla(
    *,
    ticket_id: str,
    reason: Named[pb.SlaPauseReason.ValueType],
    tenant_id: str = "",
    reason_code: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.PauseSlaResponse]:
    """Stops the clocks that heed the reason, until `resume_sla` (M2). Idempotent; reasons add up.

    The reason OTHER comes with a `reason_code` of the caller's own.

    `effective_at` is when it happened, if that was earlier than now: not before the start. Without a
    `tenant_id` the one tenant is meant that has such a live ticket.

    Raises InvalidArgument, NotFound, FailedPrecondition when the ticket has ended or the tenant is ambiguous,
    Unavailable, DeadlineExceeded, ResourceExhausted.
    """
    request = rpc.PauseSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        reason=number("reason", pb.SlaPauseReason, reason),
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
        reason_code=reason_code,
    )
    return UnaryCall("PauseSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def resume_sla(
    *,
    ticket_id: str,
    tenant_id: str = "",
    reason: Named[pb.SlaPauseReason.ValueType] = pb.SLA_PAUSE_REASON_UNSPECIFIED,
    reason_code: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.ResumeSlaResponse]:
    """Lets one reason of a pause go, or without a `reason` all of them (M2). Idempotent.

    Raises as `pause_sla`.
    """
    request = rpc.ResumeSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
        reason=number("reason", pb.SlaPauseReason, reason),
        reason_code=reason_code,
    )
    return UnaryCall("ResumeSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def complete_sla(
    *,
    ticket_id: str,
    phase: Named[pb.SlaPhase.ValueType] = pb.SLA_PHASE_UNSPECIFIED,
    clock: str = "",
    discard: bool = False,
    tenant_id: str = "",
    met: bool | None = None,
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.CompleteSlaResponse]:
    """Closes the response clock, or with the resolution all clocks and the tracking (M3).

    `clock` in place of a `phase` names the one whose open cycle is to close, with `discard` without verdict.

    In the reply `met` is slad's verdict, and `met_differs` says that the caller's, if it sent one, is
    another. A second completion changes nothing.

    Raises as `pause_sla`.
    """
    request = rpc.CompleteSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        phase=number("phase", pb.SlaPhase, phase),
        met=met,
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
        clock=clock,
        discard=discard,
    )
    return UnaryCall("CompleteSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def record_sla_message(
    *,
    ticket_id: str,
    sender: Named[pb.SlaMessageSender.ValueType],
    tenant_id: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.RecordSlaMessageResponse]:
    """Somebody wrote on the ticket. An agent's message is the response if none was recorded.

    Raises as `pause_sla`.
    """
    request = rpc.RecordSlaMessageRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        sender=number("sender", pb.SlaMessageSender, sender),
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("RecordSlaMessage", request, RETRIED_COMMAND, _timeout(timeout), retry)


def assign_sla(
    *,
    ticket_id: str,
    owner: str,
    tenant_id: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.AssignSlaResponse]:
    """Says who has the ticket, by the caller's own id; an empty `owner` is nobody.

    Raises as `pause_sla`.
    """
    request = rpc.AssignSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        owner=owner,
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("AssignSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def cancel_sla(
    *,
    ticket_id: str,
    tenant_id: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.CancelSlaResponse]:
    """Ends the tracking without a verdict (M4). A second cancel changes nothing.

    Raises as `pause_sla`.
    """
    request = rpc.CancelSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("CancelSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def retarget_sla(
    *,
    ticket_id: str,
    targets: Sequence[pb.SlaPolicyTarget],
    tenant_id: str = "",
    schedule: pb.BusinessHoursSchedule | None = None,
    policy_id: str = "",
    priority_id: str = "",
    notification_thresholds: Sequence[int] = (),
    started_at: Instant | None = None,
    suppress_past: bool = False,
    clocks: Sequence[pb.SlaClockTerms] = (),
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.RetargetSlaResponse]:
    """Puts a live tracking under other terms, of which all are to be given (M5). What has happened stays.

    `started_at` moves the start, not past the first fact of the ticket; without it the start stays.

    The arguments are those of `start_sla_tracking`. Thresholds already past under the new terms fire at once,
    or are recorded silently with `suppress_past`; those that are no longer true are retracted.

    Raises as `pause_sla`.
    """
    request = rpc.RetargetSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        policy_id=policy_id,
        targets=targets,
        priority_id=priority_id,
        schedule=schedule,
        notification_thresholds=notification_thresholds,
        started_at=timestamp("started_at", started_at),
        suppress_past=suppress_past,
        request_id=request_id or _fresh_id(),
        clocks=clocks,
    )
    return UnaryCall("RetargetSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def retarget_sla_trackings(
    *,
    tenant_id: str,
    schedule_id: str = "",
    of_policy_id: str = "",
    ticket_ids: Sequence[str] = (),
    schedule: pb.BusinessHoursSchedule | None = None,
    targets: Sequence[pb.SlaPolicyTarget] = (),
    notification_thresholds: Sequence[int] = (),
    clocks: Sequence[pb.SlaClockTerms] = (),
    policy_id: str = "",
    suppress_past: bool = False,
    dry_run: bool = False,
    request_id: str | None = None,
) -> UnaryCall[rpc.RetargetSlaTrackingsResponse]:
    """Changes terms of many live trackings of a tenant, and yields progress and differences as it goes (M9).

    Which: those that count by `schedule_id`, those of `of_policy_id`, or `ticket_ids`; one of the three. What
    is left out of the others stays as each tracking has it. With `dry_run` nothing changes.

    Not repeated when it breaks: the same call again, with the same `request_id`, finishes it.

    Raises InvalidArgument, FailedPrecondition when the request_id was used for something else, Unavailable.
    """
    request = rpc.RetargetSlaTrackingsRequest(
        tenant_id=tenant_id,
        which=rpc.SlaTrackingSelection(
            schedule_id=schedule_id, policy_id=of_policy_id, ticket_ids=ticket_ids
        ),
        schedule=schedule,
        targets=targets,
        notification_thresholds=notification_thresholds,
        clocks=clocks,
        policy_id=policy_id,
        suppress_past=suppress_past,
        dry_run=dry_run,
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("RetargetSlaTrackings", request, frozenset())


def annotate_sla(
    *,
    ticket_id: str,
    clock: str,
    reason_code: str = "",
    note: str = "",
    excused: bool = False,
    cycle: int | None = None,
    generation: int | None = None,
    tenant_id: str = "",
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[attainment.AnnotateSlaResponse]:
    """Says why a cycle was missed, and whether it is to count; the verdict stays (A3).

    Without a `cycle` the last one of the clock is meant, without a `generation` the latest.

    Raises InvalidArgument, NotFound when there is no such clock or cycle, FailedPrecondition when a later
    generation goes on with that cycle, Unavailable, DeadlineExceeded, ResourceExhausted.
    """
    request = attainment.AnnotateSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        generation=generation,
        clock=clock,
        cycle=cycle,
        reason_code=reason_code,
        note=note,
        excused=excused,
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("AnnotateSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def report_sla(
    *,
    tenant_id: str,
    from_time: Instant,
    to_time: Instant,
    timezone: str = "",
    by: Named[attainment.SlaReportBy.ValueType] = attainment.SLA_REPORT_BY_UNSPECIFIED,
    group_by: Sequence[Named[attainment.SlaGroupKey.ValueType]] = (),
    attributes: Sequence[str] = (),
    clocks: Sequence[str] = (),
    as_of: Instant | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[attainment.ReportSlaResponse]:
    """What share of a tenant's promises was kept in [`from_time`, `to_time`) (A4, A5).

    A cycle counts by the instant at which it was due, unless `by` says CLOSED or OPENED. There is a row for
    each combination of `group_by` and then `attributes`; days, weeks and months are those of `timezone`
    (default UTC). With `as_of` it is told as was known then.

    Raises InvalidArgument, Unavailable, DeadlineExceeded.
    """
    request = attainment.ReportSlaRequest(
        tenant_id=tenant_id,
        from_time=timestamp("from_time", from_time),
        to_time=timestamp("to_time", to_time),
        timezone=timezone,
        by=number("by", attainment.SlaReportBy, by),
        group_by=numbers("group_by", attainment.SlaGroupKey, group_by),
        attributes=attributes,
        clocks=clocks,
        as_of=timestamp("as_of", as_of),
    )
    return UnaryCall("ReportSla", request, RETRIED_QUERY, _timeout(timeout), retry)


def unfold_sla_report(
    *,
    tenant_id: str,
    from_time: Instant,
    to_time: Instant,
    timezone: str = "",
    by: Named[attainment.SlaReportBy.ValueType] = attainment.SLA_REPORT_BY_UNSPECIFIED,
    group_by: Sequence[Named[attainment.SlaGroupKey.ValueType]] = (),
    attributes: Sequence[str] = (),
    clocks: Sequence[str] = (),
    as_of: Instant | None = None,
    group: Sequence[str] = (),
    figures: Sequence[Named[attainment.SlaFigure.ValueType]] = (),
) -> UnaryCall[attainment.UnfoldSlaReportResponse]:
    """The cycles that a report counts (A4), in messages of many entries. Arguments as of `report_sla`.

    With a `group`, the values of one of its rows, only the cycles of that row; with `figures` only what these
    count. Not repeated when it breaks.

    Raises InvalidArgument, Unavailable.
    """
    request = attainment.UnfoldSlaReportRequest(
        tenant_id=tenant_id,
        from_time=timestamp("from_time", from_time),
        to_time=timestamp("to_time", to_time),
        timezone=timezone,
        by=number("by", attainment.SlaReportBy, by),
        group_by=numbers("group_by", attainment.SlaGroupKey, group_by),
        attributes=attributes,
        clocks=clocks,
        as_of=timestamp("as_of", as_of),
        group=group,
        figures=numbers("figures", attainment.SlaFigure, figures),
    )
    return UnaryCall("UnfoldSlaReport", request, frozenset())


def forecast_sla(
    *,
    tenant_id: str,
    until: Instant,
    timezone: str = "",
    group_by: Sequence[Named[attainment.SlaGroupKey.ValueType]] = (),
    attributes: Sequence[str] = (),
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[attainment.ForecastSlaResponse]:
    """What is overdue now, and what will reach 100 % by `until` if nothing changes (A6).

    Raises InvalidArgument, Unavailable, DeadlineExceeded.
    """
    request = attainment.ForecastSlaRequest(
        tenant_id=tenant_id,
        until=timestamp("until", until),
        timezone=timezone,
        group_by=numbers("group_by", attainment.SlaGroupKey, group_by),
        attributes=attributes,
    )
    return UnaryCall("ForecastSla", request, RETRIED_QUERY, _timeout(timeout), retry)


def reopen_sla(
    *,
    ticket_id: str,
    mode: Named[pb.ReopenMode.ValueType],
    tenant_id: str = "",
    effective_at: Instant | None = None,
    request_id: str | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.ReopenSlaResponse]:
    """Lets an ended ticket run again as its next generation (M5); a live one is left as it is.

    With REOPEN_MODE_RESUME it goes on where it stood, and the closed time does not count; with
    REOPEN_MODE_RESTART it begins from zero. `effective_at` is not before the end.

    Raises InvalidArgument, NotFound, FailedPrecondition when the tenant is ambiguous, Unavailable,
    DeadlineExceeded, ResourceExhausted.
    """
    request = rpc.ReopenSlaRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        mode=number("mode", pb.ReopenMode, mode),
        effective_at=timestamp("effective_at", effective_at),
        request_id=request_id or _fresh_id(),
    )
    return UnaryCall("ReopenSla", request, RETRIED_COMMAND, _timeout(timeout), retry)


def get_sla_status(
    *,
    ticket_id: str,
    tenant_id: str = "",
    generation: int | None = None,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.GetSlaStatusResponse]:
    """The status of a ticket now: its latest generation, or the one asked for (T1, T2).

    Raises InvalidArgument, NotFound, FailedPrecondition when the tenant is ambiguous, Unavailable,
    DeadlineExceeded.
    """
    request = rpc.GetSlaStatusRequest(tenant_id=tenant_id, ticket_id=ticket_id, generation=generation)
    return UnaryCall("GetSlaStatus", request, RETRIED_QUERY, _timeout(timeout), retry)


def batch_get_sla_status(
    *,
    tenant_id: str,
    ticket_ids: Sequence[str],
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.BatchGetSlaStatusResponse]:
    """How up to 1,000 tickets of a tenant stand now, each in its latest generation (X5).

    `statuses` are in the order of `ticket_ids`; those that slad does not know are in `not_found`.

    Raises InvalidArgument, ResourceExhausted when the statuses are more than a reply holds, Unavailable,
    DeadlineExceeded.
    """
    request = rpc.BatchGetSlaStatusRequest(tenant_id=tenant_id, ticket_ids=ticket_ids)
    return UnaryCall("BatchGetSlaStatus", request, RETRIED_QUERY, _timeout(timeout), retry)


def get_sla_timeline(
    *,
    ticket_id: str,
    tenant_id: str = "",
    generation: int | None = None,
    until: Instant | None = None,
    include_audit: bool = False,
    clock: str = "",
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.GetSlaTimelineResponse]:
    """Why a ticket stands as it does: every stretch of its life, and its events.

    Of a live ticket also what lies ahead, up to `until`. With `include_audit` also the commands that were
    carried out, each with the token that it came with. With a `clock` the stretches are those of that clock.

    Raises as `get_sla_status`.
    """
    request = rpc.GetSlaTimelineRequest(
        tenant_id=tenant_id,
        ticket_id=ticket_id,
        generation=generation,
        until=timestamp("until", until),
        include_audit=include_audit,
        clock=clock,
    )
    return UnaryCall("GetSlaTimeline", request, RETRIED_QUERY, _timeout(timeout), retry)


def preview_sla(
    *,
    targets: Sequence[pb.SlaPolicyTarget],
    schedule: pb.BusinessHoursSchedule | None = None,
    priority_id: str = "",
    notification_thresholds: Sequence[int] = (),
    started_at: Instant | None = None,
    pauses: Sequence[pb.SlaPause] = (),
    as_of: Instant | None = None,
    pause_accounting: Named[pb.PauseAccounting.ValueType] = pb.PAUSE_ACCOUNTING_UNSPECIFIED,
    clocks: Sequence[pb.SlaClockTerms] = (),
    facts: Sequence[rpc.SlaFact] = (),
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.PreviewSlaResponse]:
    """What the clocks of such a ticket would say at `as_of`, by default at `started_at`. Touches nothing.

    `pauses` are in order, not overlapping; a last one may run. `facts` are what else happens, in order.

    Raises InvalidArgument, Unavailable, DeadlineExceeded.
    """
    request = rpc.PreviewSlaRequest(
        targets=targets,
        priority_id=priority_id,
        schedule=schedule,
        notification_thresholds=notification_thresholds,
        started_at=timestamp("started_at", started_at),
        pauses=pauses,
        as_of=timestamp("as_of", as_of),
        pause_accounting=number("pause_accounting", pb.PauseAccounting, pause_accounting),
        clocks=clocks,
        facts=facts,
    )
    return UnaryCall("PreviewSla", request, RETRIED_QUERY, _timeout(timeout), retry)


def list_sla_trackings(
    *,
    tenant_id: str = "",
    states: Sequence[Named[pb.SlaTrackingState.ValueType]] = (),
    statuses: Sequence[Named[pb.SlaTimerStatus.ValueType]] = (),
    due_before: Instant | None = None,
    page_size: int = 0,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.ListSlaTrackingsResponse]:
    """Iterates over trackings in the order in which they were created, page by page.

    Empty filters fit all; `due_before` is for trackings with an open clock that is due before that instant.
    `page_size` is 1 to 1000, 0 the daemon's own choice. `timeout` is for each page.

    Raises InvalidArgument, Unavailable, DeadlineExceeded.
    """
    request = rpc.ListSlaTrackingsRequest(
        tenant_id=tenant_id,
        states=numbers("states", pb.SlaTrackingState, states),
        statuses=numbers("statuses", pb.SlaTimerStatus, statuses),
        due_before=timestamp("due_before", due_before),
        page_size=page_size,
    )
    return UnaryCall("ListSlaTrackings", request, RETRIED_QUERY, _timeout(timeout), retry)


def next_page(
    call: UnaryCall[rpc.ListSlaTrackingsResponse], reply: rpc.ListSlaTrackingsResponse
) -> UnaryCall[rpc.ListSlaTrackingsResponse] | None:
    """The call for the page behind `reply`; None when that was the last."""
    if not reply.next_page_token:
        return None
    request = rpc.ListSlaTrackingsRequest.FromString(call.request.SerializeToString())
    request.page_token = reply.next_page_token
    return replace(call, request=request)


def ack_sla_events(
    *,
    consumer: str,
    sequence: int,
    timeout: Span | None = None,
    retry: RetryPolicy | None = None,
) -> UnaryCall[rpc.AckSlaEventsResponse]:
    """Says that a consumer has dealt with every event up to and including `sequence` (E2).

    Raises OutOfRange for what was not sent or lies behind the last acknowledgement, NotFound when there is
    no such consumer, InvalidArgument, Unavailable, DeadlineExceeded.
    """
    request = rpc.AckSlaEventsRequest(consumer=consumer, sequence=sequence)
    return UnaryCall("AckSlaEvents", request, RETRIED_COMMAND, _timeout(timeout), retry)


def watch_sla_events(
    *,
    consumer: str = "",
    after_sequence: int | None = None,
    tenant_id: str = "",
    types: Sequence[Named[pb.SlaEventType.ValueType]] = (),
    acknowledge: bool = False,
    ack_every: int = 100,
    ack_interval: Span = 1.0,
    reconnect: bool = True,
) -> Watch:
    """Iterates over events, without end, and across breaks of the connection unless `reconnect` is false.

    With a `consumer` name it goes on behind what that consumer has acknowledged, whenever it connects;
    without one it is a look from `after_sequence`, or from now. No event is handed out twice by one
    iteration.

    With `acknowledge`, an event counts as dealt with when the next one is asked for, and slad is told after
    `ack_every` events or `ack_interval`, whichever is first, and when the iteration is closed. An event in
    whose handling the iteration ends comes again to the next. If slad refuses an acknowledgement, its error
    is raised in place of the next event.

    To end it, close it (`contextlib.aclosing` or `closing`) or the client; `break` alone leaves that to the
    garbage collector.

    Raises InvalidArgument, OutOfRange or NotFound of an acknowledgement, ResourceExhausted when too many
    watches are open, and without `reconnect` Unavailable.
    """
    if acknowledge and not consumer:
        raise ValueError("acknowledge: only a named consumer can acknowledge events")
    if ack_every < 1:
        raise ValueError(f"ack_every: {ack_every} is not a number of events")
    request = rpc.WatchSlaEventsRequest(
        consumer=consumer,
        after_sequence=after_sequence,
        tenant_id=tenant_id,
        types=numbers("types", pb.SlaEventType, types),
    )
    return Watch(request, acknowledge, ack_every, seconds("ack_interval", ack_interval), reconnect)


def method_of(describe: Callable[..., object], method: M) -> M:
    """`method` of a client with the name, signature and documentation of `describe`."""
    functools.update_wrapper(method, describe)
    parameters = inspect.signature(describe).parameters.values()
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = inspect.Signature([this, *parameters])  # type: ignore[attr-defined]
    return method


def seconds(name: str, span: Span) -> float:
    """A span in seconds; `name` is what the caller knows it by."""
    length = span.total_seconds() if isinstance(span, timedelta) else span
    # Written so that it holds for NaN too.
    if not length > 0:
        raise ValueError(f"{name}: {span!r} is not a span of time")
    return length


def _timeout(timeout: Span | None) -> float | None:
    return None if timeout is None else seconds("timeout", timeout)


def timestamp(name: str, instant: Instant | None) -> Timestamp | None:
    """An instant as it is sent; `name` is what the caller knows it by. Raises ValueError for a naive one."""
    if not isinstance(instant, datetime):
        return instant
    if instant.utcoffset() is None:
        raise ValueError(
            f"{name}: {instant!r} is naive; an instant needs a time zone, as in datetime.now(UTC)"
        )
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def _duration(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def identified(request: R) -> R:
    """A command under a `request_id`: its own, or else one that is new."""
    if getattr(request, "request_id", ""):
        return request
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = _fresh_id()  # type: ignore[attr-defined]
    return copy


def _fresh_id() -> str:
    return str(uuid.uuid4())
