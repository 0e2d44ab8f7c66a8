"""What the facts of imported rows amount to: as if they had been sent late."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.importing import (
    CLIENT,
    FRIDAY_9,
    RESPONSE,
    STATUS,
    announced,
    held_slad,
    import_rows,
    pause_of,
    row,
    standing,
    status_of,
)
from tests.slad_under_test import MONDAY_9, Slad, slad_running, stamp, target, told


@pytest.mark.usefixtures("engine")
async def test_imported_pauses_and_response_count(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(
            slad,
            row(
                started_at=FRIDAY_9,
                pauses=[
                    pause_of(FRIDAY_9 + HOUR_MS, FRIDAY_9 + 2 * HOUR_MS, STATUS),
                    pause_of(FRIDAY_9 + 3 * HOUR_MS),
                ],
                response_at=FRIDAY_9 + 30 * MINUTE_MS,
                response_met=False,
                attributes={"queue": "mail"},
            ),
        )
        got = await status_of(slad)
        assert got.is_paused
        assert got.pause_reason == CLIENT
        assert got.started_at.ToMilliseconds() == FRIDAY_9
        assert got.total_pause_minutes == 60 + (3 * 24 - 3) * 60
        assert got.resolution.elapsed.ToMilliseconds() == 2 * HOUR_MS
        assert got.response.completed_at.ToMilliseconds() == FRIDAY_9 + 30 * MINUTE_MS
        assert got.response.met
        assert got.response.reported_met is False
        assert got.attributes == {"queue": "mail"}
        events = await slad.events()
        assert told(events) == [
            "STARTED", "RESPONSE PHASE_COMPLETED", "PAUSED", "RESUMED", "PAUSED",
            "RESPONSE 50 REACHED", "RESOLUTION 50 REACHED",
        ]  # fmt: skip
        assert [e.occurred_at.ToMilliseconds() - FRIDAY_9 for e in events] == [
            minutes * MINUTE_MS for minutes in (0, 30, 60, 120, 180, 30, 180)
        ]
        assert events[1].met
        assert [e.pause_reason for e in events[2:5]] == [STATUS, 0, CLIENT]


@pytest.mark.usefixtures("engine")
async def test_suppress_past_fires_nothing_and_without_it_past_thresholds_fire_in_order(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        plain = {"targets": [target(60, 900, (0, 0, 0))], "started_at": FRIDAY_9}
        await import_rows(slad, row("quiet", suppress_past=True, **plain), row("loud", **plain))
        events = await slad.events()
        assert told(e for e in events if e.ticket_id == "quiet") == ["STARTED"]
        loud = [e for e in events if e.ticket_id == "loud"]
        assert told(loud) == ["STARTED", *(f"RESPONSE {p} REACHED" for p in (50, 75, 90, 100)),
                              "RESOLUTION 50 REACHED"]  # fmt: skip
        assert [e.occurred_at.ToMilliseconds() - FRIDAY_9 for e in loud[1:]] == [
            minutes * MINUTE_MS for minutes in (30, 45, 54, 60, 450)
        ]
        assert [e.threshold.superseded for e in loud[1:]] == [True, True, True, False, False]
        assert standing(await status_of(slad, "quiet")) == standing(await status_of(slad, "loud"))
        await slad.advance(hours=4)
        later = [e for e in await slad.events() if e.sequence > events[-1].sequence]
        assert sorted((e.ticket_id, t) for e, t in zip(later, told(later), strict=True)) == [
            ("loud", "RESOLUTION 75 REACHED"), ("quiet", "RESOLUTION 75 REACHED")
        ]  # fmt: skip


class Past(NamedTuple):
    """What has happened to a ticket; ms before now, so the start is the greatest."""

    started: int
    pauses: tuple[tuple[int, int | None, bool], ...]
    response: int | None
    later_ms: int


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    span = draw(st.integers(0, 4 * 24 * 60)) * MINUTE_MS + draw(st.sampled_from([0, 0, 1, 59_999]))
    ago = st.integers(0, span)
    cuts = sorted(draw(st.lists(ago, max_size=7)), reverse=True)
    ends: list[int | None] = [*cuts[1::2], None]
    pauses = tuple((cut, end, draw(st.booleans())) for cut, end in zip(cuts[::2], ends, strict=False))
    later = draw(st.integers(0, 10 * 60)) * MINUTE_MS
    return Past(span, pauses, draw(st.none() | ago), later)


def imported_row(ticket: str, now: int, past: Past) -> rpc.SlaTrackingImport:
    pauses = [
        pause_of(now - paused, None if resumed is None else now - resumed, STATUS if by_status else CLIENT)
        for paused, resumed, by_status in past.pauses
    ]
    response_at = None if past.response is None else now - past.response
    return row(ticket, started_at=now - past.started, pauses=pauses, response_at=response_at)


async def send_late(slad: Slad, ticket: str, now: int, past: Past) -> None:
    """The past of a ticket, told by a start and the commands that followed it."""
    ids = {"tenant_id": "acme", "ticket_id": ticket}
    await slad.start(ticket, started_at=stamp(now - past.started))
    for paused, resumed, by_status in past.pauses:
        reason = STATUS if by_status else CLIENT
        await slad.backend.PauseSla(
            rpc.PauseSlaRequest(reason=reason, effective_at=stamp(now - paused), **ids)
        )
        if resumed is not None:
            await slad.backend.ResumeSla(rpc.ResumeSlaRequest(effective_at=stamp(now - resumed), **ids))
    if past.response is not None:
        at = stamp(now - past.response)
        await slad.backend.CompleteSla(rpc.CompleteSlaRequest(phase=RESPONSE, effective_at=at, **ids))


def test_an_import_counts_as_a_start_and_late_commands_do(tmp_path: Path) -> None:
    """Status and unretracted thresholds are the same, now and when time has gone on."""
    numbers = count()

    with held_slad(tmp_path) as held:
        slad = held.slad

        async def compare(past: Past) -> None:
            number, now = next(numbers), slad.now
            sent, imported = f"sent-{number}", f"imported-{number}"
            head = (await slad.events())[-1:] if number else []
            reply = await import_rows(slad, imported_row(imported, now, past))
            assert reply.created == 1
            await send_late(slad, sent, now, past)
            for later_ms in (0, past.later_ms):
                await slad.advance(ms=later_ms)
                assert standing(await status_of(slad, imported)) == standing(await status_of(slad, sent))
                events = await slad.events(head[0].sequence if head else 0)
                of_sent = announced(e for e in events if e.ticket_id == sent)
                of_imported = announced(e for e in events if e.ticket_id == imported)
                assert of_imported.keys() == of_sent.keys()
            for ticket in (sent, imported):
                await slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id="acme", ticket_id=ticket))

        @settings(max_examples=40)
        @given(past=pasts())
        def property_holds(past: Past) -> None:
            held.run(compare(past))

        property_holds()


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"pauses": [pause_of(FRIDAY_9, FRIDAY_9 + HOUR_MS)]}, "pauses[0].paused_at"),
        ({"response_at": FRIDAY_9}, "response_completed_at"),
    ],
)
async def test_a_row_without_a_start_has_no_facts_before_now(
    tmp_path: Path, facts: dict[str, Any], field: str
) -> None:
    """As commands would be refused: a pause of Friday would make the clock count from Friday on."""
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, row(started_at=None, **facts))
        assert [r.field for r in reply.rejected] == [field]
        assert await slad.events() == []


async def test_facts_of_a_caller_whose_clock_is_ahead_mean_now_as_with_commands(tmp_path: Path) -> None:
    ahead = MONDAY_9 + HOUR_MS + 4_000
    async with slad_running(tmp_path, now=MONDAY_9 + HOUR_MS) as slad:
        await import_rows(slad, row("imported", response_at=ahead))
        await slad.start("sent", started_at=stamp(MONDAY_9))
        await slad.backend.CompleteSla(
            rpc.CompleteSlaRequest(ticket_id="sent", phase=RESPONSE, effective_at=stamp(ahead))
        )
        assert standing(await status_of(slad, "imported")) == standing(await status_of(slad, "sent"))
