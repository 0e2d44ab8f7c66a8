"""The timing wheel against a sorted list, under random histories."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slad.core.wheel import INSTANT_LIMIT_MS, LEVELS, TimingWheel
from tests.core.wheel_invariants import check_invariants

LAST = INSTANT_LIMIT_MS - 1

instants = st.one_of(
    st.integers(0, LAST),
    # Digits from few values, so that many share a prefix and boundaries are hit.
    st.lists(st.sampled_from([0, 1, 2, 62, 63]), min_size=LEVELS, max_size=LEVELS).map(
        lambda digits: sum(digit * 64**level for level, digit in enumerate(digits))
    ),
)
spans = st.one_of(
    st.integers(0, 3),
    st.integers(0, 200),
    st.integers(0, 48).flatmap(lambda bits: st.integers(0, 2**bits)),
    st.builds(lambda level, offset: max(0, 64**level + offset), st.integers(0, 7), st.integers(-1, 1)),
)
keys = st.integers(0, 40)


def digits_of(instant: int) -> list[int]:
    """The eight base-64 digits, the most significant first."""
    digits = []
    for _ in range(LEVELS):
        instant, digit = divmod(instant, 64)
        digits.append(digit)
    return digits[::-1]


def slot_start(now: int, deadline: int) -> int:
    """Where the slot of `deadline` begins as seen from `now`, digit by digit."""
    start = 0
    for at, (mine, other) in enumerate(zip(digits_of(deadline), digits_of(now), strict=True)):
        start += mine * 64 ** (LEVELS - 1 - at)
        if mine != other:
            break
    return start


class WheelMachine(RuleBasedStateMachine):
    """Does everything to a wheel and to a list sorted by (deadline, arrival)."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel = TimingWheel(0)
        self.now = 0
        self.arrivals = 0
        self.model: list[tuple[int, int, int]] = []

    def _model_cancel(self, key: int) -> bool:
        kept = [entry for entry in self.model if entry[2] != key]
        found = len(kept) < len(self.model)
        self.model = kept
        return found

    def _arm(self, key: int, deadline: int) -> None:
        deadline = min(max(deadline, 0), LAST)
        self.wheel.arm(key, deadline)
        self._model_cancel(key)
        self.arrivals += 1
        self.model = sorted([*self.model, (deadline, self.arrivals, key)])

    def _pop(self, until: int) -> tuple[int, int] | None:
        """Pops from both and compares."""
        expected = None
        if self.model and self.model[0][0] <= until:
            deadline, _, key = self.model.pop(0)
            expected = (deadline, key)
            self.now = max(self.now, deadline)
        else:
            self.now = max(self.now, min(until, LAST))
        popped = self.wheel.pop(until)
        assert popped == expected
        assert self.wheel.now == self.now
        return popped

    @initialize(now=instants)
    def start(self, now: int) -> None:
        """Anywhere in time."""
        self.wheel = TimingWheel(now)
        self.now = now

    @rule(key=keys, span=spans)
    def arm_ahead(self, key: int, span: int) -> None:
        """Near and far, `now` included."""
        self._arm(key, self.now + span)

    @rule(key=keys, span=spans)
    def arm_behind(self, key: int, span: int) -> None:
        """Overdue."""
        self._arm(key, self.now - span)

    @rule(key=keys, deadline=instants)
    def arm_anywhere(self, key: int, deadline: int) -> None:
        """Anywhere in time."""
        self._arm(key, deadline)

    @rule(first=keys, count=st.integers(2, 40), span=spans)
    def arm_together(self, first: int, count: int, span: int) -> None:
        """Many for one instant."""
        for key in range(first, first + count):
            self._arm(key, self.now + span)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), span=st.integers(-2, 2))
    def arm_beside(self, data: st.DataObject, span: int) -> None:
        """At or next to the deadline of another."""
        deadline = data.draw(st.sampled_from(self.model))[0]
        self._arm(data.draw(keys), deadline + span)

    @rule(key=keys)
    def cancel(self, key: int) -> None:
        """Armed or not."""
        assert self.wheel.cancel(key) == self._model_cancel(key)

    @precondition(lambda self: self.model)
    @rule()
    def cancel_the_earliest(self) -> None:
        """The one that the driver is waiting for."""
        key = self.model[0][2]
        assert self.wheel.cancel(key)
        self._model_cancel(key)

    @rule(span=spans)
    def advance(self, span: int) -> None:
        """Everything due within a span, short or huge."""
        until = self.now + span
        while self._pop(until) is not None:
            check_invariants(self.wheel)

    @rule(until=instants)
    def pop_once(self, until: int) -> None:
        """Any `until`, the past and the far future."""
        self._pop(until)

    @rule()
    def wake(self) -> None:
        """What the driver does: sleep to the next expiry and take what is due."""
        wake = self.wheel.next_expiry()
        if wake is not None:
            while self._pop(max(wake, self.now)) is not None:
                pass

    @rule(span=spans, steps=st.lists(spans, max_size=8))
    def pop_and_rearm(self, span: int, steps: list[int]) -> None:
        """Each popped key is armed again at or after its deadline: the order must not break."""
        until = min(self.now + span, LAST)
        before = -1
        remaining = list(steps)
        while (due := self._pop(until)) is not None:
            deadline, key = due
            assert deadline >= before
            before = deadline
            if remaining:
                self._arm(key, deadline + remaining.pop())

    @rule(span=spans)
    def rewind(self, span: int) -> None:
        """A step back of any size."""
        self.now = max(0, self.now - span)
        self.wheel.rewind(self.now)

    @rule(until=instants, span=spans)
    def count_due(self, until: int, span: int) -> None:
        """Up to any instant, near or anywhere."""
        for instant in (until, self.now + span, max(0, self.now - span)):
            assert self.wheel.due(instant) == sum(deadline <= instant for deadline, _, _ in self.model)

    @rule()
    def clear(self) -> None:
        """Nothing stays but `now`."""
        self.wheel.clear()
        self.model = []

    @invariant()
    def agrees(self) -> None:
        """Every view of the wheel against the list."""
        wheel = self.wheel
        check_invariants(wheel)
        assert wheel.now == self.now
        assert len(wheel) == len(self.model)
        assert wheel.overdue == sum(deadline <= self.now for deadline, _, _ in self.model)
        assert {key: wheel.deadline_of(key) for _, _, key in self.model} == {
            key: deadline for deadline, _, key in self.model
        }
        earliest = self.model[0][0] if self.model else None
        assert wheel.next_deadline() == earliest
        if earliest is None:
            assert wheel.next_expiry() is None
        elif earliest <= self.now:
            assert wheel.next_expiry() == earliest
        else:
            assert wheel.next_expiry() == slot_start(self.now, earliest)
            assert self.now < slot_start(self.now, earliest) <= earliest

    def teardown(self) -> None:
        """The rest comes out in order."""
        while self._pop(LAST) is not None:
            pass
        assert len(self.wheel) == 0


TestWheelMachine = WheelMachine.TestCase
TestWheelMachine.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)


@settings(deadline=None, max_examples=500)
@given(now=instants, deadline=instants)
def test_a_lone_timer_costs_at_most_one_wake_up_a_level(now: int, deadline: int) -> None:
    """Exactly one for the level it starts in and one for each non-zero digit below; only the last pops."""
    wheel = TimingWheel(now)
    wheel.arm(1, deadline)
    wakes = []
    popped = None
    while (wake := wheel.next_expiry()) is not None:
        assert popped is None
        wakes.append(wake)
        popped = wheel.pop(wake)
        check_invariants(wheel)
    assert popped == (deadline, 1)
    assert wakes[-1] == deadline
    assert len(wakes) <= LEVELS
    if deadline <= now:
        assert len(wakes) == 1
        assert wheel.now == now
    else:
        assert wakes == sorted(set(wakes))
        pairs = list(zip(digits_of(deadline), digits_of(now), strict=True))
        first = next(at for at, (mine, other) in enumerate(pairs) if mine != other)
        assert len(wakes) == 1 + sum(mine != 0 for mine, _ in pairs[first + 1 :])


@settings(deadline=None, max_examples=200)
@given(now=instants, spread=st.lists(spans, min_size=1, max_size=60))
def test_wake_ups_are_bounded_by_the_slots_entered(now: int, spread: list[int]) -> None:
    """Among many, each wake-up pops something or brings something down a level, so 8 an entry is the most."""
    deadlines = [min(now + span, LAST) for span in spread]
    wheel = TimingWheel(now)
    for key, deadline in enumerate(deadlines):
        wheel.arm(key, deadline)
    wakes = 0
    popped = []
    while (wake := wheel.next_expiry()) is not None:
        wakes += 1
        places = (wheel.overdue, *wheel.occupancy())
        while (due := wheel.pop(wake)) is not None:
            popped.append(due)
        assert (wheel.overdue, *wheel.occupancy()) != places
    assert popped == sorted((deadline, key) for key, deadline in enumerate(deadlines))
    assert wakes <= LEVELS * len(set(deadlines))


@settings(deadline=None, max_examples=200)
@given(now=instants, step=spans, others=st.lists(instants, max_size=40))
def test_rewind_is_the_same_as_starting_earlier(now: int, step: int, others: list[int]) -> None:
    """Same places, same order."""
    earlier = max(0, now - step)
    rewound, fresh = TimingWheel(now), TimingWheel(earlier)
    for key, deadline in enumerate(others):
        rewound.arm(key, deadline)
        fresh.arm(key, deadline)
    rewound.rewind(earlier)
    check_invariants(rewound)
    assert rewound.occupancy() == fresh.occupancy()
    assert rewound.next_expiry() == fresh.next_expiry()
    for _ in others:
        assert rewound.pop(LAST) == fresh.pop(LAST)
