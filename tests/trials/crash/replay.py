"""The events of a ticket held against its commands, one by one, in order.

Between two commands only timers speak; each command says all that it made true or untrue, in one go. So every
event must be explained by the commands, and everything that the commands imply must be there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.faults import FaultError, FaultKind
from tests.trials.crash.journal import Entry, TicketJournal, status_of
from tests.trials.crash.statuses import Firing, Firings, compare
from tests.trials.crash.ticket import Effect, Generation, Ticket, Told

REACHED = pb.SLA_EVENT_TYPE_THRESHOLD_REACHED
RETRACTED = pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED
FOREVER = 1 << 60


class TimerEvent(NamedTuple):
    """A threshold that fired by itself, not with a command."""

    sequence: int
    scheduled_at: int


@dataclass
class Played:
    """What is in force once all events are explained."""

    ticket: Ticket
    firings: dict[int, Firings] = field(default_factory=dict)
    """By generation."""
    timers: list[TimerEvent] = field(default_factory=list)

    def require_due(self, due_by: int) -> None:
        """Every threshold that is due by `due_by` must have fired. Raises FaultError."""
        latest = self.ticket.latest
        if latest is not None:
            _require(self.ticket, latest, self.firings[latest.number], due_by)

    @property
    def settled(self) -> bool:
        """Whether time alone changes nothing any more."""
        latest = self.ticket.latest
        return latest is None or not _due(latest, self.firings[latest.number], FOREVER)


def play(journal: TicketJournal, events: Iterable[pb.SlaEvent]) -> Played:
    """Explains the events of a ticket, in order. Raises FaultError for the first that cannot be."""
    return _Replay(journal, events).run()


class _Replay:
    def __init__(self, journal: TicketJournal, events: Iterable[pb.SlaEvent]) -> None:
        self._journal = journal
        self._events = deque(events)
        first = journal.ticket
        self._played = Played(Ticket(first.tenant_id, first.ticket_id))

    def run(self) -> Played:
        for entry in self._journal.entries:
            self._command(entry)
        self._timers(FOREVER, "")
        for event in self._events:
            raise self._fault(FaultKind.UNEXPLAINED, f"no command explains {_brief(event)}")
        return self._played

    # --- commands

    def _command(self, entry: Entry) -> None:
        played, now = self._played, entry.carried_out_at
        self._timers(now, str(entry))
        before = played.ticket.latest
        played.ticket, effect = played.ticket.apply(entry.message, now)
        if effect.refused:
            raise self._fault(FaultKind.WRONG_ANSWER, f"{entry} was accepted; the rules say {effect.refused}")
        if effect.changed:
            if before is not None and effect.at is not None:
                _require(played.ticket, before, played.firings[before.number], min(effect.at, now))
            latest = self._enter(effect)
            self._take_told(entry, effect, now)
            self._take_retracted(entry, latest, now)
            self._take_reached(entry, latest, effect, now)
        answer = entry.answer
        if answer is not None:
            latest = self._latest
            firings = played.firings[latest.number] if effect.changed else None
            compare(status_of(answer), played.ticket, latest, firings)

    @property
    def _latest(self) -> Generation:
        latest = self._played.ticket.latest
        assert latest is not None
        return latest

    def _enter(self, effect: Effect) -> Generation:
        """Makes room for the firings of a generation that begins here."""
        latest, firings = self._latest, self._played.firings
        if latest.number not in firings:
            earlier = firings.get(latest.number - 1, {})
            firings[latest.number] = dict(earlier) if effect.inherits else {}
        return latest

    def _take_told(self, entry: Entry, effect: Effect, now: int) -> None:
        expected = list(effect.told)
        found = [self._events.popleft() for _ in range(min(len(expected), len(self._events)))]
        for event in found:
            told = told_of(event)
            if told not in expected or event.recorded_at.ToMilliseconds() != now:
                raise self._fault(
                    FaultKind.LOST, f"{entry} should be told as {expected}, not {_brief(event)}"
                )
            expected.remove(told)
        if expected:
            raise self._fault(FaultKind.LOST, f"{entry} is not told: {expected}")
        for first, second in pairwise(found):
            instants = first.occurred_at.ToMilliseconds(), second.occurred_at.ToMilliseconds()
            begins = first.type == pb.SLA_EVENT_TYPE_STARTED  # with what it takes over from before
            if first.generation == second.generation and instants[0] > instants[1] and not begins:
                raise self._fault(FaultKind.DISORDER, f"{_brief(first)} before {_brief(second)}")

    def _take_retracted(self, entry: Entry, latest: Generation, now: int) -> None:
        firings = self._played.firings[latest.number]
        untrue = {key for key in firings if latest.has_reached(*key, now) is None}
        aloud = {key for key in untrue if not firings[key].silent}
        for _ in range(len(aloud)):
            event = self._events.popleft() if self._events else None
            key = (event.phase, event.threshold.percent) if event else (0, 0)
            if event is None or event.type != RETRACTED or key not in aloud:
                raise self._fault(
                    FaultKind.LOST, f"{entry} should retract {aloud}, then came {_brief(event)}"
                )
            if event.threshold.scheduled_at.ToMilliseconds() != firings[key].scheduled_at:
                raise self._fault(FaultKind.CHANGED, f"{_brief(event)} names an instant that never was")
            aloud.remove(key)
        for key in untrue:
            del firings[key]

    def _take_reached(self, entry: Entry, latest: Generation, effect: Effect, now: int) -> None:
        firings = self._played.firings[latest.number]
        due = dict(_due(latest, firings, now))
        if effect.silent:
            for key, instant in due.items():
                firings[key] = Firing(instant, now, _is_superseded(key, due), silent=True)
            return
        last = 0
        for _ in range(len(due)):
            event = self._events.popleft() if self._events else None
            key = (event.phase, event.threshold.percent) if event else (0, 0)
            if event is None or event.type != REACHED or due.get(key, -1) < last:
                raise self._fault(FaultKind.MISSING, f"{entry} makes {due} due, then came {_brief(event)}")
            if event.recorded_at.ToMilliseconds() != now:
                raise self._fault(FaultKind.HALF, f"{_brief(event)} was not recorded with {entry}")
            last = due[key]
            self._check_reached(event, latest, last, superseded=_is_superseded(key, due))
            firings[key] = _firing(event)

    # --- timers

    def _timers(self, until: int, before: str) -> None:
        """Takes the thresholds that fired before a command that was carried out at `until`."""
        latest = self._played.ticket.latest
        while self._events and self._events[0].type == REACHED:
            event = self._events[0]
            recorded_at, key = event.recorded_at.ToMilliseconds(), (event.phase, event.threshold.percent)
            if recorded_at > until or latest is None or event.generation != latest.number:
                return
            firings = self._played.firings[latest.number]
            if key in firings:
                raise self._fault(FaultKind.DOUBLED, f"{_brief(event)} had fired at {firings[key]}")
            due = dict(_due(latest, firings, recorded_at))
            if key not in due:
                if recorded_at == until:
                    return
                kind = FaultKind.EARLY if latest.reached_at(*key) else FaultKind.UNEXPLAINED
                raise self._fault(kind, f"{_brief(event)} is not due then, before {before}")
            self._check_reached(event, latest, due[key], superseded=_is_superseded(key, due))
            firings[key] = _firing(event)
            if recorded_at < until:
                self._played.timers.append(TimerEvent(event.sequence, due[key]))
            self._events.popleft()

    def _check_reached(
        self, event: pb.SlaEvent, latest: Generation, instant: int, *, superseded: bool
    ) -> None:
        threshold, meaning = event.threshold, latest.terms.meanings[event.threshold.percent]
        recorded_at = event.recorded_at.ToMilliseconds()
        wrong = (
            threshold.scheduled_at.ToMilliseconds() != instant
            or event.occurred_at.ToMilliseconds() != instant
            or threshold.fired_at.ToMilliseconds() != recorded_at
            or threshold.superseded != superseded
            or threshold.notification != meaning.notification
            or threshold.escalation_level != meaning.escalation_level
            or threshold.breach != meaning.breach
        )
        if wrong:
            what = f"{_brief(event)}: due at {instant}, superseded {superseded}, {meaning}"
            raise self._fault(FaultKind.CHANGED, what)

    def _fault(self, kind: FaultKind, what: str) -> FaultError:
        return FaultError(kind, self._journal.name, what)


def told_of(event: pb.SlaEvent) -> Told:
    """An event as what it tells."""
    return Told(
        event.generation,
        event.type,
        event.occurred_at.ToMilliseconds(),
        event.phase,
        event.pause_reason,
        event.met if event.HasField("met") else None,
    )


def _due(latest: Generation, firings: Firings, now: int) -> list[tuple[tuple[int, int], int]]:
    """The thresholds that have come by `now` and have not fired."""
    found = []
    for phase in latest.terms.phases:
        for percent in latest.terms.meanings:
            if (phase, percent) not in firings:
                instant = latest.has_reached(phase, percent, now)
                if instant is not None:
                    found.append(((phase, percent), instant))
    return found


def _require(ticket: Ticket, latest: Generation, firings: Firings, due_by: int) -> None:
    due = _due(latest, firings, due_by)
    if due:
        raise FaultError(FaultKind.MISSING, ticket.ticket_id, f"due by {due_by}, and has not fired: {due}")


def _is_superseded(key: tuple[int, int], due: dict[tuple[int, int], int]) -> bool:
    """Whether a higher threshold of the same clock fires with it (C5)."""
    return any(phase == key[0] and percent > key[1] for phase, percent in due)


def _firing(event: pb.SlaEvent) -> Firing:
    threshold = event.threshold
    return Firing(
        threshold.scheduled_at.ToMilliseconds(), threshold.fired_at.ToMilliseconds(), threshold.superseded
    )


def _brief(event: pb.SlaEvent | None) -> str:
    if event is None:
        return "nothing"
    kind = pb.SlaEventType.Name(event.type).removeprefix("SLA_EVENT_TYPE_")
    return (
        f"{kind} {event.phase}/{event.threshold.percent} (sequence {event.sequence}, generation "
        f"{event.generation}, at {event.occurred_at.ToMilliseconds()}, "
        f"recorded {event.recorded_at.ToMilliseconds()})"
    )
