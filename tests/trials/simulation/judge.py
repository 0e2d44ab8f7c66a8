"""Holds what slad answers and tells against the model, and against what it told before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.core.events import EventType
from slad.core.instants import MINUTE_MS
from slad.engine.commands import Answer
from slad.storage.row_reader import StoredEvent
from tests.trials.simulation import rules
from tests.trials.simulation.actions import Action, Command, Knobs, Pass, Sweep
from tests.trials.simulation.draw import TICKETS
from tests.trials.simulation.faults import Faults
from tests.trials.simulation.ledger import Entry, Ledger, hold
from tests.trials.simulation.loop import SimulatedClock, instant
from tests.trials.simulation.model import Ticket
from tests.trials.simulation.obey import Tickets, obey
from tests.trials.simulation.readers import Reader
from tests.trials.simulation.system import EVENTS_MS, REQUESTS_MS, System


class Known(NamedTuple):
    """A request id that was answered."""

    command: Command
    reply: bytes
    minute: int


class Judge:
    """`system` is the life of slad that is looked at."""

    system: System

    def __init__(
        self, knobs: Knobs, clock: SimulatedClock, faults: Faults, readers: Mapping[str, Reader]
    ) -> None:
        self.knobs, self.clock, self.faults, self.readers = knobs, clock, faults, readers
        self.tickets: Tickets = {place: Ticket() for place in TICKETS}
        self.ledger = Ledger()
        self.requests: dict[tuple[str, str], Known] = {}
        self.action: Action = Pass(0)
        """What is being performed."""
        self.set_back = False
        """Whether the wall clock was ever set back."""

    def expect_refusal(self, command: Command, reason: str, now: int) -> None:
        known = self._known(command)
        if known:
            hold("M6", reason == "REQUEST_ID_REUSED", f"{command} is refused with {reason}")
            hold("M6", known.command != command, f"{command} is sent again, and refused with {reason}")
            return
        expected = obey(self.tickets, command, now)
        hold("M4", expected.refused == reason, f"{command} is refused with {reason}, not {expected}")

    def expect_answer(
        self, command: Command, reply: bytes, rendered: tuple[Answer, bytes] | None, now: int
    ) -> None:
        known = self._known(command)
        if known:
            hold("M6", known.command == command, f"{command} reuses the request id of {known.command}")
            hold("M6", known.reply == reply, f"{command} is answered {reply!r}, first was {known.reply!r}")
            hold("M6", rendered is None, f"{command} is carried out again")
            return
        expected = obey(self.tickets, command, now)
        hold("M4", not expected.refused, f"{command} is answered, not refused with {expected.refused}")
        assert rendered is not None
        answer, model = rendered[0], self.tickets[expected.place]
        hold("M7", answer.ticket[:2] == expected.place, f"{command} is for {expected.place}")
        hold(
            "M1",
            answer.ticket.generation == len(model.generations),
            f"{command}: generation {answer.ticket.generation}",
        )
        hold(
            rules.of_command(command),
            answer.changed == expected.changed,
            f"{command}: changed is {answer.changed}",
        )
        if answer.reading.now == instant(now) and now >= model.latest.known(now):
            rules.c2_t1_t2_status((*expected.place, answer.ticket.generation), answer, model.latest, now)
        if command.request_id:
            self.requests[command.tenant, command.request_id] = Known(command, reply, now)

    def _known(self, command: Command) -> Known | None:
        return self.requests.get((command.tenant, command.request_id)) if command.request_id else None

    def adopt(self, found: Sequence[StoredEvent]) -> None:
        """What timers did in the turn in which slad died is so, even if the clock is set back by the next start."""
        for stored in found:
            entry = Entry(stored, pb.SlaEvent.FromString(stored.body))
            tenant, ticket, number = entry.whose
            if (
                entry.type is EventType.THRESHOLD_REACHED
                and self.tickets[tenant, ticket].generations[number - 1 :]
            ):
                self.tickets[tenant, ticket].generations[number - 1].announce(
                    entry.threshold, self.clock.minute
                )

    def remembered(self) -> None:
        rows = {row.name: row.acknowledged for row in self.system.store.consumers()}
        for reader in self.readers.values():
            self.take()
            reader.remembered(rows.get(reader.name, 0), self.ledger)

    def settle_model(self) -> None:
        for ticket in self.tickets.values():
            if ticket.generations:
                ticket.latest.settle(self.clock.minute, by_time=True)
        for who, generation in rules.whose(self.tickets):
            for key, at in self.ledger.fired.get(who, {}).items():
                if key in generation.announced:
                    generation.announced[key] = generation.announced[key]._replace(at=at)

    def take(self) -> list[Entry]:
        fresh, removed = self.ledger.take(self.system.store.events_after(0, 1_000_000))
        for entry in fresh:
            self._hear_of(entry)
        if removed:
            hold("E2", isinstance(self.action, Sweep), f"{len(removed)} events are gone")
            self._removed(removed)
        return fresh

    def _hear_of(self, entry: Entry) -> None:
        tenant, ticket, number = entry.whose
        generations = self.tickets[tenant, ticket].generations
        hold("M8", number <= len(generations), f"{entry.whose} was never started: {entry.type.name}")
        if entry.type in (EventType.STARTED, EventType.REOPENED) and generations[number - 1].inherits:
            before = self.ledger.told.get((tenant, ticket, number - 1), {})
            self.ledger.told[entry.whose] = dict(before)
        self.ledger.hear(entry)
        if entry.type is EventType.THRESHOLD_REACHED:
            rules.c4_meaning(entry, generations[number - 1])

    def _removed(self, removed: Sequence[Entry]) -> None:
        registered = {row.name for row in self.system.store.consumers()}
        for entry in removed:
            at = entry.stored.sequence
            hold("E2", at < self.ledger.head, "the newest event was removed")
            for reader in self.readers.values():
                owed = reader.name in registered and at > reader.acknowledged and reader.wants(entry.stored)
                hold("E2", not owed, f"event {at} is owed to {reader.name}, and removed")
            age = self.clock.now() - entry.event.recorded_at.ToMilliseconds()
            fair = age > EVENTS_MS or self.knobs.max_events < 100 or self.set_back
            hold("E2", fair, f"event {at} was removed at the age of {age} ms")

    def check(self) -> None:
        now = self.clock.minute
        if not (self.faults.full or self.system.in_trouble):
            self.settle_model()
        rules.c5_told(self.tickets, self.ledger, now)
        for place, ticket in self.tickets.items():
            if ticket.generations and now >= ticket.latest.known(now):
                answer = self.system.queries.status(*place, None, self.clock.now())
                whose = (*place, answer.ticket.generation)
                hold("M8", answer.ticket.generation == len(ticket.generations), f"{whose} is the latest")
                rules.c2_t1_t2_status(whose, answer, ticket.latest, now)
        self._check_requests()

    def _check_requests(self) -> None:
        """Answers are remembered until retention may forget them (M6)."""
        for (tenant, request_id), known in list(self.requests.items()):
            stored = self.system.store.answer(tenant, request_id)
            if stored is None:
                age = (self.clock.minute - known.minute) * MINUTE_MS
                hold("M6", age > REQUESTS_MS or self.set_back, f"{known.command} is forgotten at {age} ms")
                del self.requests[tenant, request_id]
            else:
                hold(
                    "M6", stored.answer == known.reply, f"{known.command} is remembered as {stored.answer!r}"
                )
