"""What each command does to the model: M1 to M7 as they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tests.naive_life import REFUSED
from tests.trials.simulation.actions import Command, Existing, Fact, Promise, Reopen, Retarget, Start
from tests.trials.simulation.model import Generation, Op, Ticket

Tickets = dict[tuple[str, str], Ticket]


DEFAULT_NOTIFY = (50, 75, 90)


class Expected(NamedTuple):
    """What a command must be answered."""

    refused: str = ""
    """The reason; nothing else is set then."""
    changed: bool = False
    place: tuple[str, str] = ("", "")
    """(tenant, ticket) that it was about."""


def obey(tickets: Tickets, command: Command, now: int) -> Expected:
    """Carries out `command` on the model, unless it is refused."""
    tenant = command.tenant
    if not tenant:
        holders = [key for key, ticket in tickets.items() if key[1] == command.ticket and ticket.generations]
        candidates = [key for key in holders if tickets[key].live] or holders
        if len(candidates) > 1:
            return Expected("TENANT_AMBIGUOUS")
        if not candidates:
            return Expected("TRACKING_NOT_FOUND")
        tenant = candidates[0][0]
    place = (tenant, command.ticket)
    ticket = tickets.setdefault(place, Ticket())
    match command.what:
        case Start() as start:
            return _start(ticket, start, now)._replace(place=place)
        case _ if not ticket.generations:
            return Expected("TRACKING_NOT_FOUND")
        case Fact() as fact:
            return _fact(ticket.latest, fact, now)._replace(place=place)
        case Retarget() as retarget:
            return _retarget(ticket.latest, retarget, now)._replace(place=place)
        case Reopen() as reopen:
            return _reopen(ticket, reopen, now)._replace(place=place)


def _start(ticket: Ticket, start: Start, now: int) -> Expected:
    if ticket.live:
        if start.existing is Existing.FAIL:
            return Expected("TRACKING_EXISTS")
        if start.existing is not Existing.REPLACE:
            return Expected()
        _put(ticket.latest, Op(_by_now(ticket.latest, now), "cancel"), now)
    ended = ticket.latest if ticket.generations else None
    if ended and ended.history.life == "completed" and start.existing is Existing.CONTINUE_CANCELLED:
        return Expected()
    begun = now if start.ago is None else now - start.ago
    born = Generation(_stated(start.promise), begun, start.unjudged_response)
    judged_as_of = now
    if (
        start.existing in (Existing.CONTINUE_CANCELLED, Existing.CONTINUE_OR_NEW)
        and ended
        and ended.history.life == "cancelled"
    ):
        cancelled = ended
        born.promise = start.promise.but(cancelled.promise.notify)
        judged_as_of = cancelled.known(now)
        born.start, born.inherits = cancelled.start, True
        born.announced, born.judged = dict(cancelled.announced), cancelled.judged
        lived_since = max((place for place, op in enumerate(cancelled.ops) if op.kind == "reopen"), default=0)
        born.ops = [
            op for place, op in enumerate(cancelled.ops) if place < lived_since or op.kind != "cancel"
        ]
    ticket.generations.append(born)
    born.settle(judged_as_of, silent=start.suppress_past)
    return Expected(changed=True)


def _fact(latest: Generation, fact: Fact, now: int) -> Expected:
    how, *rest = fact.kind.split()
    if how in ("complete", "discard") and rest[0] not in (*latest.promise.clocks, "response"):
        return Expected("CLOCK_NOT_FOUND")
    at = _effective(latest, fact.ago, now)
    if isinstance(at, str):
        return Expected(at)
    then, kind = latest.life_at(at), fact.kind.split()[0]
    if kind in REFUSED[then.life]:
        return Expected(f"TRACKING_{then.life.upper()}")
    if then.life == "completed" or (then.life == "cancelled" and kind == "cancel"):
        return Expected()
    if kind == "respond" and then.response is not None:
        return Expected()
    before = latest.said
    _put(latest, Op(at, fact.kind), now)
    return Expected(changed=latest.said != before)


def _retarget(latest: Generation, retarget: Retarget, now: int) -> Expected:
    life = latest.history.life
    if life in ("completed", "cancelled"):
        return Expected(f"TRACKING_{life.upper()}")
    promise, start = _stated(retarget.promise), latest.start
    if retarget.started is not None:
        start = now - retarget.started
        if latest.ops and start > latest.ops[0].minute:
            return Expected("AFTER_FIRST_FACT")
    if promise == latest.promise and start == latest.start:
        return Expected()
    latest.former.append(latest.promise)
    latest.promise, latest.start = promise, start
    latest.settle(latest.known(now), silent=retarget.suppress_past)
    return Expected(changed=True)


def _reopen(ticket: Ticket, reopen: Reopen, now: int) -> Expected:
    latest = ticket.latest
    if ticket.live:
        return Expected()
    at = _effective(latest, reopen.ago, now)
    if isinstance(at, str):
        return Expected(at)
    ended_at = latest.history.ended_at
    assert ended_at is not None
    if at < ended_at:
        return Expected("BEFORE_END")
    if reopen.restart:
        owner = latest.history.owner
        born = Generation(latest.promise, at, latest.unjudged_response)
        born.ops = [Op(at, f"to {owner}")] if owner else []
    else:
        born = replace(
            latest, ops=list(latest.ops), announced=dict(latest.announced), inherits=True, former=[]
        )
        born.put(Op(at, "reopen"))
    ticket.generations.append(born)
    born.settle(born.known(now))
    return Expected(changed=True)


def _stated(promise: Promise) -> Promise:
    return promise.but(DEFAULT_NOTIFY)


def _put(generation: Generation, op: Op, now: int) -> None:
    before = generation.said
    generation.put(op)
    if generation.said != before:
        generation.settle(generation.known(now))


def _by_now(generation: Generation, now: int) -> int:
    return generation.known(now)


def _effective(generation: Generation, ago: int | None, now: int) -> int | str:
    if ago is None:
        return _by_now(generation, now)
    if now - ago < generation.start:
        return "BEFORE_START"
    return "IN_THE_FUTURE" if ago < 0 else now - ago
