"""The outbox as it was seen after every step: each event once, in order, and what it told of thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.core.events import EventType
from slad.storage.row_reader import StoredEvent
from tests.core.naive_ticket import Announced
from tests.trials.simulation.actions import FROM_START, ONE_CYCLE
from tests.trials.simulation.loop import minute_of

Whose = tuple[str, str, int]
"""(tenant, ticket, generation)."""


class Violation(AssertionError):  # noqa: N818 - as it reads where it is raised
    """A rule of docs/semantics.md does not hold."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


CHECKS: Counter[str] = Counter()
"""How often each rule was held against what slad did, in the present run."""


def hold(rule: str, holds: bool, message: object) -> None:
    CHECKS[rule] += 1
    if not holds:
        raise Violation(rule, str(message))


class Entry(NamedTuple):
    stored: StoredEvent
    event: pb.SlaEvent

    @property
    def type(self) -> EventType:
        return EventType(self.event.type)

    @property
    def whose(self) -> Whose:
        return self.event.tenant_id, self.event.ticket_id, self.event.generation

    @property
    def threshold(self) -> Announced:
        clock = self.event.clock
        opened = minute_of(self.event.cycle_opened_at.ToMilliseconds())
        return clock, FROM_START if clock in ONE_CYCLE else opened, self.event.threshold.percent

    @property
    def scheduled(self) -> int:
        return minute_of(self.event.threshold.scheduled_at.ToMilliseconds())

    @property
    def fired(self) -> int:
        return minute_of(self.event.threshold.fired_at.ToMilliseconds())


class Ledger:
    def __init__(self) -> None:
        self.kept: dict[int, Entry] = {}
        """By sequence, what retention has left."""
        self.head = 0
        self.ids: set[str] = set()
        self.told: dict[Whose, dict[Announced, int]] = {}
        """Thresholds announced and not retracted, with the minute for which they were."""
        self.fired: dict[Whose, dict[Announced, int]] = {}
        """The minute at which each was announced last."""

    def take(self, stored: Sequence[StoredEvent]) -> tuple[list[Entry], list[Entry]]:
        """Compares with the whole outbox, in order; (new entries, entries that were removed)."""
        sequences = [event.sequence for event in stored]
        hold("E1", sequences == sorted(set(sequences)), f"sequences are not increasing: {sequences}")
        there = {event.sequence: event for event in stored}
        removed = [entry for sequence, entry in self.kept.items() if sequence not in there]
        for entry in removed:
            del self.kept[entry.stored.sequence]
        for sequence, entry in self.kept.items():
            hold("E1", there[sequence] == entry.stored, f"event {sequence} has changed")
        fresh = []
        for event in stored:
            if event.sequence in self.kept:
                continue
            hold("E1", event.sequence == self.head + 1, f"sequence {event.sequence} follows {self.head}")
            entry = Entry(event, pb.SlaEvent.FromString(event.body))
            hold("E1", entry.event.sequence == event.sequence, "an event has another sequence than its row")
            hold("E1", entry.event.event_id not in self.ids, f"event_id of {event.sequence} is not new")
            self.ids.add(entry.event.event_id)
            self.kept[event.sequence] = entry
            self.head = event.sequence
            fresh.append(entry)
        return fresh, removed

    def hear(self, entry: Entry) -> None:
        """Keeps what is told of thresholds, as a consumer would."""
        told = self.told.setdefault(entry.whose, {})
        if entry.type is EventType.THRESHOLD_REACHED:
            hold("C5", entry.threshold not in told, f"{entry.whose} {entry.threshold} is told twice")
            told[entry.threshold] = entry.scheduled
            self.fired.setdefault(entry.whose, {})[entry.threshold] = entry.fired
        elif entry.type is EventType.THRESHOLD_RETRACTED:
            at = told.pop(entry.threshold, None)
            hold(
                "M6", at == entry.scheduled, f"{entry.whose} {entry.threshold} is retracted, but told at {at}"
            )
