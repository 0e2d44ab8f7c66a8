"""What holds inside a timing wheel after every step."""

from __future__ import annotations

from slad.core.wheel import (
    _DIGIT_BITS,
    _DIGIT_MASK,
    _EMPTY,
    _SLOTS,
    _STALE_ALLOWANCE,
    INSTANT_LIMIT_MS,
    TimingWheel,
)


def check_invariants(wheel: TimingWheel) -> None:
    """Asserts what the comment at the top of slad/core/wheel.py promises. O(n)."""
    now = wheel._now
    assert not _EMPTY
    assert 0 <= now < INSTANT_LIMIT_MS
    found: dict[int, int] = {}
    for level, mask in enumerate(wheel._masks):
        shift = level * _DIGIT_BITS
        above = now >> shift + _DIGIT_BITS
        slots = wheel._slots[level * _SLOTS : (level + 1) * _SLOTS]
        occupied = [digit for digit, slot in enumerate(slots) if slot is not _EMPTY]
        assert mask == sum(1 << digit for digit in occupied)
        for digit in occupied:
            assert slots[digit]
            assert digit > now >> shift & _DIGIT_MASK
            prefix = above << _DIGIT_BITS | digit
            assert all(deadline >> shift == prefix for deadline in slots[digit].values())
            found.update(slots[digit])
    assert len(found) == sum(wheel.occupancy())
    for late, bucket in wheel._late.items():
        assert late <= now
        assert bucket
        assert set(bucket.values()) == {late}
        found.update(bucket)
    assert found == wheel._deadlines
    assert len(found) == sum(wheel.occupancy()) + wheel.overdue
    heap = wheel._late_heap
    assert set(wheel._late) <= set(heap)
    assert all(heap[(child - 1) // 2] <= heap[child] for child in range(1, len(heap)))
    assert not heap or heap[0] in wheel._late
    assert len(heap) <= 2 * len(wheel._late) + _STALE_ALLOWANCE
