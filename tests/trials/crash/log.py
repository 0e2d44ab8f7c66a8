"""Every event that was ever seen, as it was seen first."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.faults import FaultError, FaultKind


def content_of(event: pb.SlaEvent) -> bytes:
    """An event's content, equal for equal events."""
    return event.SerializeToString(deterministic=True)


class EventLog:
    """The one order of events. `Reading`s add to it and are held against it."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        """Of all events, ascending."""
        self.contents: dict[int, bytes] = {}
        self.by_tenant: defaultdict[str, list[int]] = defaultdict(list)
        self.by_ticket: defaultdict[str, list[int]] = defaultdict(list)
        self.types: Counter[int] = Counter()
        self.broken = False
        """A stream contradicted it; it will not be complete any more."""
        self._ids: dict[str, int] = {}

    @property
    def last(self) -> int:
        return self.sequences[-1] if self.sequences else 0

    def events_of(self, ticket_id: str) -> list[pb.SlaEvent]:
        return [pb.SlaEvent.FromString(self.contents[s]) for s in self.by_ticket.get(ticket_id, ())]

    def add(self, event: pb.SlaEvent) -> None:
        """Takes a new event. Raises FaultError when its place or its id is not new."""
        sequence, where = event.sequence, f"sequence {event.sequence}"
        if sequence <= self.last:
            raise FaultError(FaultKind.DISORDER, where, f"after {self.last}")
        if event.event_id in self._ids:
            what = f"has the event_id of sequence {self._ids[event.event_id]}: {event}"
            raise FaultError(FaultKind.DOUBLED, where, what)
        self._ids[event.event_id] = sequence
        self.sequences.append(sequence)
        self.contents[sequence] = content_of(event)
        self.by_tenant[event.tenant_id].append(sequence)
        self.by_ticket[event.ticket_id].append(sequence)
        self.types[event.type] += 1


class Reading:
    """One stream of all events after a sequence: what is known comes again, identical and whole."""

    def __init__(self, log: EventLog, after: int) -> None:
        self._log = log
        self._place = bisect_right(log.sequences, after)

    def take(self, event: pb.SlaEvent) -> None:
        """Raises FaultError when the event is not the one that must come next."""
        log = self._log
        if self._place == len(log.sequences):
            log.add(event)
        else:
            expected = log.sequences[self._place]
            where = f"sequence {event.sequence}"
            if event.sequence > expected:
                raise FaultError(FaultKind.LOST, where, f"sequence {expected} was seen before, and is gone")
            if event.sequence < expected:
                raise FaultError(FaultKind.DISORDER, where, f"was not there before; {expected} was next")
            if content_of(event) != log.contents[expected]:
                before = pb.SlaEvent.FromString(log.contents[expected])
                raise FaultError(FaultKind.CHANGED, where, f"was {before}, is {event}")
        self._place += 1


@dataclass
class Session:
    """What one stream of a durable consumer brought."""

    consumer: str
    tenant_id: str
    """Of a filtered consumer; empty: all tenants."""
    starts: tuple[int, ...]
    """Where it may have begun: at the last acknowledgement, or at one whose fate is unknown."""
    delivered: list[tuple[int, int]] = field(default_factory=list)
    """(sequence, hash of the content)."""

    def check(self, log: EventLog) -> None:
        """Everything since the acknowledgement, in order, and nothing else. Raises FaultError.

        To be called when the log has come as far as the session.
        """
        if not self.delivered:
            return
        sequences = [sequence for sequence, _ in self.delivered]
        wanted = log.by_tenant[self.tenant_id] if self.tenant_id else log.sequences
        places = [bisect_right(wanted, start) for start in self.starts]
        if not any(wanted[place : place + len(sequences)] == sequences for place in places):
            raise self._fault(sequences, wanted)
        for sequence, content in self.delivered:
            if content != hash(log.contents[sequence]):
                raise FaultError(FaultKind.CHANGED, self.consumer, f"sequence {sequence} differs")

    def _fault(self, sequences: list[int], wanted: list[int]) -> FaultError:
        if sequences[0] <= min(self.starts):
            what = f"began at {sequences[0]}, though {min(self.starts)} was acknowledged"
            return FaultError(FaultKind.REGRESSED, self.consumer, what)
        if sequences != sorted(set(sequences)):
            return FaultError(FaultKind.DISORDER, self.consumer, f"{sequences[:50]}")
        first = bisect_right(wanted, min(self.starts))
        absent = sorted(set(wanted[first : bisect_right(wanted, sequences[-1])]) - set(sequences))
        return FaultError(FaultKind.LOST, self.consumer, f"{absent[:20]} were not delivered to it")
