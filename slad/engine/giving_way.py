"""Long work on another thread that does not make the event loop wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

EVERY: Final = 8
GIVE_WAY_S: Final = 0.000_05
"""After this many items, a third of a millisecond, the event loop may have the interpreter. Otherwise it and
its timers would wait, again and again, as long as a thread may keep it: 0.2 ms, as `slad serve` sets it."""


def giving_way(items: Iterable[T]) -> Iterator[T]:
    """The same items, with turns for other threads in between. Not for the event loop's thread."""
    for place, item in enumerate(items, start=1):
        yield item
        if place % EVERY == 0:
            time.sleep(GIVE_WAY_S)
