"""What a workflow does when a threshold is reached: it tells the slad daemon, or AlgaPSA's own activities.

Every effect may happen again (a worker dies between doing and saying so); the daemon and AlgaPSA's activities
both take a repetition for what it is. None is given up because the other side is away: activities are tried
until they succeed, which adds nothing to the history. Only an error that says that trying again is useless is
logged and left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from msgspec import Struct

    from slad.core.errors import InvalidField
    from slad.core.events import Event, EventType
    from slad.core.instants import from_datetime
    from slad.temporal.workflow import wire
    from slad.temporal.workflow.documents import instant_text
    from slad.temporal.workflow.names import PHASE_NAMES, Activity
    from slad.temporal.workflow.ticket import TicketClock
    from slad.temporal.workflow.wire import (
        AuditInput,
        ClosedTicket,
        StatusInput,
        ThresholdInput,
        ThresholdReport,
        ThresholdReports,
        TicketInput,
        TicketPause,
    )

REPORT_AT_ONCE: Final = timedelta(seconds=5)
"""For this long a report is tried within the workflow task, which takes one event of history and not six."""

REPORT_TIMEOUT: Final = timedelta(seconds=15)
REPORT_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)

ALGA_TIMEOUT: Final = timedelta(minutes=5)
"""As in AlgaPSA's workflow."""

ALGA_RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=5)
)


PAUSE_QUESTION: Final[dict[str, Any]] = {
    "schedule_to_close_timeout": timedelta(minutes=1),
    "retry_policy": RetryPolicy(maximum_attempts=3),
}
"""A question that is asked again in five minutes anyway is given up soon: AlgaPSA may not know it yet."""


class Outlet(Protocol):
    """Carries out what a ticket amounts to."""

    async def carry_out(self, clock: TicketClock) -> None:
        """Tells the outside all of `clock.pending`, and empties it."""
        ...


class DaemonOutlet:
    """Reports thresholds to the slad daemon, which announces them; all else it knows already."""

    async def carry_out(self, clock: TicketClock) -> None:
        """See Outlet."""
        events, clock.pending = clock.pending, []
        reports = tuple(
            ThresholdReport(
                phase=event.phase or 0,
                clock="" if event.phase else event.about.clock,
                cycle_opened_at=0 if event.phase else event.about.opened_at,
                percent=event.crossing.percent,
                scheduled_at=event.crossing.scheduled_at,
                fired_at=event.crossing.fired_at,
            )
            for event in events
            if event.type is EventType.THRESHOLD_REACHED and event.crossing and event.about
        )
        if not reports:
            return
        report = wire.to_json(
            ThresholdReports(
                tenant_id=clock.tenant_id,
                ticket_id=clock.ticket_id,
                generation=clock.generation,
                reports=reports,
            )
        )
        try:
            await workflow.execute_local_activity(
                Activity.REPORT.value,
                report,
                schedule_to_close_timeout=REPORT_AT_ONCE,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except FailureError as error:
            if _given_up(Activity.REPORT, error):
                return
            await _persist(
                Activity.REPORT, report, start_to_close_timeout=REPORT_TIMEOUT, retry_policy=REPORT_RETRIES
            )


class AlgaOutlet:
    """Calls AlgaPSA's activity types on the queue of a worker that serves them; they know no named clocks."""

    def __init__(self, task_queue: str) -> None:
        self._task_queue = task_queue

    async def carry_out(self, clock: TicketClock) -> None:
        """See Outlet. Before it acts it asks whether the ticket is still open; if not, nothing is told."""
        clock.pending = [event for event in clock.pending if event.phase]
        while clock.pending:
            if any(event.crossing for event in clock.pending):
                closed = await self._closed(clock)
                if closed.closed:
                    clock.close(cancelled=closed.reason == "deleted", now=now_ms())
            events, clock.pending = clock.pending, []
            await self._tell(clock, events)

    async def is_resumed(self, clock: TicketClock) -> bool:
        """Whether AlgaPSA says that a ticket is not paused (any more); an answer that fails says nothing."""
        ticket = TicketInput(tenant_id=clock.tenant_id, ticket_id=clock.ticket_id)
        try:
            answer = await workflow.execute_activity(
                Activity.PAUSE_STATE.value,
                wire.to_json(ticket),
                task_queue=self._task_queue,
                **PAUSE_QUESTION,
            )
            return not wire.read(answer, TicketPause).paused
        except (FailureError, InvalidField) as error:
            if isinstance(error, FailureError) and is_cancelled_exception(error):
                raise
            workflow.logger.warning("%s says nothing: %s", Activity.PAUSE_STATE.value, error)
            return False

    async def _closed(self, clock: TicketClock) -> ClosedTicket:
        ticket = TicketInput(tenant_id=clock.tenant_id, ticket_id=clock.ticket_id)
        answer = await self._call(Activity.CHECK_CLOSED, ticket)
        try:
            return wire.read(answer or {"closed": False}, ClosedTicket)
        except InvalidField as error:
            workflow.logger.warning("the answer to %s is invalid: %s", Activity.CHECK_CLOSED.value, error)
            return ClosedTicket(closed=False)

    async def _tell(self, clock: TicketClock, events: Sequence[Event]) -> None:
        for event in events:
            for activity, message in _calls(clock.tenant_id, clock.ticket_id, event):
                await self._call(activity, message)

    async def _call(self, activity: Activity, message: Struct) -> Any:
        return await _persist(
            activity,
            wire.to_json(message),
            task_queue=self._task_queue,
            start_to_close_timeout=ALGA_TIMEOUT,
            retry_policy=ALGA_RETRIES,
        )


def _calls(tenant_id: str, ticket_id: str, event: Event) -> list[tuple[Activity, Struct]]:
    """AlgaPSA's activities for an event, in AlgaPSA's order."""
    assert event.phase
    ticket = {"tenant_id": tenant_id, "ticket_id": ticket_id}
    phase, crossing = PHASE_NAMES[event.phase], event.crossing

    def audit(name: str, **data: Any) -> tuple[Activity, Struct]:
        return Activity.AUDIT, AuditInput(**ticket, event_type=name, event_data=data)

    if crossing is None:
        return [audit(f"sla_{phase}_completed", met=event.met)]
    if event.type is EventType.THRESHOLD_RETRACTED:
        at = instant_text(crossing.scheduled_at)
        name = "sla_threshold_retracted"
        told = audit(name, phase=phase, thresholdPercent=crossing.percent, scheduledAt=at)
        status = StatusInput(**ticket, phase=phase, breached=False)
        return [(Activity.UPDATE_STATUS, status), told] if crossing.breach else [told]
    threshold = ThresholdInput(**ticket, phase=phase, threshold_percent=crossing.percent)
    calls: list[tuple[Activity, Struct]] = []
    if crossing.notification:
        calls.append((Activity.NOTIFY, threshold))
    if crossing.breach:
        calls.append((Activity.UPDATE_STATUS, StatusInput(**ticket, phase=phase, breached=True)))
    if crossing.escalation_level:
        calls.append((Activity.ESCALATE, threshold))
    return calls


async def _persist(activity: Activity, document: Any, **options: Any) -> Any:
    """Calls an activity until it succeeds; None when it says that there is no use in it."""
    try:
        return await workflow.execute_activity(activity.value, document, **options)
    except FailureError as error:
        if not _given_up(activity, error):
            raise
        return None


def _given_up(activity: Activity, error: FailureError) -> bool:
    """Whether an activity says that there is no use in trying again; then that is logged."""
    # A local activity's own error comes bare, that of another as the cause of an ActivityError.
    cause = error.cause if isinstance(error, ActivityError) else error
    if is_cancelled_exception(error):
        raise error
    if not isinstance(cause, ApplicationError) or not cause.non_retryable:
        return False
    workflow.logger.error("%s was given up: %s", activity.value, cause)
    return True


def now_ms() -> int:
    """The workflow's time, UTC epoch ms."""
    return from_datetime(workflow.now())
