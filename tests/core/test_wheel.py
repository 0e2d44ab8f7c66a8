"""The timing wheel by hand-worked examples.

Instants are written in octal, two octal digits to one base-64 digit: 0o_07_06_05_04_03_02_01_00 has 7 in
level 7 and 0 in level 0.
"""

from __future__ import annotations

import pytest

from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.wheel import INSTANT_LIMIT_MS, LEVELS, TimingWheel
from tests.core.wheel_invariants import check_invariants

LAST = INSTANT_LIMIT_MS - 1
MARCH_2026 = 0o_00_31_62_55_77_30_44_00
"""2026-03-02T10:00:00Z"""


def armed(now: int, *deadlines: int) -> TimingWheel:
    """A wheel with keys 0, 1, 2… at the deadlines."""
    wheel = TimingWheel(now)
    for key, deadline in enumerate(deadlines):
        wheel.arm(key, deadline)
    check_invariants(wheel)
    return wheel


def drain(wheel: TimingWheel, until: int = LAST) -> list[tuple[int, int]]:
    """What pops at or before `until`, as (deadline, key)."""
    popped = []
    while (due := wheel.pop(until)) is not None:
        popped.append(due)
        check_invariants(wheel)
    return popped


def wake_ups(wheel: TimingWheel) -> list[int]:
    """The instants at which a driver sleeping to `next_expiry` wakes, until the wheel is empty."""
    woken = []
    while (wake := wheel.next_expiry()) is not None:
        woken.append(wake)
        drain(wheel, wake)
    return woken


def level_of(wheel: TimingWheel) -> int | None:
    """The level of the only entry, None when it is overdue."""
    occupancy = wheel.occupancy()
    return occupancy.index(1) if 1 in occupancy else None


class TestLevelTable:
    """Where an entry goes."""

    @pytest.mark.parametrize("level", range(LEVELS))
    def test_from_zero_a_level_spans_64_of_its_slots(self, level: int) -> None:
        """From now = 0, level k holds exactly the deadlines 64^k … 64^(k+1) - 1."""
        for deadline in (64**level, 64**level + 1, 37 * 64**level, 64 ** (level + 1) - 1):
            assert level_of(armed(0, deadline)) == level

    @pytest.mark.parametrize(
        ("now", "deadline", "level", "start"),
        [
            # The nearest deadline is in a high level when it is across a boundary.
            (0o_00_00_00_00_00_00_00_77, 0o_00_00_00_00_00_00_01_00, 1, 0o_00_00_00_00_00_00_01_00),
            (0o_00_00_00_00_00_77_77_77, 0o_00_00_00_00_01_00_00_00, 3, 0o_00_00_00_00_01_00_00_00),
            (0o_00_77_77_77_77_77_77_77, 0o_01_00_00_00_00_00_00_00, 7, 0o_01_00_00_00_00_00_00_00),
            # A distant one is in a low level when it is not.
            (0o_00_00_00_00_05_00_00_00, 0o_00_00_00_00_05_77_77_77, 2, 0o_00_00_00_00_05_77_00_00),
            # Lower digits below those of now do not matter.
            (0o_00_00_05_40_40_40_40_40, 0o_00_00_06_01_01_01_01_01, 5, 0o_00_00_06_00_00_00_00_00),
            (0o_12_34_56_70_12_34_56_70, 0o_12_34_56_70_12_34_56_71, 0, 0o_12_34_56_70_12_34_56_71),
            (0, LAST, 7, 0o_77_00_00_00_00_00_00_00),
            (LAST - 1, LAST, 0, LAST),
            # A second, a day, a week, the end of time, from an ordinary Monday morning.
            (MARCH_2026, MARCH_2026 + 1_000, 1, MARCH_2026 + 15 * 64),
            (MARCH_2026, MARCH_2026 + DAY_MS, 4, 0o_00_31_62_63_00_00_00_00),
            (MARCH_2026, MARCH_2026 + 7 * DAY_MS, 5, 0o_00_31_63_00_00_00_00_00),
            (MARCH_2026, MAX_INSTANT_MS, 7, 0o_71_00_00_00_00_00_00_00),
        ],
    )
    def test_place(self, now: int, deadline: int, level: int, start: int) -> None:
        """Level by the highest digit that differs; the slot starts at the deadline's digit there."""
        wheel = armed(now, deadline)
        assert level_of(wheel) == level
        assert wheel.next_expiry() == start
        assert wheel.next_deadline() == deadline

    def test_occupancy_counts_by_level(self) -> None:
        """Several entries to a slot and to a level are all counted; the overdue are apart."""
        wheel = armed(100, 101, 101, 102, 64 * 3, 64**2, 64**2 + 1, 64**7, LAST, 100, 7)
        assert wheel.occupancy() == [3, 1, 2, 0, 0, 0, 0, 2]
        assert wheel.overdue == 2
        assert len(wheel) == 10


class TestWakeUps:
    """When the driver is woken."""

    def test_a_cascade_through_every_level(self) -> None:
        """One wake-up for each non-zero digit, and only the last of them pops."""
        deadline = 0o_10_07_06_05_04_03_02_01
        assert wake_ups(armed(0, deadline)) == [
            0o_10_00_00_00_00_00_00_00,
            0o_10_07_00_00_00_00_00_00,
            0o_10_07_06_00_00_00_00_00,
            0o_10_07_06_05_00_00_00_00,
            0o_10_07_06_05_04_00_00_00,
            0o_10_07_06_05_04_03_00_00,
            0o_10_07_06_05_04_03_02_00,
            0o_10_07_06_05_04_03_02_01,
        ]

    def test_a_cascade_brings_the_entry_to_its_next_digit(self) -> None:
        """Zero digits are skipped: the entry does not visit levels that it has no business in."""
        deadline = 0o_10_00_00_05_00_00_00_01
        wheel = armed(0, deadline)
        levels = []
        while (wake := wheel.next_expiry()) is not None:
            levels.append(level_of(wheel))
            drain(wheel, wake)
        assert levels == [7, 4, 0]
        assert wake_ups(armed(0, deadline)) == [
            0o_10_00_00_00_00_00_00_00,
            0o_10_00_00_05_00_00_00_00,
            deadline,
        ]

    @pytest.mark.parametrize(
        ("now", "deadline", "wakes"),
        [
            (0, 1, [1]),
            (0, 64, [64]),
            (0, 65, [64, 65]),
            (0, 4_095, [4_032, 4_095]),
            (0, 4_096, [4_096]),
            (1, 2**47, [2**47]),
            # 1000 ms = 15 slots of 64 ms and 40 ms
            (MARCH_2026, MARCH_2026 + 1_000, [MARCH_2026 + 960, MARCH_2026 + 1_000]),
            (
                MARCH_2026,
                MAX_INSTANT_MS,  # 0o_71_47_37_22_07_75_57_77
                [
                    0o_71_00_00_00_00_00_00_00,
                    0o_71_47_00_00_00_00_00_00,
                    0o_71_47_37_00_00_00_00_00,
                    0o_71_47_37_22_00_00_00_00,
                    0o_71_47_37_22_07_00_00_00,
                    0o_71_47_37_22_07_75_00_00,
                    0o_71_47_37_22_07_75_57_00,
                    MAX_INSTANT_MS,
                ],
            ),
        ],
    )
    def test_a_lone_timer(self, now: int, deadline: int, wakes: list[int]) -> None:
        """The exact wake-ups of one entry."""
        assert wake_ups(armed(now, deadline)) == wakes

    def test_entries_share_the_wake_ups_of_their_slot(self) -> None:
        """A slot is dealt out once for all that is in it."""
        assert wake_ups(armed(0, 4_096 + 70, 4_096 + 71, 4_096 + 200, 5)) == [
            5,
            4_096,
            4_096 + 64,
            4_096 + 70,
            4_096 + 71,
            4_096 + 192,
            4_096 + 200,
        ]

    def test_waking_late_skips_the_cascades(self) -> None:
        """A driver that sleeps past the start of the slot gets the entry at once."""
        wheel = armed(0, 0o_10_07_06_05_04_03_02_01)
        assert wheel.pop(LAST) == (0o_10_07_06_05_04_03_02_01, 0)
        assert wheel.now == 0o_10_07_06_05_04_03_02_01

    def test_waking_early_in_the_slot_deals_it_out(self) -> None:
        """`now` inside a slot before the first deadline: the entries are below already."""
        wheel = armed(0, 4_096 * 2 + 64 * 10 + 3, 4_096 * 2 + 64 * 2)
        assert wheel.occupancy()[:3] == [0, 0, 2]
        assert wheel.pop(4_096 * 2 + 64 + 5) is None
        assert wheel.now == 4_096 * 2 + 64 + 5
        assert wheel.occupancy()[:3] == [0, 2, 0]
        assert wake_ups(wheel) == [4_096 * 2 + 64 * 2, 4_096 * 2 + 64 * 10, 4_096 * 2 + 64 * 10 + 3]

    def test_an_empty_wheel_has_no_wake_up(self) -> None:
        """Nothing armed, nothing to do."""
        wheel = TimingWheel(5)
        assert wheel.next_expiry() is None
        assert wheel.next_deadline() is None
        assert wheel.pop(10) is None
        assert wheel.now == 10


class TestArm:
    """Arming and re-arming."""

    @pytest.mark.parametrize("deadline", [-1, INSTANT_LIMIT_MS, INSTANT_LIMIT_MS + 1, -INSTANT_LIMIT_MS])
    def test_out_of_range_changes_nothing(self, deadline: int) -> None:
        """Neither a new key nor the deadline that a key has."""
        wheel = armed(100, 200)
        with pytest.raises(ValueError, match=str(deadline)):
            wheel.arm(0, deadline)
        with pytest.raises(ValueError, match=str(deadline)):
            wheel.arm(1, deadline)
        check_invariants(wheel)
        assert wheel.deadline_of(0) == 200
        assert 1 not in wheel
        assert drain(wheel) == [(200, 0)]

    @pytest.mark.parametrize("now", [-1, INSTANT_LIMIT_MS])
    def test_a_wheel_must_stand_within_range(self, now: int) -> None:
        """2**48 - 1 is the last instant."""
        with pytest.raises(ValueError, match=str(now)):
            TimingWheel(now)

    def test_at_now_is_due_at_once(self) -> None:
        """It takes no wake-up to come."""
        wheel = armed(MARCH_2026, MARCH_2026)
        assert wheel.overdue == 1
        assert wheel.next_expiry() == wheel.next_deadline() == MARCH_2026
        assert wheel.pop(MARCH_2026 - 1) is None
        assert wheel.pop(MARCH_2026) == (MARCH_2026, 0)

    def test_the_past_comes_first_and_leaves_now_alone(self) -> None:
        """In order of (deadline, arrival), from year 1970 up."""
        wheel = armed(1_000, 1_001, 500, 0, 1_000, 500, 999, 0)
        assert wheel.next_expiry() == wheel.next_deadline() == 0
        assert drain(wheel, 1_000) == [(0, 2), (0, 6), (500, 1), (500, 4), (999, 5), (1_000, 3)]
        assert wheel.now == 1_000
        assert drain(wheel) == [(1_001, 0)]

    def test_until_may_lie_in_the_past(self) -> None:
        """Then only what was due by then comes, and `now` does not move."""
        wheel = armed(1_000, 700, 300, 2_000)
        assert drain(wheel, 699) == [(300, 1)]
        assert wheel.now == 1_000
        assert wheel.next_expiry() == 700

    @pytest.mark.parametrize("first", [50, 100, 101, 170, 5_000, 2**30, LAST])
    @pytest.mark.parametrize("second", [49, 50, 100, 102, 180, 5_000, 2**31, LAST])
    def test_rearm_replaces(self, first: int, second: int) -> None:
        """Earlier or later, from and to every kind of place."""
        wheel = armed(100, first)
        wheel.arm(0, second)
        check_invariants(wheel)
        assert len(wheel) == 1
        assert wheel.deadline_of(0) == second
        assert drain(wheel) == [(second, 0)]

    def test_rearm_moves_the_next_wake_up(self) -> None:
        """Both ways."""
        wheel = armed(0, 1_000)
        wheel.arm(0, 10)
        assert wheel.next_expiry() == 10
        wheel.arm(0, 128)
        assert wheel.next_expiry() == 128
        assert wheel.occupancy() == [0, 1, 0, 0, 0, 0, 0, 0]

    @pytest.mark.parametrize("deadline", [3, 100, 120, 5_000, 2**40])
    def test_ties_in_order_of_arrival(self, deadline: int) -> None:
        """Arming again for the same deadline is a new arrival; keys do not matter."""
        wheel = TimingWheel(100)
        for key in (9, 4, 7, 1, 8):
            wheel.arm(key, deadline)
        wheel.arm(4, deadline)
        wheel.cancel(7)
        assert [key for _, key in drain(wheel)] == [9, 1, 8, 4]

    def test_ties_survive_cascades_at_different_times(self) -> None:
        """The first was armed for a high level, the second when the first had come down."""
        deadline = 0o_03_02_01_07
        wheel = armed(0, deadline)
        wheel.pop(0o_03_00_00_00)
        wheel.arm(1, deadline)
        wheel.pop(0o_03_02_00_05)
        wheel.arm(2, deadline)
        wheel.pop(0o_03_02_01_00)
        wheel.arm(3, deadline)
        assert wheel.pop(deadline) == (deadline, 0)
        wheel.arm(4, deadline)  # overdue by now
        assert drain(wheel) == [(deadline, 1), (deadline, 2), (deadline, 3), (deadline, 4)]

    def test_a_long_tie_with_changes_while_it_drains(self) -> None:
        """Beyond the size where a bucket changes its form, and back below."""
        wheel = armed(0, *[5_000] * 100)
        assert [wheel.pop(LAST) for _ in range(40)] == [(5_000, key) for key in range(40)]
        for key in range(50, 60):
            assert wheel.cancel(key)
        wheel.arm(41, 5_000)
        wheel.arm(100, 5_000)
        wheel.arm(101, 4_999)
        check_invariants(wheel)
        rest = [40, *range(42, 50), *range(60, 100), 41, 100]
        assert drain(wheel) == [(4_999, 101), *((5_000, key) for key in rest)]


class TestPop:
    """Popping, and what it does to `now`."""

    def test_now_advances_only_to_what_was_popped(self) -> None:
        """And to `until` when nothing is left by then."""
        wheel = armed(0, 10, 5_000, 2**40)
        assert (wheel.pop(6_000), wheel.now) == ((10, 0), 10)
        assert (wheel.pop(6_000), wheel.now) == ((5_000, 1), 5_000)
        assert (wheel.pop(6_000), wheel.now) == (None, 6_000)
        assert (wheel.pop(3), wheel.now) == (None, 6_000)

    def test_pop_and_rearm_in_order(self) -> None:
        """A backlog in which every popped key has its next threshold also before `until`."""
        wheel = armed(0, 100, 150, 4_000)
        order = []
        while (due := wheel.pop(10_000)) is not None:
            order.append(due)
            deadline, key = due
            step = (1_000, 3_000, 2_000)[key]
            if deadline + step <= 10_000:
                wheel.arm(key, deadline + step)
        expected = [(100 + i * 1_000, 0) for i in range(10)]
        expected += [(150 + i * 3_000, 1) for i in range(4)]
        expected += [(4_000 + i * 2_000, 2) for i in range(4)]
        assert order == sorted(expected)
        assert wheel.now == 10_000

    def test_rearm_for_the_very_instant_popped(self) -> None:
        """It comes after those that were waiting for that instant."""
        wheel = armed(0, 100, 100, 101)
        assert wheel.pop(200) == (100, 0)
        wheel.arm(0, 100)
        assert drain(wheel, 200) == [(100, 1), (100, 0), (101, 2)]

    def test_an_earlier_entry_armed_while_a_slot_drains(self) -> None:
        """Goes first, though `now` has passed it."""
        wheel = armed(0, 100, 100, 100)
        assert wheel.pop(200) == (100, 0)
        wheel.arm(3, 50)
        assert drain(wheel, 200) == [(50, 3), (100, 1), (100, 2)]
        assert wheel.now == 200

    def test_until_past_the_last_instant(self) -> None:
        """Means the last instant; the wheel still works there."""
        wheel = armed(0, LAST)
        assert drain(wheel, 2**60) == [(LAST, 0)]
        assert wheel.now == LAST
        wheel.arm(0, LAST)
        assert drain(wheel, 2**60) == [(LAST, 0)]
        wheel = TimingWheel(0)
        assert wheel.pop(2**60) is None
        assert wheel.now == LAST

    def test_year_9999(self) -> None:
        """The last deadline that slad gives fits, to the millisecond."""
        wheel = armed(MARCH_2026, MAX_INSTANT_MS)
        assert wheel.pop(MAX_INSTANT_MS - 1) is None
        assert wheel.next_expiry() == MAX_INSTANT_MS
        assert wheel.pop(MAX_INSTANT_MS) == (MAX_INSTANT_MS, 0)


class TestCancel:
    """Cancelling leaves nothing behind."""

    @pytest.mark.parametrize("level", range(LEVELS))
    def test_in_each_level(self, level: int) -> None:
        """Alone in its slot, and with another."""
        deadline = 5 * 64**level
        wheel = armed(0, deadline)
        assert wheel.cancel(0)
        assert wheel.next_expiry() is None
        assert wheel.occupancy() == [0] * LEVELS
        wheel = armed(0, deadline, deadline)
        assert wheel.cancel(0)
        check_invariants(wheel)
        assert level_of(wheel) == level
        assert drain(wheel) == [(deadline, 1)]

    @pytest.mark.parametrize("levels_down", range(LEVELS))
    def test_after_cascades(self, levels_down: int) -> None:
        """The place is found again wherever the entry has come to."""
        deadline = 0o_01_01_01_01_01_01_01_01
        wheel = armed(0, deadline, LAST)
        width = 64 ** (LEVELS - levels_down)
        assert wheel.pop(deadline // width * width) is None
        assert wheel.occupancy()[LEVELS - 1 - levels_down] == (1 if levels_down else 2)
        assert wheel.cancel(0)
        check_invariants(wheel)
        assert drain(wheel) == [(LAST, 1)]

    def test_the_overdue(self) -> None:
        """Alone at its deadline, with another, in the middle of the order, and first."""
        wheel = armed(100, 10, 20, 20, 30, 40)
        for key in (0, 1, 3):
            assert wheel.cancel(key)
            check_invariants(wheel)
        assert wheel.next_expiry() == 20
        assert drain(wheel) == [(20, 2), (40, 4)]

    def test_overdue_cancelled_and_armed_again(self) -> None:
        """Comes once."""
        wheel = armed(100, 10, 20, 30)
        wheel.cancel(1)
        wheel.arm(1, 20)
        check_invariants(wheel)
        assert drain(wheel) == [(10, 0), (20, 1), (30, 2)]

    def test_cancelled_overdue_do_not_pile_up(self) -> None:
        """`check_invariants` bounds what the heap may keep of them."""
        wheel = armed(10_000, 10, 500, 20, 900, 300, 15)
        for deadline in range(1_000, 1_500):
            wheel.arm(6, deadline)
            check_invariants(wheel)
        assert drain(wheel) == [(10, 0), (15, 5), (20, 2), (300, 4), (500, 1), (900, 3), (1_499, 6)]

    def test_unknown_and_twice(self) -> None:
        """Is False and changes nothing."""
        wheel = armed(0, 10)
        assert not wheel.cancel(1)
        assert wheel.cancel(0)
        assert not wheel.cancel(0)
        assert wheel.pop(LAST) is None

    def test_a_popped_key_is_gone(self) -> None:
        """From every view."""
        wheel = armed(0, 10)
        wheel.pop(10)
        assert 0 not in wheel
        assert wheel.deadline_of(0) is None
        assert len(wheel) == 0
        assert not wheel.cancel(0)

    def test_clear(self) -> None:
        """Forgets everything but `now`."""
        wheel = armed(100, 10, 101, 200, 2**30, LAST)
        wheel.clear()
        check_invariants(wheel)
        assert (len(wheel), wheel.overdue, wheel.occupancy()) == (0, 0, [0] * LEVELS)
        assert wheel.next_expiry() is None
        assert wheel.now == 100
        wheel.arm(0, 300)
        assert drain(wheel) == [(300, 0)]


class TestRewind:
    """The wall clock was stepped back."""

    def test_everything_waits_for_its_deadline_again(self) -> None:
        """What was overdue by the wrong clock only is not any more; arrival order holds."""
        wheel = armed(10_000, 500, 9_000, 9_000, 10_001, 10_001, 2**20, 2**40, 10_000)
        wheel.rewind(1_000)
        check_invariants(wheel)
        assert wheel.now == 1_000
        assert wheel.overdue == 1
        assert drain(wheel, 9_000) == [(500, 0), (9_000, 1), (9_000, 2)]
        assert drain(wheel) == [(10_000, 7), (10_001, 3), (10_001, 4), (2**20, 5), (2**40, 6)]

    def test_in_the_middle_of_a_tie(self) -> None:
        """The rest of a long tie keeps its order, and comes once more for its instant."""
        wheel = armed(0, *[5_000] * 30)
        assert [wheel.pop(LAST) for _ in range(5)] == [(5_000, key) for key in range(5)]
        wheel.rewind(0)
        check_invariants(wheel)
        assert wheel.pop(4_999) is None
        assert drain(wheel) == [(5_000, key) for key in range(5, 30)]

    @pytest.mark.parametrize("step", [64**level for level in range(LEVELS)])
    def test_wake_ups_are_those_of_the_earlier_now(self, step: int) -> None:
        """By one unit of each level."""
        now = 0o_10_10_10_10_10_10_10_10
        deadlines = [now + offset for offset in (1, 70, 5_000, 300_000, 2**25, 2**32, 2**40, 2**45)]
        wheel = armed(now, *deadlines)
        wheel.rewind(now - step)
        check_invariants(wheel)
        fresh = armed(now - step, *deadlines)
        assert wheel.occupancy() == fresh.occupancy()
        assert wake_ups(wheel) == wake_ups(fresh)

    def test_to_where_it_stands(self) -> None:
        """Changes nothing."""
        wheel = armed(1_000, 1_000, 900, 1_001)
        wheel.rewind(1_000)
        check_invariants(wheel)
        assert drain(wheel) == [(900, 1), (1_000, 0), (1_001, 2)]

    @pytest.mark.parametrize("now", [-1, 1_001, INSTANT_LIMIT_MS])
    def test_never_forward(self, now: int) -> None:
        """Only `pop` advances."""
        wheel = armed(1_000, 900, 1_001)
        with pytest.raises(ValueError, match="cannot rewind"):
            wheel.rewind(now)
        check_invariants(wheel)
        assert wheel.now == 1_000
