"""What the hub keeps in memory is bounded by number and by size; the rest is read from the outbox."""

from __future__ import annotations

import asyncio

import pytest

from slad.delivery import hub as hub_module
from slad.delivery.hub import EventHub
from slad.storage.row_reader import StoredEvent
from slad.storage.rows import EventRow


def events(first: int, number: int, size: int) -> list[EventRow]:
    return [EventRow(sequence, 1, 1, 1, bytes(size)) for sequence in range(first, first + number)]


async def never(after: int, limit: int) -> list[StoredEvent]:
    raise AssertionError(f"events after {after} are in memory, the outbox need not be read")


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5_000])
def test_memory_is_bounded_by_number_and_by_bytes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TAIL", 20)
    monkeypatch.setattr(hub_module, "TAIL_BYTES", 1_000)
    hub = EventHub(0, never)
    for turn in range(40):
        hub.publish(events(1 + 3 * turn, 3, size))
        assert hub.tail_size <= 40
        assert hub.tail_bytes == hub.tail_size * size
        assert hub.tail_bytes <= 2_000
    assert hub.head == 120


def test_the_newest_that_fit_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TAIL_BYTES", 1_000)
    hub = EventHub(0, never)
    hub.publish([*events(1, 20, 100), *events(21, 1, 300)])
    assert (hub.tail_size, hub.tail_bytes) == (8, 1_000)

    async def follow() -> list[int]:
        async for page in hub.follow(13):
            return [event.sequence for event in page]
        return []

    assert asyncio.run(follow()) == list(range(14, 22))


def test_what_does_not_fit_is_read_from_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the newest event alone is larger than all that may be kept."""
    monkeypatch.setattr(hub_module, "TAIL_BYTES", 100)

    async def outbox(after: int, limit: int) -> list[StoredEvent]:
        return [StoredEvent(row.sequence, 1, 1, row.body) for row in events(after + 1, 2 - after, 300)]

    async def follow() -> list[int]:
        hub = EventHub(0, outbox)
        hub.publish(events(1, 1, 300))
        hub.publish(events(2, 1, 300))
        assert hub.tail_size == 0
        seen = []
        async for page in hub.follow(0):
            seen += [event.sequence for event in page]
            if seen[-1] == hub.head:
                break
        return seen

    assert asyncio.run(follow()) == [1, 2]


def test_trimming_keeps_the_count_of_bytes() -> None:
    hub = EventHub(0, never)
    hub.publish(events(1, 10, 7))
    hub.trim(4)
    assert (hub.tail_size, hub.tail_bytes) == (6, 42)
    hub.trim(3)
    hub.trim(100)
    assert (hub.tail_size, hub.tail_bytes) == (0, 0)


async def test_what_is_published_while_the_log_is_read_is_not_passed_over() -> None:
    """After a restore sequences have a gap: the log has nothing more, and the next event comes meanwhile."""

    async def outbox(after: int, limit: int) -> list[StoredEvent]:
        hub.publish(events(101, 1, 1))
        return []

    hub = EventHub(100, outbox)
    async with asyncio.timeout(10):
        assert [event.sequence for event in await anext(hub.follow(1))] == [101]
