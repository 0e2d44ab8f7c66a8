"""A long piece of work beside the event loop, such that the loop does not wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

EVERY: Final = 8
GIVE_WAY_S: Final = 0.000_05
"""After so many items, a third of a millisecond, the event loop may have the interpreter. Else it would wait
as long as a thread may keep it (`slad serve` says: 0.2 ms), again and again, and timers with it."""


def giving_way(items: Iterable[T]) -> Iterator[T]:
    """The same items; between them other threads have their turn. Not for the event loop's thread."""
    for place, item in enumerate(items, start=1):
        yield item
        if place % EVERY == 0:
            time.sleep(GIVE_WAY_S)
