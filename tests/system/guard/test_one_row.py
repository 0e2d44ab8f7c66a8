"""A row of an import that holds much: its work grows with what it holds, no faster.

Much of it is left to the writer's thread, so that the event loop is soon free for timers again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refused
from tests.system.guard.budgets import ROW_FUNCTION_CALLS
from tests.system.guard.counting import NOW, function_calls, lines_run, turns

BEGIN_S = NOW // 1_000 - 30 * 86_400
MINUTE_S = 60


def base(number: int) -> rpc.SlaTrackingImport:
    row = rpc.SlaTrackingImport()
    row.start.tenant_id, row.start.ticket_id = "acme", f"T-{number}"
    row.start.targets.add(response_time_minutes=100_000, resolution_time_minutes=200_000, is_24x7=True)
    row.start.started_at.seconds = BEGIN_S
    return row


def pauses(number: int) -> rpc.SlaTrackingImport:
    row = base(number)
    for place in range(number):
        pause = row.pauses.add(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
        pause.paused_at.seconds = BEGIN_S + (2 * place + 1) * MINUTE_S
        pause.resumed_at.seconds = BEGIN_S + (2 * place + 2) * MINUTE_S
    return row


def overlapping_pauses(number: int) -> rpc.SlaTrackingImport:
    row = base(number)
    for place in range(number):
        pause = row.pauses.add(reason=pb.SLA_PAUSE_REASON_OTHER, reason_code="ab"[place % 2])
        pause.paused_at.seconds = BEGIN_S + (6 * (place // 2) + place % 2) * MINUTE_S
        pause.resumed_at.seconds = pause.paused_at.seconds + 3 * MINUTE_S
    return row


def closed(number: int) -> rpc.SlaTrackingImport:
    row = pauses(number)
    for place, pause in enumerate(row.pauses):
        stretch = row.closed.add(resolved=place % 2 == 0)
        stretch.closed_at.seconds = pause.resumed_at.seconds + 10
        stretch.reopened_at.seconds = pause.resumed_at.seconds + 20
    return row


def messages(number: int) -> rpc.SlaTrackingImport:
    row = base(number)
    row.start.clocks.add(name="update", kind=pb.SLA_CLOCK_KIND_PERIODIC_UPDATE, target_minutes=1)
    for place in range(number):
        fact = row.facts.add(kind=rpc.SLA_FACT_KIND_AGENT_MESSAGE)
        fact.at.seconds = BEGIN_S + (2 * place + 1) * MINUTE_S
    return row


def messages_and_pauses(number: int) -> rpc.SlaTrackingImport:
    row = pauses(number)
    row.MergeFrom(messages(number))
    row.start.targets.pop()
    row.start.clocks[0].target_minutes = 1_000
    row.start.clocks[0].paused_by.reasons.append("AWAITING_CLIENT")
    return row


def owners(number: int) -> rpc.SlaTrackingImport:
    row = base(number)
    row.start.clocks.add(name="desk", kind=pb.SLA_CLOCK_KIND_OWNERSHIP, target_minutes=1_000_000)
    for place in range(number):
        fact = row.facts.add(kind=rpc.SLA_FACT_KIND_ASSIGNED, owner=f"desk {place % 3}")
        fact.at.seconds = BEGIN_S + (2 * place + 1) * MINUTE_S
    return row


def fired(number: int) -> rpc.SlaTrackingImport:
    row = base(number)
    for percent in range(1, number + 1):
        threshold = row.fired.add(percent=percent, phase=pb.SLA_PHASE_RESPONSE)
        threshold.scheduled_at.seconds = threshold.fired_at.seconds = BEGIN_S + percent
    return row


MAKERS = (pauses, overlapping_pauses, closed, messages, messages_and_pauses, owners, fired)


@pytest.mark.parametrize("make", MAKERS)
def test_the_work_for_a_row_grows_with_what_it_holds(
    make: Callable[[int], rpc.SlaTrackingImport], tmp_path: Path
) -> None:
    with turns(tmp_path) as slad:
        few, many = (make(number).SerializeToString() for number in (200, 800))
        of_few = lines_run(lambda: slad.build_row(few))
        of_many = lines_run(lambda: slad.build_row(many))
    assert of_many < 4.4 * of_few, (of_few, of_many)


@pytest.mark.parametrize("make", MAKERS)
def test_a_row_that_holds_as_much_as_it_may_does_not_hold_the_loop(
    make: Callable[[int], rpc.SlaTrackingImport], tmp_path: Path
) -> None:
    with turns(tmp_path) as slad:
        body = make(950).SerializeToString()
        calls = function_calls(lambda: slad.build_row(body))
    assert calls <= ROW_FUNCTION_CALLS, f"{make.__name__}: {calls:,}"


def test_events_that_the_writer_makes_are_where_they_belong(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        batch = slad.build_row(pauses(100).SerializeToString())
        assert len(batch.events) == 0
        slad.commit(batch)
        stored = slad.connection.execute("SELECT sequence, body FROM event ORDER BY sequence").fetchall()
    rows = stored[-len(batch.events) :]
    events = [pb.SlaEvent.FromString(body) for _, body in rows]
    assert [event.sequence for event in events] == [sequence for sequence, _ in rows]
    assert all(after.sequence == before.sequence + 1 for before, after in pairwise(events))
    told = [event.type for event in events]
    assert told == [pb.SLA_EVENT_TYPE_STARTED] + 100 * [pb.SLA_EVENT_TYPE_PAUSED, pb.SLA_EVENT_TYPE_RESUMED]
    tells = [event.HasField("due_dates") for event in events]
    assert tells == [False] * 200 + [True], "the last one tells them"
    assert len({event.event_id for event in events}) == 201


def test_a_row_of_too_many_cycles_is_refused_before_they_are_counted(tmp_path: Path) -> None:
    row = messages(1_000)
    for number in range(15):
        clock = row.start.clocks.add()
        clock.CopyFrom(row.start.clocks[0])
        clock.name = f"update-{number}"
    body, alone = row.SerializeToString(), messages(990).SerializeToString()

    def refused() -> None:
        with pytest.raises(Refused, match="more than 5000 thresholds"):
            slad.build_row(body)

    with turns(tmp_path) as slad:
        of_one = lines_run(lambda: slad.build_row(alone))
        assert lines_run(refused) < of_one
