"""A consumer that drops the ids that it has seen knows what slad knows, after any restore (C5, M6).

Random lives, with late facts and retargets; a backup at any moment, a restore after a while, and
what was told since the backup sent again: retargets in their order, facts in any, and time passes meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from slad.core import machine
from slad.core.events import Event, EventType, PauseReason
from slad.core.facts import FactKind
from slad.core.instants import MINUTE_MS
from slad.core.settle import Transition
from slad.core.tracking import TicketRef, Tracking
from slad.engine.event_codec import event_id
from tests.core.tickets import calendars, terms, tracking

TICKET = TicketRef("acme", "T", 1)
ALWAYS = calendars()
BEGUN = 1_772_442_000_000
PERCENTS = (5, 10, 15, 25, 50, 75)

Told = tuple[FactKind, int] | int
"""A fact with its instant, or a retarget to so many minutes."""
KINDS = st.sampled_from([FactKind.PAUSE, FactKind.RESUME])
TARGETS = st.sampled_from([500, 1000, 1500]).map(lambda minutes: ("retarget", minutes))
Step = int | tuple[Any, int]
STEPS = st.lists(
    st.integers(1, 200) | st.tuples(KINDS, st.integers(0, 300)) | TARGETS,
    min_size=1,
    max_size=14,
)
"""Minutes that pass, a fact of so many minutes ago, or a retarget to so many minutes."""


@st.composite
def sent_again(draw: st.DrawFn, told: list[Told]) -> list[tuple[Told, int]]:
    """All of it, perhaps twice, with minutes between; retargets stay in order."""
    retargets = iter([step for step in told if isinstance(step, int)])
    shuffled = draw(st.permutations(told))
    ordered = [next(retargets) if isinstance(step, int) else step for step in shuffled]
    if draw(st.booleans()):
        ordered += told
    return [(step, draw(st.sampled_from([0, 0, 1, 60, 400]))) for step in ordered]


class Consumer:
    """Applies what it has not seen."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.held: set[int] = set()

    def hear(self, name: str, event: Event) -> None:
        if name in self.seen or event.crossing is None:
            return
        self.seen.add(name)
        change = self.held.add if event.type is EventType.THRESHOLD_REACHED else self.held.discard
        change(event.crossing.percent)


class Desk:
    """slad and one ticket, minute by minute; `numbers` are the sequences."""

    def __init__(self, consumer: Consumer, numbers: Iterator[int]) -> None:
        self.consumer, self.numbers = consumer, numbers
        self.now, self.epoch, self.instants = BEGUN, 0, 0
        of = terms(None, 1000, PERCENTS)
        self.tracking = self.apply(machine.begin(tracking(BEGUN, of), ALWAYS, BEGUN))
        self.told: list[Told] = []

    def apply(self, after: Transition) -> Tracking:
        for event in after.events:
            self.consumer.hear(event_id(TICKET, after.tracking, event, next(self.numbers)), event)
        self.tracking = after.tracking
        return after.tracking

    def live(self, step: Step) -> None:
        if isinstance(step, int):
            self.now += step * MINUTE_MS
            self.apply(machine.fire(self.tracking, ALWAYS, self.now))
        elif step[0] == "retarget":
            self.tell(step[1])
        else:
            kind, ago = step
            # No two at one instant: there the order of arrival would count.
            self.instants += 1
            self.tell((kind, min(max(self.now - ago * MINUTE_MS, BEGUN) + self.instants, self.now)))

    def tell(self, told: Told) -> None:
        self.apply(machine.fire(self.tracking, ALWAYS, self.now))  # timers go before commands in every turn
        if isinstance(told, int):
            changed = machine.retarget(self.tracking, terms(None, told, PERCENTS), ALWAYS, self.now)
        else:
            kind, at = told
            reason = PauseReason.STATUS_PAUSE.value if kind is FactKind.PAUSE else 0
            changed = machine.add_fact(self.tracking, kind, ALWAYS, self.now, effective_at=at, detail=reason)
        self.apply(changed)
        self.told.append(told)

    @property
    def held(self) -> set[int]:
        return {fired.percent for fired in self.tracking.fired if fired.fired_at}

    def restore(self, backup: Tracking, told: list[Told], again: list[tuple[Told, int]]) -> None:
        """Goes back to a backup; what was told since is sent again before anything else.

        Some minutes pass before each.
        """
        self.epoch += 1
        self.tracking, self.told = msgspec.structs.replace(backup, epoch=self.epoch), told
        for step, pause in again:
            self.live(pause)
            self.tell(step)
        self.live(1)


@settings(max_examples=300, deadline=None)
@given(lives=st.lists(st.tuples(STEPS, STEPS, STEPS), min_size=1, max_size=2), data=st.data())
def test_a_consumer_that_drops_known_ids_holds_what_slad_holds(
    lives: list[tuple[list[Step], ...]], data: st.DataObject
) -> None:
    desk = Desk(Consumer(), count(1))
    for before, since, after in lives:
        for step in before:
            desk.live(step)
        backup, told = desk.tracking, list(desk.told)
        for step in since:
            desk.live(step)
        again = data.draw(sent_again(desk.told[len(told) :]), label="sent again")
        desk.restore(backup, told, again)
        assert desk.consumer.held == desk.held
        for step in after:
            desk.live(step)
            assert desk.consumer.held == desk.held


def test_a_first_firing_by_other_facts_has_another_id() -> None:
    desk = Desk(Consumer(), count(1))
    desk.live(30)
    backup = desk.tracking
    desk.live(("retarget", 500))
    pause = FactKind.PAUSE, BEGUN + 10 * MINUTE_MS
    desk.tell(pause)
    assert desk.consumer.held == desk.held == set(), "5 % had fired, at 25 minutes"
    desk.restore(backup, [], [(pause, 0), (500, 0)])
    assert desk.consumer.held == desk.held == set()
    desk.tell((FactKind.RESUME, BEGUN + 10 * MINUTE_MS))
    assert desk.consumer.held == desk.held == {5}, "5 % is of 25 minutes again"
