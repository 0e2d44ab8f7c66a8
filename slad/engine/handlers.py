"""What each command does: find the ticket, ask the state machine, say what is to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from slad.core import machine
from slad.core.errors import BadTarget, Refusal, Refused
from slad.core.events import PHASES, RESPONSE
from slad.core.facts import READ_BY_CLOCKS, FactKind, insert, reported_code
from slad.core.instants import format_instant
from slad.core.machine import ReopenMode
from slad.core.settle import Transition
from slad.core.status import TrackingState
from slad.core.terms import Terms
from slad.core.tracking import Engine, TicketRef, Tracking
from slad.engine.annotate import annotate
from slad.engine.commands import (
    Annotate,
    Assign,
    Cancel,
    Command,
    Complete,
    Mend,
    MessageSender,
    OnExisting,
    Pause,
    RecordMessage,
    Reopen,
    Resume,
    Retarget,
    Start,
)
from slad.engine.outcome import Outcome, answer_of, outcome_of, write_of
from slad.engine.terms_change import ChangeTerms, changed_terms
from slad.engine.tickets import clock_not_found
from slad.engine.unit_of_work import UnitOfWork, Write
from slad.storage.row_reader import Record

_CONTINUING: Final = (OnExisting.CONTINUE_CANCELLED, OnExisting.CONTINUE_OR_NEW)


def _start(work: UnitOfWork, command: Start) -> Outcome:
    latest = work.tickets.latest(command.tenant_id, command.ticket_id)
    if latest is not None and _stays(command, latest):
        return _unchanged(work, command.tenant_id, latest)
    live = latest if latest is not None and latest.state is TrackingState.ACTIVE else None
    heir_of = latest if latest is not None and _may_continue(command, latest, work.now) else None
    former = heir_of.tracking.terms if heir_of is not None else None
    terms = _terms(work, command, former if former and former.policy_id == command.policy_id else None)
    calendars = work.catalog.calendar
    engine = work.carrier.choose(command.tenant_id, command.ticket_id, live, command.terms)
    tracking = _tracking(command, terms, work.now, engine, work.epoch)
    writes = []
    if live is not None:
        writes.append(write_of(command.tenant_id, live, _record(work, live, _NewFact(FactKind.CANCEL))))
    try:
        if heir_of is not None:
            transition = machine.continue_cancelled(
                heir_of.tracking, tracking, calendars, work.now, suppress_past=command.suppress_past
            )
        else:
            transition = machine.begin(tracking, calendars, work.now, suppress_past=command.suppress_past)
    except BadTarget as error:
        raise command.terms.refused(error) from None
    generation = latest.generation + 1 if latest is not None else 1
    write = Write(TicketRef(command.tenant_id, command.ticket_id, generation), None, transition, heir_of)
    return Outcome(answer_of(write), (*writes, write))


def _stays(command: Start, latest: Record) -> bool:
    """Whether a start leaves the latest tracking as it is (M1). Raises Refused (ALREADY_EXISTS)."""
    if latest.state is TrackingState.COMPLETED:
        return command.on_existing is OnExisting.CONTINUE_CANCELLED
    if latest.state is TrackingState.CANCELLED or command.on_existing is OnExisting.REPLACE:
        return False
    if command.on_existing is OnExisting.FAIL:
        raise Refused(
            Refusal.ALREADY_EXISTS,
            "TRACKING_EXISTS",
            f"ticket {command.ticket_id!r} is tracked already, since "
            f"{format_instant(latest.tracking.started_at)}",
        )
    return True


def _may_continue(command: Start, latest: Record, now: int) -> bool:
    """Whether a start takes over the latest tracking (M1)."""
    if command.on_existing not in _CONTINUING or latest.state is not TrackingState.CANCELLED:
        return False
    if command.continue_within_ms is None:
        return True
    ended_at = latest.tracking.history.ended_at
    return ended_at is not None and now - ended_at <= command.continue_within_ms


def _pause(work: UnitOfWork, command: Pause) -> Outcome:
    fact = _NewFact(FactKind.PAUSE, command.reason.value, command.reason_code)
    return _fact(work, command, fact, command.effective_at)


def _resume(work: UnitOfWork, command: Resume) -> Outcome:
    fact = _NewFact(FactKind.RESUME, command.reason.value if command.reason else 0, command.reason_code)
    return _fact(work, command, fact, command.effective_at)


def _complete(work: UnitOfWork, command: Complete) -> Outcome:
    name, reported = command.clock, reported_code(command.reported_met)
    if command.discard:
        fact = _NewFact(FactKind.DISCARD, 0, name)
    elif name in PHASES:
        fact = _NewFact(FactKind.RESPOND if name == RESPONSE else FactKind.RESOLVE, reported)
    else:
        fact = _NewFact(FactKind.COMPLETE, reported, name)
    _require_clock(work, command)
    outcome = _fact(work, command, fact, command.effective_at)
    met = outcome.answer.verdict(command)
    if command.reported_met is not None and met not in (None, command.reported_met):
        return msgspec.structs.replace(
            outcome, note=f"verdict differs: reported met={command.reported_met}, is {met}"
        )
    return outcome


def _require_clock(work: UnitOfWork, command: Complete) -> None:
    """Refuses a clock that the ticket does not have; response and resolution it may do without (C1)."""
    if command.clock in PHASES:
        return
    _, record = work.tickets.locate(command.tenant_id, command.ticket_id)
    if not any(clock.name == command.clock for clock in record.tracking.terms.named):
        raise clock_not_found(command.ticket_id, command.clock)


def _record_message(work: UnitOfWork, command: RecordMessage) -> Outcome:
    is_agent = command.sender is MessageSender.AGENT
    fact = _NewFact(FactKind.AGENT_MESSAGE if is_agent else FactKind.CUSTOMER_MESSAGE)
    return _fact(work, command, fact, command.effective_at)


def _assign(work: UnitOfWork, command: Assign) -> Outcome:
    return _fact(work, command, _NewFact(FactKind.ASSIGN, 0, command.owner), command.effective_at)


def _cancel(work: UnitOfWork, command: Cancel) -> Outcome:
    return _fact(work, command, _NewFact(FactKind.CANCEL), command.effective_at)


def _retarget(work: UnitOfWork, command: Retarget) -> Outcome:
    tenant_id, record = work.tickets.locate(command.tenant_id, command.ticket_id)
    work.carrier.check(record, command.terms)
    terms = work.catalog.accept(command.terms, command.policy_id)
    try:
        transition = machine.retarget(
            record.tracking,
            terms,
            work.catalog.calendar,
            work.now,
            started_at=command.started_at,
            suppress_past=command.suppress_past,
        )
    except BadTarget as error:
        raise command.terms.refused(error) from None
    return outcome_of(tenant_id, record, transition)


def _change_terms(work: UnitOfWork, command: ChangeTerms) -> Outcome:
    tenant_id, record = work.tickets.locate(command.tenant_id, command.ticket_id)
    work.carrier.check(record, command.change.offer)
    transition = changed_terms(
        record.tracking,
        command.change,
        work.catalog.schedule_key_of,
        work.catalog.calendar,
        work.now,
        suppress_past=command.suppress_past,
    )
    return outcome_of(tenant_id, record, transition)


def _reopen(work: UnitOfWork, command: Reopen) -> Outcome:
    tenant_id, record = work.tickets.locate(command.tenant_id, command.ticket_id)
    transition = machine.reopen(
        record.tracking,
        command.mode,
        work.catalog.calendar,
        work.now,
        effective_at=command.effective_at,
    )
    if not transition.changed:
        return outcome_of(tenant_id, record, transition)
    # Whoever else carries tickets knows no named clocks.
    named = transition.tracking.terms.named
    engine = Engine.LOCAL if named else work.carrier.choose(tenant_id, record.ticket_id, None, None)
    tracking = msgspec.structs.replace(transition.tracking, engine=engine)
    transition = msgspec.structs.replace(transition, tracking=tracking)
    goes_on = record if command.mode is ReopenMode.RESUME else None
    write = Write(TicketRef(tenant_id, record.ticket_id, record.generation + 1), None, transition, goes_on)
    return Outcome(answer_of(write), (write,))


def _mend(work: UnitOfWork, command: Mend) -> Outcome:
    latest = work.tickets.latest(command.tenant_id, command.ticket_id)
    live = latest if latest is not None and latest.state is TrackingState.ACTIVE else None
    expected = command.expected and msgspec.structs.replace(command.expected, epoch=work.epoch)
    if (live and live.tracking) != expected:
        raise Refused(
            Refusal.FAILED_PRECONDITION, "CHANGED_MEANWHILE", "the tracking has changed since it was compared"
        )
    if live is None:
        assert command.wanted is not None
        # The PSA has it open: a ticket that was completed here is a new obligation.
        return _start(work, _even_if_completed(command.wanted))
    if command.wanted is None:
        return outcome_of(command.tenant_id, live, _record(work, live, _NewFact(FactKind.CANCEL)))
    start = command.wanted
    terms = _terms(work, start, live.tracking.terms)
    wanted = _tracking(start, terms, live.tracking.started_at, Engine(live.tracking.engine), work.epoch)
    wanted = _with_clocks_of(wanted, live.tracking)
    try:
        transition = machine.align(
            live.tracking, wanted, work.catalog.calendar, work.now, suppress_past=start.suppress_past
        )
    except BadTarget as error:
        raise start.terms.refused(error) from None
    return outcome_of(command.tenant_id, live, transition)


def _even_if_completed(start: Start) -> Start:
    if start.on_existing is OnExisting.CONTINUE_CANCELLED:
        return msgspec.structs.replace(start, on_existing=OnExisting.CONTINUE_OR_NEW)
    return start


def _terms(work: UnitOfWork, command: Start, former: Terms | None) -> Terms:
    """The terms of a start; where it says nothing of notification thresholds, those of `former` stay."""
    terms = work.catalog.accept(command.terms, command.policy_id)
    if former is None or command.terms.notification_percents:
        return terms
    return msgspec.structs.replace(terms, notification_percents=former.notification_percents)


def _with_clocks_of(wanted: Tracking, live: Tracking) -> Tracking:
    """A PSA's list that says nothing of named clocks, or of what they read, leaves them as they are."""
    if not wanted.terms.named and live.terms.named:
        terms = msgspec.structs.replace(wanted.terms, named=live.terms.named)
        wanted = msgspec.structs.replace(wanted, terms=terms)
    if not any(fact.kind in READ_BY_CLOCKS for fact in wanted.facts):
        facts = wanted.facts
        for fact in live.facts:
            if fact.kind in READ_BY_CLOCKS:
                facts = insert(facts, fact)
        wanted = msgspec.structs.replace(wanted, facts=facts)
    return wanted


def _tracking(command: Start, terms: Terms, default_start: int, engine: Engine, epoch: int) -> Tracking:
    return Tracking(
        terms,
        default_start if command.started_at is None else command.started_at,
        command.facts,
        command.fired,
        accounting=command.accounting.value,
        engine=engine,
        attributes=dict(command.attributes),
        unjudged_response=command.unjudged_response,
        epoch=epoch,
    )


HANDLERS: Final[dict[type[Command], Callable[[UnitOfWork, Any], Outcome]]] = {
    Start: _start,
    Pause: _pause,
    Resume: _resume,
    Complete: _complete,
    RecordMessage: _record_message,
    Assign: _assign,
    Cancel: _cancel,
    Retarget: _retarget,
    ChangeTerms: _change_terms,
    Reopen: _reopen,
    Annotate: annotate,
    Mend: _mend,
}
"""What each command does. They raise InvalidField and Refused, and change nothing but the catalog."""


class _NewFact(NamedTuple):
    """A fact but for its instant (see `slad.core.facts.Fact`)."""

    kind: FactKind
    detail: int = 0
    text: str = ""


def _fact(work: UnitOfWork, command: Command, fact: _NewFact, effective_at: int | None) -> Outcome:
    tenant_id, record = work.tickets.locate(command.tenant_id, command.ticket_id)
    return outcome_of(tenant_id, record, _record(work, record, fact, effective_at))


def _record(work: UnitOfWork, record: Record, fact: _NewFact, effective_at: int | None = None) -> Transition:
    return machine.add_fact(
        record.tracking,
        fact.kind,
        work.catalog.calendar,
        work.now,
        effective_at=effective_at,
        detail=fact.detail,
        text=fact.text,
    )


def _unchanged(work: UnitOfWork, tenant_id: str, record: Record) -> Outcome:
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    return outcome_of(tenant_id, record, Transition(record.tracking, reading, (), changed=False))
