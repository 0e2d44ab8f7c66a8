"""The timing wheel: which of many timers is due next, without looking at the others.

It knows no clock. All instants are absolute UTC epoch milliseconds below 2**48 (year 10889); the caller says
how late it is by the `until` of `pop`. One key has one deadline.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

# An instant is eight base-64 digits, the most significant first (two octal digits each, so that octal shows
# them: 0o_00_31_62_55_77_30_44_00). Each digit is a level, each value of the digit a slot of that level:
#
#   level   one slot spans   the level spans   slots: . past   N now's own   x may hold entries
#     7       139.4 years     8919.6 years     N x x x x x x ... x
#     6         2.18 years     139.4 years     . . N x x x x ... x
#     5        12 d 10 h         2.18 years    . . . . . . N ... x
#     4         4 h 39 min      12 d 10 h      . N x x x x x ... x
#     3         4 min 22 s       4 h 39 min    . . . . N x x ... x
#     2         4.096 s          4 min 22 s    . . . . . . . ... N
#     1          64 ms           4.096 s       . . . N x x x ... x
#     0           1 ms              64 ms      . . . . . N x ... x
#
# `now` is in slot N of every level at once, and a whole level is what slot N of the level above is divided
# into. A deadline after `now` agrees with it down to some digit and is larger there: that digit is its level,
# and its value the slot, always right of N. From this follows all the rest:
#
# - Everything in a level is due before anything in a level above it, so the lowest occupied level has the
#   earliest entry, in its leftmost occupied slot: the lowest bit of its mask.
# - A slot N is empty: when `now` comes to a slot, its entries agree with `now` in one more digit, so they
#   are dealt out to lower levels (cascaded). Each move is downward: at most seven in the life of an entry.
# - So (now, deadline) say where an entry is; nobody has to remember it, and cancelling is two look-ups.
# - Entries with one deadline are always in one slot, and a cascade keeps their order: first armed, first out.
#
# What is overdue when it is armed (deadline <= now) has no slot. It waits beside the table, in buckets by
# deadline under a heap, and goes first. `now` never advances while something waits there.

_DIGIT_BITS: Final = 6
_SLOTS: Final = 1 << _DIGIT_BITS
_DIGIT_MASK: Final = _SLOTS - 1

LEVELS: Final = 8
"""Number of levels, and so the most wake-ups that a lone timer can cost."""

SLOT_SPANS_MS: Final = tuple(1 << _DIGIT_BITS * level for level in range(LEVELS))
"""How long a slot of each level lasts, level 0 first."""

INSTANT_LIMIT_MS: Final = 1 << (_DIGIT_BITS * LEVELS)
"""2**48 ms: the first instant that does not fit. `instants.MAX_INSTANT_MS` (year 9999) does."""

_STALE_ALLOWANCE: Final = 64
"""How many cancelled deadlines the overdue heap may hold beyond its live ones before it is rebuilt."""

_SMALL_BUCKET: Final = 16
"""Up to how many keys an overdue bucket stays a plain dict, being cheaper than an OrderedDict."""

_EMPTY: Final[dict[int, int]] = {}
"""Stands in every unoccupied slot. Never written to: an occupied slot has a dict of its own."""


class TimingWheel:
    """Timers by key, popped by deadline.

    **Order.** `pop` returns the least `(deadline, arrival)` of everything armed at that moment, exactly;
    arrival is the order of the last `arm` of each key (arming again with the same deadline is a new arrival),
    and neither cascades nor `rewind` disturb it. So a run of pops is non-decreasing in its deadlines, and
    stays so when keys are re-armed in between at or after the deadline just popped. Only an entry that is
    armed before an instant already popped comes after it.

    **Cost.** `arm`, `cancel` and `next_expiry` are O(1). `pop` is O(1) amortised, an entry being moved at
    most seven times while `now` approaches it; but the one `pop` that enters a slot deals out all of it,
    about 0.3 ms for a thousand entries. Overdue entries cost O(log d) to arm and pop, d being the number of
    distinct overdue deadlines, and twice the memory. A caller with a backlog should therefore start the wheel
    at the earliest deadline of the backlog, not at the present: then nothing in it is overdue.

    **Driving it.** Sleep until `next_expiry()`, or until something was armed or cancelled; then `pop(clock)`
    until it returns None; repeat. That wakes a lone timer at most eight times in its life, seven of them for
    nothing, but it never scans a slot to find out when to wake, and it deals out a slot when the slot begins
    instead of at the instant when its first entry should fire. `next_deadline()` is for those who want the
    true instant and ask seldom: status pages, metrics, a caller that must not wake for nothing.

    Not thread-safe.
    """

    __slots__ = ("_deadlines", "_late", "_late_heap", "_masks", "_now", "_slots")

    def __init__(self, now: int) -> None:
        """An empty wheel that stands at `now` (epoch ms). Raises ValueError unless 0 <= now < 2**48."""
        if not 0 <= now < INSTANT_LIMIT_MS:
            raise ValueError(f"now is out of range: {now}")
        self._now = now
        self._deadlines: dict[int, int] = {}
        # Level by level, 64 slots each; a slot maps key to deadline in order of arrival.
        self._slots: list[dict[int, int]] = [_EMPTY] * (LEVELS * _SLOTS)
        self._masks: list[int] = [0] * LEVELS
        # Overdue: deadline to its keys. The heap has every deadline of `_late`, its top is one of them, and
        # below the top there may be some that were cancelled meanwhile.
        self._late: dict[int, dict[int, int]] = {}
        self._late_heap: list[int] = []

    @property
    def now(self) -> int:
        """Where the wheel stands, epoch ms: every deadline in the table is after it."""
        return self._now

    @property
    def overdue(self) -> int:
        """How many entries have a deadline <= `now`."""
        return sum(map(len, self._late.values()))

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, key: object) -> bool:
        return key in self._deadlines

    def deadline_of(self, key: int) -> int | None:
        """The deadline of `key` in epoch ms, None when it is not armed."""
        return self._deadlines.get(key)

    def due(self, until: int) -> int:
        """How many entries have a deadline <= `until` (epoch ms). May look through one slot a level."""
        count = sum(len(bucket) for deadline, bucket in self._late.items() if deadline <= until)
        for level, mask in enumerate(self._masks):
            shift = level * _DIGIT_BITS
            base = ((self._now >> shift | _DIGIT_MASK) - _DIGIT_MASK) << shift
            left = mask
            while left:
                digit = (left & -left).bit_length() - 1
                left &= left - 1
                start = base + (digit << shift)
                if start > until:  # so is all that is right of it, and above
                    return count
                slot = self._slots[level * _SLOTS + digit]
                if start + (1 << shift) - 1 <= until:
                    count += len(slot)
                else:
                    count += sum(deadline <= until for deadline in slot.values())
        return count

    def occupancy(self) -> list[int]:
        """How many entries each level holds, level 0 first; the overdue are in none (see `overdue`)."""
        slots = self._slots
        return [sum(map(len, slots[at : at + _SLOTS])) for at in range(0, LEVELS * _SLOTS, _SLOTS)]

    def arm(self, key: int, deadline: int) -> None:
        """Sets the one deadline (epoch ms) of `key`, in place of any it had; a past one is overdue at once.

        Raises ValueError unless 0 <= deadline < 2**48; then nothing has changed.
        """
        if not 0 <= deadline < INSTANT_LIMIT_MS:
            raise ValueError(f"deadline is out of range: {deadline}")
        now = self._now
        level = ((now ^ deadline).bit_length() - 1) // _DIGIT_BITS
        deadlines = self._deadlines
        if key in deadlines:
            self._take_out(key, deadlines[key])
        deadlines[key] = deadline
        if deadline <= now:
            self._put_late(key, deadline)
            return
        # The same as in `_deal`, which would cost a loop and a tuple here.
        digit = (deadline >> level * _DIGIT_BITS) & _DIGIT_MASK
        place = level * _SLOTS + digit
        slot = self._slots[place]
        if slot:
            slot[key] = deadline
        else:
            self._slots[place] = {key: deadline}
            self._masks[level] |= 1 << digit

    def cancel(self, key: int) -> bool:
        """Forgets `key`; False when it was not armed."""
        deadline = self._deadlines.pop(key, None)
        if deadline is None:
            return False
        self._take_out(key, deadline)
        return True

    def clear(self) -> None:
        """Forgets every entry. `now` stays."""
        self._deadlines = {}
        self._slots = [_EMPTY] * (LEVELS * _SLOTS)
        self._masks = [0] * LEVELS
        self._late = {}
        self._late_heap = []

    def next_expiry(self) -> int | None:
        """When `pop` next has something to do (epoch ms), None when the wheel is empty. O(1).

        Exact when the earliest entry is overdue (then the instant is <= `now`) or in level 0. Otherwise the
        start of its slot, which is after `now` and not after any deadline: a `pop` there may return nothing,
        but it brings the entry to a lower level, so that the next answer is nearer the truth.
        """
        if self._late_heap:
            return self._late_heap[0]
        first = self._first_slot()
        return None if first is None else first[1]

    def next_deadline(self) -> int | None:
        """The earliest deadline (epoch ms), None when the wheel is empty. May look through one whole slot."""
        if self._late_heap:
            return self._late_heap[0]
        first = self._first_slot()
        return None if first is None else min(self._slots[first[0]].values())

    def pop(self, until: int) -> tuple[int, int] | None:
        """Takes out the earliest entry due at or before `until` (epoch ms), as `(deadline, key)`.

        `now` advances to that deadline and no further, so that the key may be armed again for an instant
        before `until` and still come in order. When nothing is due the answer is None and `now` becomes
        max(now, until). It never goes back. An `until` past the last instant means the last instant.
        """
        if self._late_heap:
            earliest = self._late_heap[0]
            return self._pop_late(earliest) if earliest <= until else None

        # `_first_slot`, spelt out for speed.
        now = self._now
        for level, mask in enumerate(self._masks):  # noqa: B007
            if mask:
                break
        else:
            if until > now:
                self._now = min(until, INSTANT_LIMIT_MS - 1)
            return None
        bit = mask & -mask
        shift = level * _DIGIT_BITS
        digit = bit.bit_length() - 1
        start = ((now >> shift | _DIGIT_MASK) - _DIGIT_MASK + digit) << shift
        if start > until:
            if until > now:  # still before every occupied slot: nothing to cascade
                self._now = until
            return None

        # `now` enters the slot, perhaps only to its start, so the slot must be given up.
        place = level * _SLOTS + digit
        slot = self._slots[place]
        earliest = min(slot.values()) if level else start
        self._slots[place] = _EMPTY
        self._masks[level] = mask ^ bit
        if earliest > until:
            self._now = until
            self._deal(slot.items())
            return None
        self._now = earliest
        if len(slot) == 1:
            key, _ = slot.popitem()
            del self._deadlines[key]
            return earliest, key
        if level:
            self._deal(slot.items())
        else:
            self._late[earliest] = slot
            heappush(self._late_heap, earliest)
        return self._pop_late(earliest)

    def rewind(self, now: int) -> None:
        """Moves the wheel back to `now` (epoch ms), keeping every entry: the wall clock was stepped back.

        Entries that were overdue may have to wait again. O(n) at worst; levels at and above the highest
        digit that changes are not touched. Raises ValueError unless 0 <= now <= the present `now`; then
        nothing has changed.
        """
        if not 0 <= now <= self._now:
            raise ValueError(f"cannot rewind from {self._now} to {now}")
        # Let `now` change in digit L and below. What is in a level above L differs from both in the same
        # digit; what is in L is right of both. The levels below L are for times within the old slot N of L.
        below = ((self._now ^ now).bit_length() - 1) // _DIGIT_BITS
        moved: list[tuple[int, int]] = []
        for deadline in [late for late in self._late if late > now]:
            moved.extend(self._late.pop(deadline).items())
        self._late_heap = list(self._late)
        heapify(self._late_heap)
        for level in range(below):
            for place in range(level * _SLOTS, (level + 1) * _SLOTS):
                moved.extend(self._slots[place].items())
                self._slots[place] = _EMPTY
            self._masks[level] = 0
        self._now = now
        self._deal(moved)

    def _first_slot(self) -> tuple[int, int] | None:
        """Place and start (epoch ms) of the earliest occupied slot, None when the table is empty."""
        for level, mask in enumerate(self._masks):
            if mask:
                shift = level * _DIGIT_BITS
                digit = (mask & -mask).bit_length() - 1
                # `now` with its digit of this level replaced and those below it cleared.
                start = ((self._now >> shift | _DIGIT_MASK) - _DIGIT_MASK + digit) << shift
                return level * _SLOTS + digit, start
        return None

    def _deal(self, entries: Iterable[tuple[int, int]]) -> None:
        """Puts (key, deadline) pairs where they belong as seen from `now`, in the order given."""
        now = self._now
        slots = self._slots
        for key, deadline in entries:
            if deadline <= now:
                self._put_late(key, deadline)
                continue
            level = ((now ^ deadline).bit_length() - 1) // _DIGIT_BITS
            digit = (deadline >> level * _DIGIT_BITS) & _DIGIT_MASK
            place = level * _SLOTS + digit
            slot = slots[place]
            if slot:
                slot[key] = deadline
            else:
                slots[place] = {key: deadline}
                self._masks[level] |= 1 << digit

    def _take_out(self, key: int, deadline: int) -> None:
        """Removes an entry from its slot or bucket; `_deadlines` is the caller's."""
        now = self._now
        if deadline > now:
            level = ((now ^ deadline).bit_length() - 1) // _DIGIT_BITS
            digit = (deadline >> level * _DIGIT_BITS) & _DIGIT_MASK
            place = level * _SLOTS + digit
            slot = self._slots[place]
            if len(slot) > 1:
                del slot[key]
            else:
                self._slots[place] = _EMPTY
                self._masks[level] ^= 1 << digit
            return
        bucket = self._late[deadline]
        if len(bucket) > 1:
            del bucket[key]
        else:
            self._drop_bucket(deadline)

    def _put_late(self, key: int, deadline: int) -> None:
        bucket = self._late.get(deadline)
        if bucket is None:
            self._late[deadline] = {key: deadline}
            heappush(self._late_heap, deadline)
        else:
            bucket[key] = deadline

    def _pop_late(self, deadline: int) -> tuple[int, int]:
        """Takes the first arrival out of the bucket of `deadline`."""
        bucket = self._late[deadline]
        if len(bucket) > _SMALL_BUCKET:
            # The first key of a plain dict is found by stepping over all those already removed, which makes
            # a burst (everybody's threshold at 09:00:00.000) quadratic; an OrderedDict has it at hand.
            if not isinstance(bucket, OrderedDict):
                bucket = self._late[deadline] = OrderedDict(bucket)
            key, _ = bucket.popitem(last=False)
        elif len(bucket) > 1:
            key = next(iter(bucket))
            del bucket[key]
        else:
            key, _ = bucket.popitem()
            self._drop_bucket(deadline)
        del self._deadlines[key]
        return deadline, key

    def _drop_bucket(self, deadline: int) -> None:
        late, heap = self._late, self._late_heap
        del late[deadline]
        while heap and heap[0] not in late:
            heappop(heap)
        if len(heap) > 2 * len(late) + _STALE_ALLOWANCE:
            heap[:] = late
            heapify(heap)
