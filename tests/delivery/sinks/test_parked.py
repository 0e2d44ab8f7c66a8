"""Parked events: memory follows the disk, also when who asked for a change has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refusal, Refused
from slad.delivery.sinks.parked import ParkedEvents, TicketKey
from slad.engine.time_source import VirtualClock
from slad.storage.rows import Batch

A, B = TicketKey("acme", "A"), TicketKey("acme", "B")


class Disk:
    """Stands in for the engine and its writer: a write is under way until `done` is set, or fails."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.done.set()
        self.fails = False
        self.batches: list[Batch] = []
        self.started = 0

    async def write(self, run: Callable[[Any], Any]) -> None:
        self.started += 1
        await self.done.wait()
        if self.fails:
            raise Refused(Refusal.RESOURCE_EXHAUSTED, "DISK_FULL", "full")
        self.batches.append(Batch())
        run(self)

    @property
    def rows(self) -> Batch:
        return self.batches[-1]


def event(sequence: int, ticket: TicketKey) -> pb.SlaEvent:
    return pb.SlaEvent(sequence=sequence, tenant_id=ticket.tenant_id, ticket_id=ticket.ticket_id)


async def parked(disk: Disk) -> ParkedEvents:
    """Events 1 and 4 of A, 2 of B."""
    found = ParkedEvents("sink:s", disk, disk, VirtualClock(0))  # type: ignore[arg-type]
    await found.park(event(1, A), 1, "no")
    await found.park(event(2, B), 1, "no")
    await found.park_behind([event(4, A)])
    return found


async def test_it_holds_the_tickets_of_what_is_parked() -> None:
    found = await parked(Disk())
    assert found.count == 3
    assert found.holds(event(9, A))
    assert not found.holds(event(9, TicketKey("globex", "A")))
    assert (found.find(4), found.find(5)) == (A, None)


async def test_what_is_parked_stays_as_it_is_when_it_comes_again() -> None:
    disk = Disk()
    found = await parked(disk)
    await found.park_behind([event(1, A), event(4, A), event(5, A)])
    assert [row.sequence for row in disk.batches[-1].parked_events] == [5]


async def test_what_comes_while_its_ticket_is_released_is_released_too() -> None:
    disk = Disk()
    found = await parked(disk)
    assert await found.release([A]) == 2
    await found.park_behind([event(6, A), event(7, B)])
    assert [(row.sequence, row.released) for row in disk.batches[-1].parked_events] == [(6, 1), (7, 0)]


async def test_discarding_releases_what_waits_behind() -> None:
    disk = Disk()
    found = await parked(disk)
    assert await found.discard([1, 2, 3]) == 2
    assert found.released == [A]
    assert not found.holds(event(9, B))
    assert disk.batches[-1].redelivery_flags == [(1, "sink:s", "acme", "A")]


@pytest.mark.parametrize("change", ["discard", "release", "park"])
async def test_a_change_is_carried_out_though_its_caller_has_gone(change: str) -> None:
    disk = Disk()
    found = await parked(disk)
    disk.done.clear()
    before = disk.started
    work = {
        "discard": lambda: found.discard([2]),
        "release": lambda: found.release([B]),
        "park": lambda: found.park(event(8, TicketKey("acme", "C")), 1, "no"),
    }[change]
    asking = asyncio.ensure_future(work())
    while disk.started == before:  # noqa: ASYNC110
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    disk.done.set()
    await found.release([])  # waits for its turn
    assert found.holds(event(9, B)) == (change != "discard")
    assert found.released == ([B] if change == "release" else [])
    assert found.count == {"discard": 2, "release": 3, "park": 4}[change]


async def test_a_change_that_cannot_be_written_is_none() -> None:
    disk = Disk()
    found = await parked(disk)
    disk.fails = True
    for work in (found.discard([1]), found.release([A]), found.park(event(8, A), 1, "no")):
        with pytest.raises(Refused):
            await work
    assert (found.count, found.released) == (3, [])
