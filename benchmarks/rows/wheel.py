"""slad's timing wheel alone against `heapq`, in one thread, from a thousand timers to a million."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from time import thread_time_ns
from typing import Final

from benchmarks.curves import Curves, sizes_up_to
from benchmarks.lazy_heap import LazyHeap
from benchmarks.results import Result
from benchmarks.row import Options, Row
from slad.core.instants import DAY_MS
from slad.core.wheel import TimingWheel

NOW_MS: Final = 1_772_438_400_000
"""2026-03-02T08:00:00Z; where the wheel stands at first."""
SPAN_MS: Final = 30 * DAY_MS
"""How far ahead deadlines lie, at random."""
UNTIL_MS: Final = NOW_MS + 2 * SPAN_MS
LEAST_TIMERS: Final = 100_000
"""To be measured at least: small queues are filled and emptied several times."""
KINDS: Final = ("arm", "change", "pop")

Queue = TimingWheel | LazyHeap
QUEUES: Final[dict[str, Callable[[], Queue]]] = {"wheel": lambda: TimingWheel(NOW_MS), "heapq": LazyHeap}


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to a queue: all timers are armed; each is changed; what is left is popped.

    Of four that are changed, in random order, three are armed again for another instant and one is cancelled.
    """

    armed: list[tuple[int, int]]
    """(key, deadline)."""
    changes: list[tuple[int, int]]
    """(key, deadline); 0: cancelled."""

    @classmethod
    def of(cls, size: int) -> Work:
        """So many timers, each time the same."""
        random = Random(size)

        def deadline() -> int:
            return NOW_MS + random.randrange(1, SPAN_MS)

        armed = [(key, deadline()) for key in range(size)]
        changes = [(key, deadline() if place % 4 else 0) for place, (key, _) in enumerate(armed)]
        random.shuffle(changes)
        return cls(armed, changes)

    @property
    def left(self) -> int:
        """How many are popped."""
        return sum(deadline > 0 for _, deadline in self.changes)


def run(options: Options) -> Result:
    """CPU of an operation; both must pop the same in the same order. The longest ones at the largest size."""
    curves = Curves()
    figures: defaultdict[str, list[float]] = defaultdict(list)
    with _without_collector():
        for _ in range(options.repeats):
            for size in sizes_up_to(options.large):
                _measure(Work.of(size), curves)
            work = Work.of(options.large)
            for name, made in QUEUES.items():
                for figure, value in _extremes(made(), work).items():
                    figures[f"{figure}, {name}"].append(value)
    of_all: dict[str, list[float]] = {}
    for kind in KINDS:
        costs = {name: curves.at(_chart(kind), options.large, name) for name in QUEUES}
        of_all |= {f"{kind} us, {name}": values for name, values in costs.items()}
        of_all[f"{kind}, heapq ÷ wheel"] = [
            heap / wheel for wheel, heap in zip(costs["wheel"], costs["heapq"], strict=True)
        ]
    notes = [
        f"Figures at {options.large:,} timers, with deadlines at random over thirty days. All are armed; "
        "then each is changed (of four, three are armed again for another instant and one is cancelled); "
        "the rest is popped. CPU of one thread, without the garbage collector; `longest` is that of the "
        "longest single operation. The heap sweeps out what is cancelled when that is more than half, as "
        "asyncio's does. In the daemon the wheel holds only the next ten minutes."
    ]
    return Result("wheel", {**of_all, **figures}, notes, curves=curves.points())


def _chart(kind: str) -> str:
    return f"{kind}, µs of CPU"


def _measure(work: Work, curves: Curves) -> None:
    size = len(work.armed)
    turns = max(1, LEAST_TIMERS // size)
    counts = dict(zip(KINDS, (size, size, work.left), strict=True))
    orders = []
    for name, made in QUEUES.items():
        spent: defaultdict[str, int] = defaultdict(int)
        for _ in range(turns):
            took, popped = perform(made(), work)
            for kind, ns in took.items():
                spent[kind] += ns
        for kind in KINDS:
            curves.add(_chart(kind), size, spent[kind] / (counts[kind] * turns) / 1e3, name)
        orders.append(popped)
    if orders[0] != orders[1]:
        raise AssertionError("the wheel and the heap differ")


def perform(queue: Queue, work: Work) -> tuple[dict[str, int], list[tuple[int, int]]]:
    """The work, once: ns of CPU of this thread by kind, and what was popped as (deadline, key), in order."""
    arm, cancel, pop = queue.arm, queue.cancel, queue.pop
    popped: list[tuple[int, int]] = []
    begun = thread_time_ns()
    for key, deadline in work.armed:
        arm(key, deadline)
    armed = thread_time_ns()
    for key, deadline in work.changes:
        if deadline:
            arm(key, deadline)
        else:
            cancel(key)
    changed = thread_time_ns()
    while (item := pop(UNTIL_MS)) is not None:
        popped.append(item)
    ended = thread_time_ns()
    return dict(zip(KINDS, (armed - begun, changed - armed, ended - changed), strict=True)), popped


def _extremes(queue: Queue, work: Work) -> dict[str, float]:
    """The longest single change and pop, in ms of CPU; the most entries for a timer."""
    for key, deadline in work.armed:
        queue.arm(key, deadline)
    longest_change = longest_pop = 0
    most = 1.0
    for key, deadline in work.changes:
        begun = thread_time_ns()
        if deadline:
            queue.arm(key, deadline)
        else:
            queue.cancel(key)
        longest_change = max(longest_change, thread_time_ns() - begun)
        if isinstance(queue, LazyHeap):
            most = max(most, queue.entries / len(queue))
    item: tuple[int, int] | None = (0, 0)
    while item:
        begun = thread_time_ns()
        item = queue.pop(UNTIL_MS)
        longest_pop = max(longest_pop, thread_time_ns() - begun)
    return {
        "longest change ms": longest_change / 1e6,
        "longest pop ms": longest_pop / 1e6,
        "most entries a timer": most,
    }


@contextmanager
def _without_collector() -> Iterator[None]:
    """As timeit does: a collection would fall to whichever side is at it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


ROW = Row(
    "wheel",
    "the timing wheel alone, 1,000,000 timers",
    "heapq with lazy deletion",
    (),
    run,
    80,
    reported=tuple(f"{kind}, heapq ÷ wheel" for kind in KINDS),
)
