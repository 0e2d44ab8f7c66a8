"""The events that a sink has still to be given, and which of them may go next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from slad_client.v1 import types_pb2 as pb

from slad.delivery.sinks.parked import TicketKey, ticket_of
from slad.storage.rows import ParkedEventRow


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way."""

    event: pb.SlaEvent
    ticket: TicketKey
    row: ParkedEventRow | None = None
    """As it is parked, if it was, and is delivered again."""
    attempts: int = 0
    """Those that failed."""
    is_alone: bool = False
    """It was in a batch that failed, and may be the reason: it goes by itself."""
    not_before_s: float = 0.0
    """When it may be tried again, by the clock of the event loop."""


class Backlog:
    """The deliveries that are not finished. For the event loop's thread; never waits.

    Contract
      - The events of a ticket go in their order, and never side by side: what `take` gives is out until it is
        given back, and meanwhile nothing else of its tickets is given.
      - `done` is a sequence up to which every new event is finished.
    """

    def __init__(self) -> None:
        self._new: dict[int, Delivery] = {}
        self._again: dict[int, Delivery] = {}
        """Parked events that are delivered again."""
        self._again_of: Counter[TicketKey] = Counter()
        """How many of them each ticket has."""
        self._out: Counter[TicketKey] = Counter()
        self._read = 0

    @property
    def new(self) -> int:
        """How many new events there are."""
        return len(self._new)

    @property
    def again(self) -> int:
        """How many parked events are delivered again."""
        return len(self._again)

    @property
    def done(self) -> int:
        """The sequence up to which every new event is finished; 0 before the first."""
        return next(iter(self._new)) - 1 if self._new else self._read

    def is_again(self, ticket: TicketKey) -> bool:
        """Whether parked events of this ticket are delivered again."""
        return ticket in self._again_of

    def restart(self) -> None:
        """Forgets the new events, as they are read again."""
        self._new.clear()
        self._read = 0

    def add(self, events: Iterable[pb.SlaEvent], up_to: int) -> None:
        """Takes over new events, in order: all that there are up to this sequence."""
        for event in events:
            self._new[event.sequence] = Delivery(event, ticket_of(event))
        self._read = up_to

    def add_again(self, row: ParkedEventRow, event: pb.SlaEvent) -> None:
        """Takes over a parked event, after those before it on its ticket."""
        ticket = ticket_of(row)
        self._again[row.sequence] = Delivery(event, ticket, row, row.attempts)
        self._again_of[ticket] += 1

    def drop_again(self, ticket: TicketKey) -> None:
        """Forgets the parked events of a ticket: they stay parked."""
        for sequence in [s for s, delivery in self._again.items() if delivery.ticket == ticket]:
            del self._again[sequence]
        del self._again_of[ticket]

    def take(self, now_s: float, size: int, *, again_only: bool = False) -> list[Delivery]:
        """Up to `size` deliveries that may go together now, the oldest first."""
        found: list[Delivery] = []
        for delivery in self._free(now_s, again_only):
            if found and (delivery.is_alone or found[0].is_alone):
                break
            found.append(delivery)
            if len(found) == size:
                break
        return self._taken(found)

    def take_fairly(self, now_s: float, *, again_only: bool = False) -> list[Delivery]:
        """One delivery that may go now: the oldest of those with the fewest attempts.

        So an event that the target fails on does not stand before all others.
        """
        first: dict[TicketKey, Delivery] = {}
        for delivery in self._free(now_s, again_only):
            first.setdefault(delivery.ticket, delivery)
        return self._taken(sorted(first.values(), key=lambda delivery: delivery.attempts)[:1])

    def finish(self, deliveries: Iterable[Delivery]) -> None:
        """These are delivered, or set aside."""
        for delivery in deliveries:
            place = self._new if delivery.row is None else self._again
            if place.get(delivery.event.sequence) is delivery:
                del place[delivery.event.sequence]
                if delivery.row is not None:
                    self._again_of -= Counter([delivery.ticket])

    def give_back(self, deliveries: Iterable[Delivery]) -> None:
        """The attempt with these is over; those that are not finished come again."""
        self._out -= Counter(delivery.ticket for delivery in deliveries)

    def _taken(self, deliveries: list[Delivery]) -> list[Delivery]:
        self._out.update(delivery.ticket for delivery in deliveries)
        return deliveries

    def _free(self, now_s: float, again_only: bool) -> Iterator[Delivery]:
        """Those that may go, in order."""
        waiting: set[TicketKey] = set()
        for delivery in chain(self._again.values(), () if again_only else self._new.values()):
            if delivery.not_before_s > now_s:
                waiting.add(delivery.ticket)
            elif delivery.ticket not in self._out and delivery.ticket not in waiting:
                yield delivery
