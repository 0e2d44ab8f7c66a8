"""One ticket inside a workflow: the pure state machine, told of things by signals and by time.

Nothing here knows Temporal. Whatever happens is applied at once; what it amounts to for the outside
(thresholds reached or retracted, completions) waits in `pending` until the workflow carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from slad.core import machine
from slad.core.calendar import Calendar
from slad.core.errors import InvalidField, Refused
from slad.core.events import CycleRef, Event, EventType, Phase
from slad.core.facts import REPORTED, FactKind, reported_code
from slad.core.history import History
from slad.core.instants import MINUTE_MS
from slad.core.reading import ClockReading
from slad.core.settle import Transition, next_wake
from slad.core.status import total_pause_minutes
from slad.core.tracking import Fired, Tracking
from slad.temporal.workflow import documents, names, wire
from slad.temporal.workflow.documents import ScheduledTracking, instant_text
from slad.temporal.workflow.names import Signal
from slad.temporal.workflow.wire import (
    CompleteSignal,
    Echo,
    Effects,
    PauseSignal,
    PauseState,
    PlainSignal,
    SignalExtension,
    StateExtension,
    TicketState,
    TicketWorkflowInput,
    UpdateSignal,
)

REMEMBERED_REQUESTS: Final = 100
"""How many request ids are kept; a sender that waits for one answer before it sends on needs one."""

_TOLD: Final = (EventType.THRESHOLD_REACHED, EventType.THRESHOLD_RETRACTED)


class _Told(NamedTuple):
    """What a signal says, whatever its form."""

    extension: SignalExtension | None
    kind: FactKind
    detail: int = 0


class TicketClock:
    """The clocks of one ticket.

    `now` is everywhere the workflow's time, UTC epoch ms. `log` is called with what was ignored, and why.
    """

    def __init__(
        self,
        given: TicketWorkflowInput,
        ticket: ScheduledTracking,
        now: int,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Starts `ticket`, read from `given`. Raises InvalidField when a deadline cannot be (B6)."""
        self.tenant_id, self.ticket_id = given.tenant_id, given.ticket_id
        state = given.slad or StateExtension()
        self.generation, self._revision = state.generation, state.revision
        self._request_ids = dict.fromkeys(state.request_ids)
        self._log = log
        self.pending: list[Event] = []
        """What the outside has yet to be told, in order."""
        self._ticket = ticket
        self.tracking = ticket.tracking
        self.wake_at: int | None = None
        """The next instant at which `fire` has something to do."""
        self._take(self._begin(ticket.tracking, now))

    @property
    def ended(self) -> bool:
        """Whether the tracking has ended."""
        return self.history.life.ended

    @property
    def paused(self) -> bool:
        """Whether a pause is on."""
        return self.history.running_pause is not None

    @property
    def history(self) -> History:
        """What has happened to the ticket."""
        return self.tracking.history

    # --- time

    def fire(self, now: int) -> None:
        """Fires what has come true."""
        self._take(machine.fire(self.tracking, self._calendar_of, now))

    # --- signals

    def obey(self, signal: Signal, document: Any, now: int) -> None:
        """Applies a signal with its argument, None if it came without. What makes no sense is ignored.

        An exception here would only make Temporal send the same signal again, for ever.
        """
        try:
            if signal is Signal.UPDATE:
                self._update(wire.read(document, UpdateSignal), now)
            else:
                self._record(_SIGNALS[signal]({} if document is None else document), now)
        except InvalidField as error:
            self._log(f"signal {signal.value} ignored, {error.field or 'its argument'}: {error.message}")
        except Refused as error:
            self._log(f"signal {signal.value} ignored: {error.message}")

    def close(self, *, cancelled: bool, now: int) -> None:
        """Ends the tracking because the PSA does not have it open; thresholds not yet told are forgotten."""
        if not self.ended:
            kind = FactKind.CANCEL if cancelled else FactKind.RESOLVE
            self._take(machine.add_fact(self.tracking, kind, self._calendar_of, now))
        fired = tuple(f for f in self.tracking.fired if not any(_tells(event, f) for event in self.pending))
        self.tracking = msgspec.structs.replace(self.tracking, fired=fired)
        self._drop_crossings()

    def _record(self, told: _Told, now: int) -> None:
        extension = told.extension or SignalExtension()
        if self._is_known(extension):
            return
        at = extension.effective_at
        transition = machine.add_fact(
            self.tracking,
            told.kind,
            self._calendar_of,
            # Who says when it happened has a clock of its own, and the facts are his.
            now if at is None else max(now, at),
            effective_at=at,
            detail=told.detail,
        )
        self._take(transition)
        if transition.changed and told.kind in _PHASE_OF:
            phase = _PHASE_OF[told.kind]
            clock, met = transition.reading.clock(phase), REPORTED[told.detail]
            if met is None and clock is not None:
                met = clock.met
            about = CycleRef(phase.name.lower(), 1, self.tracking.started_at)
            self.pending.append(Event(EventType.PHASE_COMPLETED, now, about, met=met))

    def _update(self, signal: UpdateSignal, now: int) -> None:
        if signal.slad.revision <= self._revision:
            return
        ticket = documents.read_update(signal)
        self._ticket = ticket
        # Facts and firings are the sender's: what it has not announced is reported, be it again.
        self._drop_crossings()
        self._take(machine.fire(ticket.tracking, self._calendar_of, now))
        self._revision, self.generation = signal.slad.revision, signal.slad.generation

    def _is_known(self, extension: SignalExtension) -> bool:
        """Whether a signal was obeyed before; from now on it is known."""
        if extension.request_id:
            if extension.request_id in self._request_ids:
                return True
            self._request_ids[extension.request_id] = None
            while len(self._request_ids) > REMEMBERED_REQUESTS:
                del self._request_ids[next(iter(self._request_ids))]
        if extension.revision:
            if extension.revision <= self._revision:
                return True
            self._revision = extension.revision
        return False

    # --- inside

    def _calendar_of(self, schedule_key: int) -> Calendar:
        return self._ticket.calendar(schedule_key)

    def _begin(self, tracking: Tracking, now: int) -> Transition:
        if tracking.facts or tracking.fired:
            return machine.fire(tracking, self._calendar_of, now)
        try:
            return machine.begin(tracking, self._calendar_of, now)
        except machine.ClockOutOfRange as error:
            raise InvalidField(
                f"policyTargets[0].{error.clock}_time_minutes",
                "DEADLINE_OUT_OF_RANGE",
                "a threshold of this target would fall past the year 9999",
            ) from None

    def _take(self, transition: Transition) -> None:
        self.tracking, self.wake_at = transition.tracking, transition.wake_at
        for event in transition.events:
            if event.type not in _TOLD:
                continue
            if event.type is EventType.THRESHOLD_RETRACTED and (reached := self._untold(event)):
                self.pending.remove(reached)
            else:
                self.pending.append(event)

    def _untold(self, retracted: Event) -> Event | None:
        """The announcement that a retraction overtook before it was carried out."""
        assert retracted.crossing
        for event in self.pending:
            if (
                event.type is EventType.THRESHOLD_REACHED
                and event.crossing
                and event.crossing.percent == retracted.crossing.percent
                and _is_same_cycle(event, retracted)
            ):
                return event
        return None

    def _drop_crossings(self) -> None:
        self.pending = [event for event in self.pending if not event.crossing]

    # --- what others see

    def carry(self, effects: Effects | None, continue_after: int | None) -> TicketWorkflowInput:
        """The input of the run that continues this one."""
        state = StateExtension(
            generation=self.generation,
            revision=self._revision,
            tracking=self.tracking,
            effects=effects,
            request_ids=tuple(self._request_ids),
        )
        own = self._ticket.schedule
        given = documents.ticket_input(
            self.tenant_id,
            self.ticket_id,
            state,
            None if own.is_24x7 else own,
            of_clocks=self._ticket.of_clocks,
        )
        return msgspec.structs.replace(given, continue_as_new_after_events=continue_after)

    def state(self, now: int) -> TicketState:
        """What `getState` answers."""
        reading = machine.reading_at(self.tracking, self._calendar_of, now)
        history = reading.history
        response, resolution = reading.clock(Phase.RESPONSE), reading.clock(Phase.RESOLUTION)
        pause = history.running_pause
        wake_at = next_wake(self.tracking, reading)
        return TicketState(
            current_phase=names.PHASE_NAMES[
                Phase.RESPONSE if response and response.closed_at is None else Phase.RESOLUTION
            ],
            current_status=_STATUS[history.life.name],
            pause_state=PauseState(
                is_paused=pause is not None,
                pause_started_at=instant_text(pause.from_ms) if pause else None,
                total_pause_minutes=total_pause_minutes(history, now),
                reason=documents.pause_name(history),
            ),
            notified_thresholds=documents.announced(self.tracking),
            response_deadline=_deadline(response),
            resolution_deadline=_deadline(resolution),
            next_wake_time=None if wake_at is None else instant_text(wake_at),
            remaining_time_minutes=None if wake_at is None else -((now - wake_at) // MINUTE_MS),
            slad=Echo(generation=self.generation),
        )


def _tells(event: Event, fired: Fired) -> bool:
    """Whether an event is about what was announced."""
    about, crossing = event.about, event.crossing
    return (
        about is not None
        and crossing is not None
        and crossing.percent == fired.percent
        and fired.clock == (about.phase or about.clock)
        and fired.opened_at in (0, about.opened_at)
    )


def _is_same_cycle(event: Event, other: Event) -> bool:
    """Whether two events are about one cycle, whatever its number is by now (K4)."""
    one, two = event.about, other.about
    return bool(one and two and (one.clock, one.opened_at) == (two.clock, two.opened_at))


_STATUS: Final = {
    "RUNNING": "active",
    "PAUSED": "paused",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
}

_PHASE_OF: Final = {FactKind.RESPOND: Phase.RESPONSE, FactKind.RESOLVE: Phase.RESOLUTION}


def _pause(document: Any) -> _Told:
    signal = wire.read(document, PauseSignal)
    return _Told(signal.slad, FactKind.PAUSE, documents.pause_reason(signal.reason))


def _resume(document: Any) -> _Told:
    return _Told(wire.read(document, PlainSignal).slad, FactKind.RESUME)


def _respond(document: Any) -> _Told:
    signal = wire.read(document, CompleteSignal)
    return _Told(signal.slad, FactKind.RESPOND, reported_code(signal.met))


def _resolve(document: Any) -> _Told:
    signal = wire.read(document, CompleteSignal)
    return _Told(signal.slad, FactKind.RESOLVE, reported_code(signal.met))


def _cancel(document: Any) -> _Told:
    return _Told(wire.read(document, PlainSignal).slad, FactKind.CANCEL)


_SIGNALS: Final[dict[Signal, Callable[[Any], _Told]]] = {
    Signal.PAUSE: _pause,
    Signal.RESUME: _resume,
    Signal.COMPLETE_RESPONSE: _respond,
    Signal.COMPLETE_RESOLUTION: _resolve,
    Signal.CANCEL: _cancel,
}


def _deadline(clock: ClockReading | None) -> str | None:
    return None if clock is None or clock.due_at is None else instant_text(clock.due_at)
