"""A consumer that drops the ids that it has seen knows what slad knows, after any restore (C5, M6).

Random lives, with facts that are told late; a backup at any moment, a restore, and what was told since the
backup sent again, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

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

Fact = tuple[FactKind, int]
KINDS = st.sampled_from([FactKind.PAUSE, FactKind.RESUME])
STEPS = st.lists(
    st.integers(1, 200) | st.tuples(KINDS, st.integers(0, 300)),
    min_size=1,
    max_size=14,
)
"""Minutes that pass, or a fact of so many minutes ago."""


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
        self.now, self.epoch = BEGUN, 0
        of = terms(None, 1000, PERCENTS)
        self.tracking = self.apply(machine.begin(tracking(BEGUN, of), ALWAYS, BEGUN))
        self.told: list[tuple[FactKind, int]] = []

    def apply(self, after: Transition) -> Tracking:
        for event in after.events:
            self.consumer.hear(event_id(TICKET, event, next(self.numbers), self.epoch), event)
        self.tracking = after.tracking
        return after.tracking

    def live(self, step: int | Fact) -> None:
        if isinstance(step, int):
            self.now += step * MINUTE_MS
            self.apply(machine.fire(self.tracking, ALWAYS, self.now))
        else:
            kind, ago = step
            # No two at one instant: there the order of arrival would count.
            at = max(self.now - ago * MINUTE_MS, BEGUN) + len(self.told)
            self.tell(kind, min(at, self.now))

    def tell(self, kind: FactKind, at: int) -> None:
        self.apply(machine.fire(self.tracking, ALWAYS, self.now))  # timers go before commands in every turn
        reason = PauseReason.STATUS_PAUSE.value if kind is FactKind.PAUSE else 0
        self.apply(machine.add_fact(self.tracking, kind, ALWAYS, self.now, effective_at=at, detail=reason))
        self.told.append((kind, at))

    @property
    def held(self) -> set[int]:
        return {fired.percent for fired in self.tracking.fired if fired.fired_at}

    def restore(self, backup: Tracking, told: list[Fact], again: list[Fact]) -> None:
        """Goes back to a backup; what was told since is sent again before anything else."""
        self.tracking, self.told = backup, told
        self.epoch += 1
        for kind, at in again:
            self.tell(kind, at)
        self.live(1)


@settings(max_examples=300, deadline=None)
@given(lives=st.lists(st.tuples(STEPS, STEPS, STEPS), min_size=1, max_size=2), data=st.data())
def test_a_consumer_that_drops_known_ids_holds_what_slad_holds(
    lives: list[tuple[list[int | Fact], ...]], data: st.DataObject
) -> None:
    desk = Desk(Consumer(), count(1))
    for before, since, after in lives:
        for step in before:
            desk.live(step)
        backup, told = desk.tracking, list(desk.told)
        for step in since:
            desk.live(step)
        again = data.draw(st.permutations(desk.told[len(told) :]), label="sent again")
        desk.restore(backup, told, again)
        assert desk.consumer.held == desk.held
        for step in after:
            desk.live(step)
        desk.live(1)
        assert desk.consumer.held == desk.held
