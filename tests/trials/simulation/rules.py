"""The rules of docs/semantics.md that hold after every step, each by its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slad.core.events import EventType
from slad.core.instants import MINUTE_MS
from slad.core.status import remaining_minutes, timer_status, total_pause_minutes
from slad.core.terms import ClockTerms
from slad.engine.commands import Answer
from tests.trials.simulation.actions import Command, Fact, Promise, Start
from tests.trials.simulation.ledger import Entry, Ledger, Whose, hold
from tests.trials.simulation.loop import instant, minute_of
from tests.trials.simulation.model import Generation
from tests.trials.simulation.obey import Tickets

RULES = (
    *("C1", "C2", "C3", "C4", "C5", "C6"),
    *("M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8"),
    *("T1", "T2", "E1", "E2"),
    *("K2", "K3", "K5"),
)
"""All that a run must have checked."""


RULE_OF = {
    "pause": "M2",
    "resume": "M2",
    "cancel": "M4",
    "customer": "K2",
    "agent": "K2",
    "to": "K2",
    "complete": "K3",
    "discard": "K3",
}


def of_command(command: Command) -> str:
    """The rule that says what such a command changes."""
    match command.what:
        case Start():
            return "M1"
        case Fact(kind):
            return RULE_OF.get(kind.split()[0], "M3")
        case _:
            return "M5"


def whose(tickets: Tickets) -> Iterable[tuple[Whose, Generation]]:
    for (tenant, ticket), model in tickets.items():
        for number, generation in enumerate(model.generations, start=1):
            yield (tenant, ticket, number), generation


def c2_t1_t2_status(who: Whose, answer: Answer, model: Generation, now: int) -> None:
    """Elapsed time, completions and the words for them are those of the naive count."""
    reading, history = answer.reading, model.history
    hold("M2", reading.history.life.name.lower() == history.life, f"{who} is {reading.history.life.name}")
    hold("K5", reading.history.held == tuple(history.held), f"{who} is held for {reading.history.held}")
    hold("K2", reading.history.owner == history.owner, f"{who} belongs to {reading.history.owner!r}")
    clocks = [clock.name for clock in answer.tracking.terms.clocks]
    hold("C1", clocks == model.clocks, f"{who} has clocks {clocks}, not {model.clocks}")
    cycles = [(clock.name, minute_of(clock.opened_at)) for clock in reading.clocks]
    hold("K2", cycles == model.cycles, f"{who} has cycles {cycles}, not {model.cycles}")
    for clock in reading.clocks:
        cycle = clock.name, minute_of(clock.opened_at)
        elapsed = model.elapsed(cycle, now)
        hold("C2", clock.elapsed_ms == elapsed * MINUTE_MS, f"{who} {cycle}: {clock.elapsed_ms}, {elapsed=}")
        breached_at = None if clock.breached_at is None else minute_of(clock.breached_at)
        hold("C6", breached_at == model.reached(cycle, 100, now), f"{who} {cycle}: breached at {breached_at}")
        hold("M3", clock.met == model.met(cycle, now), f"{who} {cycle}: met is {clock.met}")
        remaining = remaining_minutes(clock)
        hold("T2", remaining == model.remaining(cycle, now), f"{who} {cycle}: {remaining} min remain")
        closed = None if clock.closed_at is None else minute_of(clock.closed_at)
        expected = model.cycle(cycle).closed
        hold("K3", closed == expected, f"{who} {cycle}: closed at {closed}, not {expected}")
    paused = total_pause_minutes(reading.history, instant(now))
    hold("T2", paused == model.paused_minutes(now), f"{who}: {paused} min paused")
    status = timer_status(reading).name
    hold("T1", status == model.status(now), f"{who} is {status}, not {model.status(now)}")


def c5_told(tickets: Tickets, ledger: Ledger, now: int) -> None:
    """What was told and not retracted is what is true: nothing lost, nothing too much (C5, C6, M5, M6)."""
    for who, model in whose(tickets):
        expected = {key: one.minute for key, one in model.announced.items() if not one.silent}
        told = ledger.told.get(who, {})
        hold("C5", told == expected, f"{who} at {now}: told {told}, true {expected}")


def c4_meaning(entry: Entry, model: Generation) -> None:
    """A crossing says which thresholds it is, by the terms in force when it happened."""
    threshold = entry.event.threshold
    said = (threshold.notification, threshold.escalation_level, threshold.breach)
    meant = [
        _meaning(promise, clock, threshold.percent)
        for promise in (model.promise, *model.former)
        for clock in promise.terms.clocks
        if clock.name == entry.threshold[0]
    ]
    hold("C4", said in meant, f"{entry.whose} {entry.threshold} says {said}, not {meant}")


def _meaning(promise: Promise, clock: ClockTerms, percent: int) -> tuple[bool, int, bool]:
    levels = {one: level for level, one in enumerate(clock.escalation_percents, start=1) if one}
    notify = {*(clock.notification_percents or promise.notify), 100}
    return percent in notify, levels.get(percent, 0), percent == 100


def c5_in_order(reached: Sequence[Entry]) -> None:
    """Overdue thresholds fire in order of their scheduled instants, over all tickets."""
    scheduled = [entry.scheduled for entry in reached]
    hold("C5", scheduled == sorted(scheduled), f"overdue thresholds fired in the order {scheduled}")


def c5_superseded(reached: Sequence[Entry]) -> None:
    """When a higher threshold of the same clock fires with it, the lower is marked; only then."""
    for entry in reached:
        higher = any(
            other.whose == entry.whose
            and other.threshold[:2] == entry.threshold[:2]
            and other.threshold[2] > entry.threshold[2]
            and other.fired == entry.fired
            for other in reached
        )
        said = entry.event.threshold.superseded
        hold("C5", said == higher, f"{entry.whose} {entry.threshold} superseded: {said}")


def c5_never_early(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.type is EventType.THRESHOLD_REACHED:
            hold("C5", entry.scheduled <= entry.fired, f"{entry.whose} {entry.threshold} fired early")


def c3_on_time(reached: Sequence[Entry]) -> None:
    """A slad that is awake fires at the instant itself."""
    for entry in reached:
        hold("C3", entry.scheduled == entry.fired, f"{entry.whose} {entry.threshold} fired late")
