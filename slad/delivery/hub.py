"""Event fan-out: the newest events from memory, older ones from the log on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

from slad.core.errors import stopping
from slad.storage.row_reader import StoredEvent
from slad.storage.rows import EventRow
from slad.storage.store import Lineage, SequenceGap

TAIL: Final = 8_192
"""Newest events that are kept in memory for watchers that keep up."""

TAIL_BYTES: Final = 8 * 1024 * 1024
"""What their bodies may take: with all the attributes that a ticket may have, an event has 34 KB."""

PAGE: Final = 512
"""Events handed over at once (and so in one message of a watch)."""

LoggedEvent = EventRow | StoredEvent


class EventHub:
    """The event log as a stream.

    Contract
      - `follow` yields every event after a sequence, once, in order, without end.
      - A reader holds nothing but its position: a slow one costs no memory and delays nobody; when it falls
        behind the tail it reads from disk.
      - `publish` is called after the commit, with events in order; it never waits.
    """

    def __init__(
        self,
        head: int,
        read_page: Callable[[int, int], Awaitable[Sequence[StoredEvent]]],
        gap: SequenceGap | None = None,
        lineage: Lineage = Lineage(),  # noqa: B008 - a value
    ) -> None:
        self._read_page = read_page
        self._head = head
        self._gap = gap or SequenceGap(0, 0)
        self.lineage = lineage
        """Whose sequences these are."""
        self._tail: list[EventRow] = []
        self._tail_bytes = 0
        self._news = asyncio.Event()
        self._closed = False

    @property
    def head(self) -> int:
        """The sequence of the newest event."""
        return self._head

    @property
    def tail_size(self) -> int:
        """How many events are kept in memory."""
        return len(self._tail)

    @property
    def tail_bytes(self) -> int:
        """What their bodies take."""
        return self._tail_bytes

    def owed(self, after: int) -> int:
        """How many events there are after the sequence `after`; without looking at them."""
        count = self._head - after
        if after < self._gap.end:
            count -= self._gap.end - max(after, self._gap.start)
        return max(count, 0)

    async def next_event(self, after: int) -> LoggedEvent | None:
        """The first event after the sequence `after`."""
        page = self._from_tail(after)[:1] or await self._read_page(after, 1)
        return page[0] if page else None

    def publish(self, events: Sequence[EventRow]) -> None:
        """Takes over events that have been committed."""
        self._tail.extend(events)
        self._tail_bytes += sum([len(event.body) for event in events])
        self._head = events[-1].sequence
        # Up to twice as much, so that it is not cut at every turn.
        if len(self._tail) > 2 * TAIL or self._tail_bytes > 2 * TAIL_BYTES:
            self._cut()
        self.look_up()

    def look_up(self) -> None:
        """Lets every `follow` ask whether it may go on."""
        self._news.set()
        self._news = asyncio.Event()

    def trim(self, up_to: int) -> None:
        """Forgets the events up to a sequence, as they have been removed from the event log."""
        if self._tail:
            self._drop(max(0, up_to + 1 - self._tail[0].sequence))

    def close(self) -> None:
        """Ends all `follow`s: they raise Refused (UNAVAILABLE), so that watchers come again."""
        self._closed = True
        self._news.set()

    async def follow(
        self, after: int, require: Callable[[], None] | None = None
    ) -> AsyncGenerator[Sequence[LoggedEvent], None]:
        """The events after the sequence `after`, up to PAGE at a time, as soon as there are any.

        `require` is asked before each page, and raises what ends it.
        """
        while True:
            if require is not None:
                require()
            if self._closed:
                raise stopping("watch again")
            if after >= self._head:
                await self._news.wait()
                continue
            head = self._head
            events = self._from_tail(after) or await self._read_page(after, PAGE)
            if not events:
                # Nothing is there up to the head: retention has removed it, or sequences have a gap. What was
                # published during the read is beyond that.
                after = head
                continue
            yield events
            after = events[-1].sequence

    def _cut(self) -> None:
        """Keeps the newest events, as many as the bounds allow."""
        excess, size = max(0, len(self._tail) - TAIL), 0
        for place in range(len(self._tail) - 1, excess - 1, -1):
            size += len(self._tail[place].body)
            if size > TAIL_BYTES:
                excess = place + 1
                break
        self._drop(excess)

    def _drop(self, count: int) -> None:
        self._tail_bytes -= sum([len(event.body) for event in self._tail[:count]])
        del self._tail[:count]

    def _from_tail(self, after: int) -> Sequence[EventRow]:
        # Within one run of the daemon sequences have no gaps.
        place = after + 1 - self._tail[0].sequence if self._tail else -1
        return self._tail[place : place + PAGE] if place >= 0 else ()
