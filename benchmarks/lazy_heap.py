"""What one takes instead of a timing wheel: `heapq`, with cancelled entries left in it, as asyncio does."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

SWEEP_FROM: Final = 100
"""So many entries are never swept; as asyncio's."""


class LazyHeap:
    """Timers by key, popped by deadline and arrival: what `slad.core.wheel.TimingWheel` promises as well.

    A cancelled entry stays until it comes up, or until more than half of the heap is cancelled: then the heap
    is built anew.
    """

    __slots__ = ("_armed", "_arrival", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []  # (deadline, arrival, key)
        self._armed: dict[int, int] = {}  # key to the arrival that counts
        self._arrival = 0

    def __len__(self) -> int:
        return len(self._armed)

    @property
    def entries(self) -> int:
        """How many entries the heap holds, cancelled ones too."""
        return len(self._heap)

    def arm(self, key: int, deadline: int) -> None:
        """Sets the one deadline of `key`, in place of any it had."""
        armed, heap = self._armed, self._heap
        self._arrival = arrival = self._arrival + 1
        again = key in armed
        armed[key] = arrival
        heappush(heap, (deadline, arrival, key))
        if again and len(heap) > 2 * len(armed) and len(heap) > SWEEP_FROM:
            self._sweep()

    def cancel(self, key: int) -> bool:
        """Forgets `key`; False when it was not armed."""
        armed = self._armed
        if armed.pop(key, None) is None:
            return False
        if len(self._heap) > 2 * len(armed) and len(self._heap) > SWEEP_FROM:
            self._sweep()
        return True

    def pop(self, until: int) -> tuple[int, int] | None:
        """Takes out the earliest entry due at or before `until`, as `(deadline, key)`."""
        heap, armed = self._heap, self._armed
        while heap and heap[0][0] <= until:
            deadline, arrival, key = heappop(heap)
            if armed.get(key) == arrival:
                del armed[key]
                return deadline, key
        return None

    def _sweep(self) -> None:
        armed = self._armed
        self._heap = [entry for entry in self._heap if armed.get(entry[2]) == entry[1]]
        heapify(self._heap)
