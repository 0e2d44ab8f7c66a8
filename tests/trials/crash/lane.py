"""One lane of a client: a few tickets, one command after the other, and a journal of them.

A ticket belongs to one lane, so that the order of its commands is known; the lanes of all clients share the
daemon's turns.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.caller import Caller, DownError, RefusedError
from tests.trials.crash.faults import FaultError, FaultKind, Faults
from tests.trials.crash.gate import Gate
from tests.trials.crash.journal import Attempt, Counts, Entry, TicketJournal, now_ms, status_of
from tests.trials.crash.life import History
from tests.trials.crash.load import Load, Request
from tests.trials.crash.replay import REACHED, RETRACTED, told_of
from tests.trials.crash.statuses import compare
from tests.trials.crash.ticket import Ticket, Told

TICKETS_AT_ONCE = 3
COMMANDS_A_TICKET = (4, 40)
PAUSE_S = 0.004
"""Between two commands, on average."""

REPEATS_KEPT = 200


class Lane:
    """`verbatim`: its replies are the very bytes that slad sent; those of a pipeline are not."""

    def __init__(
        self,
        name: str,
        tenant_id: str,
        rng: Random,
        schedule: pb.BusinessHoursSchedule,
        faults: Faults,
        *,
        verbatim: bool = True,
    ) -> None:
        self.name = name
        self._verbatim = verbatim
        self.counts = Counts()
        self.journals: list[TicketJournal] = []
        """Of all tickets, but those in which a fault was found."""
        self.answered: list[Entry] = []
        """Acknowledged commands with a request_id, to be sent again."""
        self._tenant_id = tenant_id
        self._rng = rng
        self._load = Load(rng, schedule)
        self._faults = faults
        self._pool: list[TicketJournal] = []
        self._left: dict[str, int] = {}
        self._touched: dict[str, TicketJournal] = {}

    async def work(self, caller: Caller, gate: Gate) -> None:
        """Catches up with what a crash has left open, then sends commands. Raises DownError."""
        await self.catch_up(caller)
        while True:
            await gate.pass_by()
            await self._step(caller, gate)

    @property
    def in_use(self) -> set[str]:
        """The tickets that may change yet."""
        return {journal.name for journal in self._pool}

    @property
    def names(self) -> set[str]:
        """All tickets that it ever had."""
        return set(self._left)

    # --- load

    async def _step(self, caller: Caller, gate: Gate) -> None:
        await asyncio.sleep(self._rng.expovariate(1 / PAUSE_S))
        run = gate.run_number
        await self._send_something(caller)
        self.counts.carried_over += gate.run_number > run

    async def _send_something(self, caller: Caller) -> None:
        if self.answered and self._rng.random() < 0.06:
            await self.repeat(caller, self._rng.choice(self.answered))
            return
        journal = self._pick()
        await self.send(caller, journal, self._load.next(journal, now_ms()))

    async def send(self, caller: Caller, journal: TicketJournal, request: Request) -> None:
        """Sends one command for a ticket, and notes what becomes of it. Raises DownError."""
        journal.pending = Entry(type(request), request.SerializeToString(deterministic=True))
        with self._watching(journal):
            await self._deliver(caller, journal, journal.pending)

    def _pick(self) -> TicketJournal:
        if len(self._pool) < TICKETS_AT_ONCE:
            journal = TicketJournal(Ticket(self._tenant_id, f"{self.name}-{len(self._left) + 1}"))
            self._left[journal.name] = self._rng.randint(*COMMANDS_A_TICKET)
            self.journals.append(journal)
            self._pool.append(journal)
        journal = self._rng.choice(self._pool)
        self._left[journal.name] -= 1
        if not self._left[journal.name]:
            # The last command for this ticket; its clocks go on.
            self._pool.remove(journal)
        self._touched[journal.name] = journal
        return journal

    async def _deliver(self, caller: Caller, journal: TicketJournal, entry: Entry) -> None:
        self.counts.sent += 1
        sent_at = now_ms()
        try:
            reply = await caller.send(entry.kind, entry.request)
        except DownError:
            entry.unknown.append(Attempt(sent_at, now_ms()))
            self.counts.unknown += 1
            raise
        except RefusedError as refused:
            self._refused(journal, entry, refused)
        else:
            self._acknowledged(journal, entry, reply, sent_at)
        journal.pending = None

    def _acknowledged(self, journal: TicketJournal, entry: Entry, reply: bytes, sent_at: int) -> None:
        self.counts.acknowledged += 1
        entry.reply = reply
        answer = entry.answer
        at = entry.carried_out_at = status_of(answer).as_of.ToMilliseconds()
        in_time = sent_at <= at <= now_ms()
        if not in_time and not (entry.request_id and any(attempt.covers(at) for attempt in entry.unknown)):
            raise _wrong(journal, f"{entry} is answered as of {at}, when it was not under way")
        after, effect = journal.ticket.apply(entry.message, at)
        if effect.refused:
            raise _wrong(journal, f"{entry} was accepted; the rules say {effect.refused}")
        said = answer.created if isinstance(answer, rpc.StartSlaTrackingResponse) else answer.changed
        if said != effect.changed:
            raise _wrong(journal, f"{entry} says changed = {said}; by the rules it is {effect.changed}")
        assert after.latest is not None
        if isinstance(answer, rpc.CompleteSlaResponse):
            met = after.latest.met(entry.message.phase)
            differs = met is not None and entry.message.HasField("met") and entry.message.met != met
            if (answer.met, answer.met_differs) != (met is not False, differs):
                raise _wrong(journal, f"{entry} says met = {answer.met}; by the rules it is {met}")
        compare(status_of(answer), after, after.latest)
        journal.accept(entry, after, effect.told)
        self._count_fate(entry, happened=not in_time)
        if entry.request_id:
            self.answered.append(entry)
            if len(self.answered) > REPEATS_KEPT:
                # Not always the oldest: some are to be sent again much later.
                del self.answered[self._rng.randrange(REPEATS_KEPT)]

    def _refused(self, journal: TicketJournal, entry: Entry, refused: RefusedError) -> None:
        self.counts.refused += 1
        _, effect = journal.ticket.apply(entry.message, now_ms())
        if effect.refused != refused.reason:
            raise _wrong(journal, f"{entry}: {refused}; the rules say {effect}")
        self._count_fate(entry, happened=False)

    def _count_fate(self, entry: Entry, *, happened: bool) -> None:
        if entry.unknown:
            self.counts.took_effect += happened
            self.counts.no_effect += len(entry.unknown) - happened

    async def repeat(self, caller: Caller, entry: Entry) -> None:
        """The first answer, byte for byte where that can be seen (M6); and the same id for something else is refused."""
        if self._rng.random() < 0.1:
            await self._reuse(caller, entry)
            return
        try:
            reply = await caller.send(entry.kind, entry.request)
        except RefusedError as refused:
            self._faults.add(FaultKind.CHANGED, self.name, f"{entry}, sent again, is refused: {refused}")
            return
        self.counts.repeated += 1
        was, now = entry.answer, type(entry.answer).FromString(reply)
        if now != was or (self._verbatim and reply != entry.reply):
            self._faults.add(FaultKind.CHANGED, self.name, f"{entry}: reply was {was}, now {now}")

    async def _reuse(self, caller: Caller, entry: Entry) -> None:
        request = entry.message
        request.ticket_id += "-other"
        try:
            await caller.send(entry.kind, request.SerializeToString())
        except RefusedError as refused:
            if refused.reason == "REQUEST_ID_REUSED":
                return
        self._faults.add(FaultKind.WRONG_ANSWER, self.name, f"the request_id of {entry} could be used again")

    # --- after a crash

    async def catch_up(self, caller: Caller) -> None:
        for journal in list(self._touched.values()):
            with self._watching(journal):
                if journal.pending is not None:
                    await self.learn_fate(caller, journal, journal.pending)
                if journal.touched:
                    status, _ = await _look(caller, journal)
                    _compare_with(status, journal.ticket)
                    journal.touched = False
            self._touched.pop(journal.name, None)
        for entry in self.answered[-1:]:
            await self.repeat(caller, entry)

    async def repeat_all(self, caller: Caller) -> None:
        """Sends all requests again that are kept for that."""
        for entry in self.answered:
            await self.repeat(caller, entry)

    async def learn_fate(self, caller: Caller, journal: TicketJournal, entry: Entry) -> None:
        """Whether a command whose reply was lost has happened: wholly or not at all (M8)."""
        status, news = await _look(caller, journal)
        told: tuple[Told, ...] = ()
        happened_at = self._happened_at(journal, entry, news)
        ticket, is_told = journal.ticket, bool(happened_at)
        if is_told:
            ticket, effect = ticket.apply(entry.message, happened_at)
            told = effect.told
            if Counter(told) != Counter(event for event, _ in news):
                raise _half(journal, f"{entry}: {news} of {told}")
        else:
            happened_at, ticket = _unheard(status, ticket, entry)
        try:
            _compare_with(status, ticket)
        except FaultError as error:
            raise _half(journal, f"{entry}, with the events {news}: {error.fault.what}") from error
        if entry.request_id:
            sent_at, told_before = now_ms(), len(journal.told)
            await self._deliver(caller, journal, entry)
            # The reply to the command sent again must agree with what was there before.
            if is_told and entry.carried_out_at != happened_at:
                raise _half(journal, f"{entry} had happened at {happened_at}, answered: {entry.answer}")
            shows = len(journal.told) > told_before or _history(journal.ticket) != _history(ticket)
            if not happened_at and shows and entry.carried_out_at < sent_at:
                raise _half(journal, f"{entry} is answered as done, but nothing of it was there")
            return
        if happened_at:
            entry.carried_out_at = happened_at
            journal.accept(entry, ticket, told)
        self._count_fate(entry, happened=bool(happened_at))
        journal.pending = None

    def _happened_at(self, journal: TicketJournal, entry: Entry, news: list[tuple[Told, int]]) -> int:
        """When the command was carried out, going by its events; 0: there are none."""
        instants = {recorded_at for _, recorded_at in news}
        if not instants:
            return 0
        at = max(instants)
        if len(instants) > 1 or not any(attempt.covers(at) for attempt in entry.unknown):
            raise FaultError(FaultKind.UNEXPLAINED, journal.name, f"{news}, after {entry}")
        return at

    @contextmanager
    def _watching(self, journal: TicketJournal) -> Iterator[None]:
        """Notes a fault of a ticket and goes on without that ticket."""
        try:
            yield
        except FaultError as error:
            self._faults.append(error.fault)
            self.journals = [other for other in self.journals if other is not journal]
            self._touched.pop(journal.name, None)
            self._pool = [other for other in self._pool if other is not journal]


async def _look(caller: Caller, journal: TicketJournal) -> tuple[pb.SlaStatus | None, list[tuple[Told, int]]]:
    """The status of a ticket, and the events (with the instants of their record) that its journal lacks."""
    known = len(journal.ticket.generations)
    try:
        timeline = await caller.ask(_timeline(journal))
    except RefusedError as refused:
        if refused.code is not grpc.StatusCode.NOT_FOUND:
            raise _wrong(journal, f"asked for its timeline: {refused}") from None
        return None, []
    events = list(timeline.events)
    if known and timeline.status.generation > known:
        events = [*(await caller.ask(_timeline(journal, known))).events, *events]
    told = [
        (told_of(event), event.recorded_at.ToMilliseconds())
        for event in events
        if event.type not in (REACHED, RETRACTED)
    ]
    expected = Counter(told for told in journal.told if told.generation >= known)
    news = []
    for event, recorded_at in told:
        if expected[event]:
            expected[event] -= 1
        else:
            news.append((event, recorded_at))
    if expected.total():
        raise FaultError(FaultKind.LOST, journal.name, f"events are gone: {expected}")
    return timeline.status, news


def _history(ticket: Ticket) -> History | None:
    return ticket.latest and ticket.latest.history


def _unheard(status: pb.SlaStatus | None, ticket: Ticket, entry: Entry) -> tuple[int, Ticket]:
    """(when, the ticket then) for a command that shows in the status, though no event tells of it; (0, `ticket`)
    if it does not.

    So it is with an end that is told of late, before an earlier end of a life that was reopened: the time
    between is longer, which is not announced.
    """
    at = entry.unknown[-1].failed_at
    after, effect = ticket.apply(entry.message, at)
    if effect.changed and not effect.told:
        with suppress(FaultError):
            _compare_with(status, after)
            return at, after
    return 0, ticket


def _timeline(journal: TicketJournal, generation: int | None = None) -> rpc.GetSlaTimelineRequest:
    return rpc.GetSlaTimelineRequest(
        tenant_id=journal.ticket.tenant_id, ticket_id=journal.name, generation=generation
    )


def _compare_with(status: pb.SlaStatus | None, ticket: Ticket) -> None:
    if ticket.latest is None:
        if status is not None:
            raise FaultError(FaultKind.UNEXPLAINED, ticket.ticket_id, "was never started, and is there")
        return
    if status is None:
        raise FaultError(FaultKind.LOST, ticket.ticket_id, "slad does not know it")
    compare(status, ticket, ticket.latest)


def _wrong(journal: TicketJournal, what: str) -> FaultError:
    return FaultError(FaultKind.WRONG_ANSWER, journal.name, what)


def _half(journal: TicketJournal, what: str) -> FaultError:
    return FaultError(FaultKind.HALF, journal.name, what)
