"""The workflow `slaTicketWorkflow`: one ticket, asleep until its next wake.

It does what AlgaPSA's workflow of that name does, by the rules of docs/semantics.md. A changed version must
replay the histories of older ones: new steps go behind `workflow.patched`, and tests/temporal/histories keeps
what older versions wrote.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from slad.core.errors import InvalidField
    from slad.core.instants import from_datetime
    from slad.temporal.workflow import documents, names, wire
    from slad.temporal.workflow.effects import AlgaOutlet, DaemonOutlet, Outlet, now_ms
    from slad.temporal.workflow.names import Activity, Signal
    from slad.temporal.workflow.ticket import TicketClock
    from slad.temporal.workflow.wire import Effects, TicketWorkflowInput

CONTINUE_AFTER_EVENTS: Final = 1_000
"""A new run begins when the history has so many events. Temporal warns at 10,240 and refuses at 51,200."""

MIN_EVENTS: Final = 20
"""A run is at least so long, whatever its input wants: it takes some events to begin."""

CONTINUE_AFTER_BYTES: Final = 1024 * 1024
"""And at this size. Temporal warns at 10 MiB and refuses at 50 MiB."""

TIMER_MARGIN_MS: Final = 1_000
"""A timer that is nearer to its end is not cancelled: it may have gone off in the very workflow task that
brought the signal, and then Temporal refuses the whole task. It wakes the workflow once for nothing."""

PAUSE_SWEEP: Final = timedelta(minutes=5)
"""How often AlgaPSA is asked during a pause whether the ticket is paused there too: a resume may be lost."""

ASKS_ABOUT_PAUSES: Final = "asks-about-pauses"
"""The patch with which it does so."""

INVALID_INPUT: Final = "InvalidInput"
"""The error type of a workflow that failed because its input cannot be meant."""


@workflow.defn(name=names.WORKFLOW_TYPE)
class SlaTicketWorkflow:
    """Keeps both clocks of one ticket.

    While nothing is due and nobody calls it waits without a timer, so a pause of any length adds no history.
    """

    @workflow.init
    def __init__(self, document: Any = None) -> None:
        # Signals may be handled before `run` takes its first step, so all is ready here. Nothing is raised:
        # an exception would be tried again for ever.
        self._clock: TicketClock | None = None
        self._given: TicketWorkflowInput | None = None
        self._refusal: InvalidField | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._asking = False
        """Whether an answer of the sweep is under way, so that a new run would leave it behind."""
        try:
            self._given = wire.read(document, TicketWorkflowInput)
            started_at = from_datetime(workflow.info().workflow_start_time)
            ticket = documents.read_ticket(self._given, started_at)
            if ticket is not None:
                self._clock = TicketClock(self._given, ticket, now_ms(), workflow.logger.warning)
        except InvalidField as error:
            self._refusal = error

    @workflow.run
    async def run(self, document: Any = None) -> None:
        """Runs until the ticket is resolved or cancelled. Fails for an input that cannot be meant."""
        if self._refusal is not None:
            raise ApplicationError(str(self._refusal), type=INVALID_INPUT, non_retryable=True)
        clock, given = self._clock, self._given
        if clock is None or given is None:
            workflow.logger.warning("this ticket has no targets")
            return
        effects = await self._effects(given)
        outlet = _outlet(effects)
        while True:
            await outlet.carry_out(clock)
            if clock.pending:
                continue
            if clock.ended:
                return
            if self._is_long():
                again = clock.carry(effects, given.continue_as_new_after_events)
                workflow.continue_as_new(wire.to_json(again), memo=workflow.memo())
            if isinstance(outlet, AlgaOutlet) and clock.paused and self._sweeping is None:
                self._sweeping = self._sweep(outlet, clock)
            await self._sleep(clock)
            if clock.wake_at is not None and clock.wake_at <= now_ms():
                clock.fire(now_ms())

    def _sweep(self, outlet: AlgaOutlet, clock: TicketClock) -> asyncio.Task[None] | None:
        """Asks every five minutes while the ticket is paused; None in a run that began before it did so."""

        async def ask() -> None:
            # Its timer is never cancelled (see TIMER_MARGIN_MS): one that is not wanted any more ends unused.
            while True:
                await workflow.sleep(PAUSE_SWEEP)
                if not clock.paused:
                    break
                self._asking = True
                resumed = await outlet.is_resumed(clock)
                self._asking = False
                if resumed and clock.paused:
                    workflow.logger.warning("a resume was lost; the clocks go on")
                    clock.obey(Signal.RESUME, None, now_ms())
            self._sweeping = None

        return asyncio.create_task(ask()) if workflow.patched(ASKS_ABOUT_PAUSES) else None

    async def _sleep(self, clock: TicketClock) -> None:
        """Until the next wake, or until a signal gave cause to look again."""
        wake_at = clock.wake_at
        span_ms = None if wake_at is None else wake_at - now_ms()
        if span_ms is not None and span_ms <= 0:
            return
        timer = span_ms and asyncio.create_task(workflow.sleep(timedelta(milliseconds=span_ms)))
        await workflow.wait_condition(
            # A signal that changed nothing leaves the timer as it is.
            lambda: (
                bool(timer and timer.done())
                or bool(clock.pending)
                or clock.wake_at != wake_at
                or clock.ended
                or self._is_long()
            )
        )
        if timer and wake_at is not None and now_ms() < wake_at - TIMER_MARGIN_MS:
            timer.cancel()

    def _is_long(self) -> bool:
        if self._asking:
            return False
        info = workflow.info()
        wanted = self._given.continue_as_new_after_events if self._given else None
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= max(wanted or CONTINUE_AFTER_EVENTS, MIN_EVENTS)
            or info.get_current_history_size() >= CONTINUE_AFTER_BYTES
        )

    async def _effects(self, given: TicketWorkflowInput) -> Effects:
        """What to do when a threshold is reached: as the input says, else as the worker was told."""
        if given.slad is not None:
            return given.slad.effects or Effects(report=True)
        document = await workflow.execute_local_activity(
            Activity.SETTINGS.value, schedule_to_close_timeout=timedelta(minutes=1)
        )
        return wire.read(document, Effects)

    # --- signals

    @workflow.signal(name=Signal.PAUSE.value)
    def pause(self, argument: Any = None) -> None:
        """Stops both clocks (M2)."""
        self._obey(Signal.PAUSE, argument)

    @workflow.signal(name=Signal.RESUME.value)
    def resume(self, argument: Any = None) -> None:
        """Lets them count on (M2)."""
        self._obey(Signal.RESUME, argument)

    @workflow.signal(name=Signal.COMPLETE_RESPONSE.value)
    def complete_response(self, argument: Any = None) -> None:
        """Closes the response clock (M3)."""
        self._obey(Signal.COMPLETE_RESPONSE, argument)

    @workflow.signal(name=Signal.COMPLETE_RESOLUTION.value)
    def complete_resolution(self, argument: Any = None) -> None:
        """Closes both clocks and the tracking (M3)."""
        self._obey(Signal.COMPLETE_RESOLUTION, argument)

    @workflow.signal(name=Signal.CANCEL.value)
    def cancel(self, argument: Any = None) -> None:
        """Ends the tracking without a verdict (M4)."""
        self._obey(Signal.CANCEL, argument)

    @workflow.signal(name=Signal.UPDATE.value)
    def update(self, argument: Any = None) -> None:
        """Puts the state that slad holds in place of this one (M5, M6)."""
        self._obey(Signal.UPDATE, argument)

    def _obey(self, signal: Signal, argument: Any) -> None:
        if self._clock is not None:
            self._clock.obey(signal, argument, now_ms())

    # --- the query

    @workflow.query(name=names.QUERY_STATE)
    def state(self) -> Any:
        """How the ticket stands; null when its input was refused or promises nothing."""
        return None if self._clock is None else wire.to_json(self._clock.state(now_ms()))


def _outlet(effects: Effects) -> Outlet:
    return AlgaOutlet(effects.activities_task_queue) if effects.activities_task_queue else DaemonOutlet()
