"""What a ticket must be, given the commands that were carried out, and when: all is derived from facts.

Values are immutable, so that "it happened" and "it did not" can be held side by side. Instants are UTC epoch
ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.naive_life import REFUSED
from tests.trials.crash.life import Done, Fact, History, Kind, Life, fold, put, until
from tests.trials.crash.terms import Terms, terms_of

MAX_AHEAD_MS = 5_000


@dataclass(frozen=True)
class Generation:
    number: int
    terms: Terms
    started_at: int
    facts: tuple[Fact, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    @cached_property
    def history(self) -> History:
        return fold(self.facts)

    @property
    def instants(self) -> list[int]:
        """Of its start, and of all its facts."""
        return [self.started_at, *(fact.at for fact in self.facts)]

    def done(self, phase: int) -> Done | None:
        return self.history.response if phase == 1 else self.history.resolution

    def closed_at(self, phase: int) -> int | None:
        done = self.done(phase)
        return done.at if done else self.history.ended_at

    def stretches(self, phase: int) -> Iterator[tuple[int, int | None]]:
        """The stretches in which a clock counts; the last has no end while it runs."""
        closed_at, begin = self.closed_at(phase), self.started_at
        for stop in self.history.stops:
            if closed_at is not None and stop.begin >= closed_at:
                break
            yield begin, stop.begin
            if stop.end is None or (closed_at is not None and stop.end > closed_at):
                return
            begin = stop.end
        yield begin, closed_at

    def reached_at(self, phase: int, percent: int) -> int | None:
        """The instant at which a clock reaches `percent`; None: as things are, never (C3)."""
        hours, need = self.terms.hours, self.terms.target_ms(phase) * percent // 100
        for begin, end in self.stretches(phase):
            opened = hours.opened(begin)
            instant = hours.when(opened + need)
            if end is None or instant <= end:
                return instant
            need -= hours.opened(end) - opened
        return None

    def has_reached(self, phase: int, percent: int, now: int) -> int | None:
        """The instant of a crossing, if that has come by `now`."""
        if phase not in self.terms.phases:
            return None
        instant = self.reached_at(phase, percent)
        return instant if instant is not None and instant <= now else None

    def elapsed(self, phase: int, now: int) -> int:
        opened, closed_at = self.terms.hours.opened, self.closed_at(phase)
        # A pause may lie a little ahead; of a clock that is closed all is told, also when that is ahead.
        limit = now if closed_at is None else max(now, closed_at)
        return sum(
            opened(limit if end is None else min(end, limit)) - opened(min(begin, limit))
            for begin, end in self.stretches(phase)
        )

    def met(self, phase: int) -> bool | None:
        """Completed at or before the instant of 100 % (M3); None: not completed, or no such clock."""
        done = self.done(phase)
        if done is None or phase not in self.terms.phases:
            return None
        instant = self.reached_at(phase, 100)
        return instant is None or instant == done.at


class Told(NamedTuple):
    """An event that is no threshold's."""

    generation: int
    type: int
    occurred_at: int
    phase: int = 0
    reason: int = 0
    met: bool | None = None


@dataclass(frozen=True)
class Effect:
    """What a command must have amounted to."""

    refused: str = ""
    """The reason; nothing else is set then."""
    changed: bool = False
    stored: bool = False
    """Something was written, though perhaps nothing that shows (a repeated pause, M6)."""
    told: tuple[Told, ...] = ()
    at: int | None = None
    """Crossings up to this instant come before what is told."""
    inherits: bool = True
    """The generation goes on with the firings there were."""
    silent: bool = False
    """Crossings that are past already are recorded without an event."""


@dataclass(frozen=True)
class Ticket:
    """A ticket as its generations; none: it was never started."""

    tenant_id: str
    ticket_id: str
    generations: tuple[Generation, ...] = field(default=())

    @property
    def latest(self) -> Generation | None:
        return self.generations[-1] if self.generations else None

    @property
    def live(self) -> bool:
        return self.latest is not None and not self.latest.history.life.ended

    def apply(self, request: Message, now: int) -> tuple[Ticket, Effect]:
        """The ticket after `request` was carried out at `now`, and what must be seen of that."""
        return _RULES[type(request)](self, request, now)

    def with_latest(self, generation: Generation) -> Ticket:
        return replace(self, generations=(*self.generations[: generation.number - 1], generation))


Outcome = tuple[Ticket, Effect]


def _start(ticket: Ticket, request: rpc.StartSlaTrackingRequest, now: int) -> Outcome:
    latest, told = ticket.latest, []
    if latest is not None and ticket.live:
        if request.on_existing == pb.ON_EXISTING_FAIL:
            return ticket, Effect("TRACKING_EXISTS")
        if request.on_existing != pb.ON_EXISTING_REPLACE:
            return ticket, Effect()
        at = _now(latest, now)
        ticket = ticket.with_latest(replace(latest, facts=put(latest.facts, Fact(at, Kind.CANCEL))))
        told.append(Told(latest.number, pb.SLA_EVENT_TYPE_CANCELLED, at))
    ended_as = latest.history.life if latest is not None and latest.history.life.ended else None
    if ended_as is Life.COMPLETED and request.on_existing == pb.ON_EXISTING_CONTINUE_CANCELLED:
        return ticket, Effect()
    number = len(ticket.generations) + 1
    attributes = tuple(sorted(request.attributes.items()))
    started_at = request.started_at.ToMilliseconds() if request.HasField("started_at") else now
    born = Generation(number, terms_of(request), started_at, (), attributes)
    continues = ended_as is Life.CANCELLED and request.on_existing in (
        pb.ON_EXISTING_CONTINUE_CANCELLED,
        pb.ON_EXISTING_CONTINUE_OR_NEW,
    )
    if continues:
        assert latest is not None
        # The ends of its last life; one of an earlier life, perhaps of the same instant, stays.
        lived_since = max((place for place, f in enumerate(latest.facts) if f.kind is Kind.REOPEN), default=0)
        facts = tuple(
            f for place, f in enumerate(latest.facts) if place < lived_since or f.kind is not Kind.CANCEL
        )
        born = replace(born, started_at=latest.started_at, facts=facts)
        if not request.notification_thresholds and request.policy_id == latest.terms.policy_id:
            born = replace(born, terms=replace(born.terms, notifications=latest.terms.notifications))
    told.append(Told(number, pb.SLA_EVENT_TYPE_STARTED, now if continues else started_at))
    if continues:
        assert latest is not None
        noted = list(_told(latest, born))  # since the cancel
        if born.history.life is Life.PAUSED:
            # The pause that the cancel had cut short goes on, and who hears of this generation hears of it.
            pause = born.history.stops[-1]
            paused = Told(number, pb.SLA_EVENT_TYPE_PAUSED, pause.begin, reason=pause.reason)
            noted += [] if paused in noted else [paused]
        told += noted
    effect = Effect(
        changed=True,
        stored=True,
        told=tuple(told),
        at=now if told[0].generation < number else None,
        inherits=continues,
        silent=request.suppress_past,
    )
    return ticket.with_latest(born), effect


def _fact(kind: Kind) -> Callable[[Ticket, Any, int], Outcome]:
    def rule(ticket: Ticket, request: Any, now: int) -> Outcome:
        latest = ticket.latest
        if latest is None:
            return ticket, Effect("TRACKING_NOT_FOUND")
        at = _effective(latest, request, now)
        if isinstance(at, str):
            return ticket, Effect(at)
        then = fold(until(latest.facts, at))
        if kind in REFUSED[then.life.lower()]:
            return ticket, Effect(f"TRACKING_{then.life}")
        if then.life is Life.COMPLETED or (then.life is Life.CANCELLED and kind is Kind.CANCEL):
            return ticket, Effect()
        if kind is Kind.RESPOND and then.response is not None:
            return ticket, Effect()
        return _recorded(ticket, latest, Fact(at, kind, *_details(request)), now)

    return rule


def _recorded(ticket: Ticket, latest: Generation, fact: Fact, now: int) -> Outcome:
    after = replace(latest, facts=put(latest.facts, fact))
    if after.history == latest.history:
        return ticket.with_latest(after), Effect(stored=True)
    told = tuple(_told(latest, after))
    if not told and after.history.stops != latest.history.stops:
        # The time in which a reopened ticket was closed.
        told = (Told(after.number, pb.SLA_EVENT_TYPE_RETARGETED, now),)
    return ticket.with_latest(after), Effect(changed=True, stored=True, told=told, at=fact.at)


def _complete(ticket: Ticket, request: rpc.CompleteSlaRequest, now: int) -> Outcome:
    kind = Kind.RESPOND if request.phase == pb.SLA_PHASE_RESPONSE else Kind.RESOLVE
    return _fact(kind)(ticket, request, now)


def _retarget(ticket: Ticket, request: rpc.RetargetSlaRequest, now: int) -> Outcome:
    latest = ticket.latest
    if latest is None:
        return ticket, Effect("TRACKING_NOT_FOUND")
    if latest.history.life.ended:
        return ticket, Effect(f"TRACKING_{latest.history.life}")
    terms = terms_of(request)
    if terms == latest.terms:
        return ticket, Effect()
    told = (Told(latest.number, pb.SLA_EVENT_TYPE_RETARGETED, now),)
    effect = Effect(changed=True, stored=True, told=told, silent=request.suppress_past)
    return ticket.with_latest(replace(latest, terms=terms)), effect


def _reopen(ticket: Ticket, request: rpc.ReopenSlaRequest, now: int) -> Outcome:
    latest = ticket.latest
    if latest is None:
        return ticket, Effect("TRACKING_NOT_FOUND")
    if not latest.history.life.ended:
        return ticket, Effect()
    at = _effective(latest, request, now)
    if isinstance(at, str):
        return ticket, Effect(at)
    assert latest.history.ended_at is not None
    if at < latest.history.ended_at:
        return ticket, Effect("BEFORE_END")
    resumes = request.mode == pb.REOPEN_MODE_RESUME
    born = replace(latest, number=latest.number + 1)
    if resumes:
        born = replace(born, facts=put(born.facts, Fact(at, Kind.REOPEN)))
    else:
        born = replace(born, started_at=at, facts=())
    # What was recorded of a cancelled ticket for an instant after the reopening counts.
    recorded = _told(latest, born) if resumes else ()
    told = (Told(born.number, pb.SLA_EVENT_TYPE_REOPENED, at), *recorded)
    return ticket.with_latest(born), Effect(changed=True, stored=True, told=told, inherits=resumes)


_RULES: dict[type[Message], Callable[[Ticket, Any, int], Outcome]] = {
    rpc.StartSlaTrackingRequest: _start,
    rpc.PauseSlaRequest: _fact(Kind.PAUSE),
    rpc.ResumeSlaRequest: _fact(Kind.RESUME),
    rpc.CompleteSlaRequest: _complete,
    rpc.CancelSlaRequest: _fact(Kind.CANCEL),
    rpc.RetargetSlaRequest: _retarget,
    rpc.ReopenSlaRequest: _reopen,
}


def _now(generation: Generation, now: int) -> int:
    return max(now, generation.started_at, *(fact.at for fact in generation.facts[-1:]))


def _effective(generation: Generation, request: Any, now: int) -> int | str:
    """The instant of a command, or why that is refused (M6)."""
    if not request.HasField("effective_at"):
        return _now(generation, now)
    at: int = request.effective_at.ToMilliseconds()
    if at < generation.started_at - MAX_AHEAD_MS:
        return "BEFORE_START"
    if at > now + MAX_AHEAD_MS:
        return "IN_THE_FUTURE"
    return max(at, generation.started_at)


def _details(request: Any) -> tuple[int, bool | None]:
    reason = request.reason if isinstance(request, rpc.PauseSlaRequest) else 0
    said = isinstance(request, rpc.CompleteSlaRequest) and request.HasField("met")
    return reason, request.met if said else None


def _told(before: Generation, after: Generation) -> Iterator[Told]:
    """The events that tell the difference between two histories of one generation."""
    number, was, now = after.number, before.history, after.history
    pauses_before = [stop.begin for stop in was.stops if stop.reason]
    resumes_before = [stop.end for stop in was.stops if stop.resumed]
    begun, resumed_at = set(), None
    for stop in now.stops:
        if stop.reason and (not _struck(pauses_before, stop.begin) or stop.begin == resumed_at):
            begun.add(stop.begin)
            yield Told(number, pb.SLA_EVENT_TYPE_PAUSED, stop.begin, reason=stop.reason)
        # A known end is told again where a pause is told to begin: of one instant, what comes last holds.
        if stop.resumed and (not _struck(resumes_before, stop.end) or stop.end in begun):
            assert stop.end is not None
            resumed_at = stop.end
            yield Told(number, pb.SLA_EVENT_TYPE_RESUMED, stop.end)
    more, fewer = Counter(now.added), Counter(was.added)
    for at in sorted({at for at, _ in (more - fewer) + (fewer - more)} - begun):
        within = [s for s in now.stops if s.reason and s.begin <= at and (s.end is None or at < s.end)]
        if within:
            yield Told(number, pb.SLA_EVENT_TYPE_PAUSE_CHANGED, at, reason=within[0].reason)
    for phase in after.terms.phases:
        then, done = before.done(phase), after.done(phase)
        if done is not None and (then is None or then.at != done.at):
            met = after.met(phase)
            yield Told(number, pb.SLA_EVENT_TYPE_PHASE_COMPLETED, done.at, phase, met=met)
    if now.ended_at is not None and (now.life, now.ended_at) != (was.life, was.ended_at):
        if now.life is Life.COMPLETED:
            yield Told(number, pb.SLA_EVENT_TYPE_COMPLETED, now.ended_at, 2, met=after.met(2))
        else:
            yield Told(number, pb.SLA_EVENT_TYPE_CANCELLED, now.ended_at)


def _struck(instants: list[Any], instant: int | None) -> bool:
    """Whether `instant` is on the list; strikes it off."""
    if instant not in instants:
        return False
    instants.remove(instant)
    return True
