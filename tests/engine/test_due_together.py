"""Many timers that are due in one turn: each fires in its place, those that come again too (C5)."""

from __future__ import annotations

from pathlib import Path
from random import Random

from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS
from slad.engine.turn import MAX_TIMERS
from tests.slad_under_test import MONDAY_9, slad_running, target


async def test_the_overdue_of_many_tickets_come_in_one_order(tmp_path: Path) -> None:
    random = Random(7)
    tickets = [f"T-{number}" for number in range(120)]
    async with slad_running(tmp_path) as slad:
        for ticket in tickets:
            await slad.start(ticket, targets=[target(random.randrange(20, 170), 170)])
        head = (await slad.events())[-1].sequence
    async with slad_running(tmp_path, now=MONDAY_9 + 3 * HOUR_MS) as slad:
        await slad.advance_to(slad.now)  # answered when all that is due is committed
        overdue = [event for event in await slad.events() if event.sequence > head]
    assert len(overdue) > 2 * MAX_TIMERS, "more than one turn takes"
    instants = [event.threshold.scheduled_at.ToMilliseconds() for event in overdue]
    assert instants == sorted(instants)
    fired = [(event.ticket_id, event.phase, event.threshold.percent) for event in overdue]
    assert len(fired) == len(set(fired))
    for ticket in tickets:
        resolution = [p for t, phase, p in fired if t == ticket and phase == pb.SLA_PHASE_RESOLUTION]
        assert resolution == [50, 70, 75, 90, 100]
