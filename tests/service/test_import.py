"""ImportSlaTrackings: each row judged on its own, counted as if its facts had been sent late, no doubles."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.service import bulk
from tests.delivery.test_consumers import watching
from tests.service.test_bad_input import LONG, add_holiday, everything, schedule, set_entry
from tests.slad_under_test import MONDAY_9, Slad, slad_running, stamp, start_request, target, told

T = TypeVar("T")

FRIDAY_9 = MONDAY_9 - 3 * 24 * HOUR_MS
CLIENT, STATUS = pb.SLA_PAUSE_REASON_AWAITING_CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION

TOLERANCE_MS = 5_000


# --- what the tests of bulk calls share


def pause_of(
    paused_at: int, resumed_at: int | None = None, reason: pb.SlaPauseReason = CLIENT
) -> pb.SlaPause:
    message = pb.SlaPause(paused_at=stamp(paused_at), reason=reason)
    if resumed_at is not None:
        message.resumed_at.CopyFrom(stamp(resumed_at))
    return message


def row(
    ticket: str = "T-1",
    *,
    pauses: Sequence[pb.SlaPause] = (),
    response_at: int | None = None,
    response_met: bool | None = None,
    started_at: int | None = MONDAY_9,
    **start: Any,
) -> rpc.SlaTrackingImport:
    if started_at is not None:
        start["started_at"] = stamp(started_at)
    message = rpc.SlaTrackingImport(
        start=start_request(ticket, **start), pauses=pauses, response_met=response_met
    )
    if response_at is not None:
        message.response_completed_at.CopyFrom(stamp(response_at))
    return message


def messages(rows: Iterable[rpc.SlaTrackingImport], size: int) -> list[rpc.ImportSlaTrackingsRequest]:
    every = list(rows)
    return [
        rpc.ImportSlaTrackingsRequest(trackings=every[at : at + size]) for at in range(0, len(every), size)
    ]


async def import_rows(
    slad: Slad, *rows: rpc.SlaTrackingImport, size: int = 1_000
) -> rpc.ImportSlaTrackingsResponse:
    return await slad.backend.ImportSlaTrackings(iter(messages(rows, size)))


async def status_of(slad: Slad, ticket: str = "T-1", tenant: str = "acme") -> pb.SlaStatus:
    request = rpc.GetSlaStatusRequest(tenant_id=tenant, ticket_id=ticket)
    return (await slad.backend.GetSlaStatus(request)).status


async def tracked(slad: Slad, tenant: str = "acme") -> dict[str, pb.SlaStatus]:
    """All trackings of a tenant by ticket; fails when a ticket has two."""
    found: dict[str, pb.SlaStatus] = {}
    token = ""
    while True:
        page = await slad.backend.ListSlaTrackings(
            rpc.ListSlaTrackingsRequest(tenant_id=tenant, page_size=1000, page_token=token)
        )
        for status in page.trackings:
            assert status.ticket_id not in found
            found[status.ticket_id] = status
        if not (token := page.next_page_token):
            return found


def announced(events: Iterable[pb.SlaEvent]) -> dict[tuple[pb.SlaPhase, int], int]:
    """The instants of the thresholds that were reached and not retracted; each announced once."""
    told_of: dict[tuple[pb.SlaPhase, int], int] = {}
    for event in events:
        if not event.HasField("threshold"):
            continue
        key = event.phase, event.threshold.percent
        if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            assert key not in told_of
            told_of[key] = event.occurred_at.ToMilliseconds()
        else:
            assert told_of.pop(key) == event.threshold.scheduled_at.ToMilliseconds()
    return told_of


def standing(status: pb.SlaStatus) -> pb.SlaStatus:
    """A status without the ticket's name, and without what depends on when a threshold was announced."""
    bare = pb.SlaStatus()
    bare.CopyFrom(status)
    for name in ("ticket_id", "tenant_id", "generation"):
        bare.ClearField(name)
    for clock in (bare.response, bare.resolution):
        for threshold in clock.thresholds:
            if threshold.HasField("fired_at"):
                threshold.ClearField("scheduled_at")
                threshold.ClearField("superseded")
                threshold.fired_at.FromMilliseconds(1)
    return bare


class Held(NamedTuple):
    """A daemon for tests that do not run on an event loop, such as those of Hypothesis."""

    slad: Slad
    loop: asyncio.AbstractEventLoop

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(_awaited(work))


@contextmanager
def held_slad(data: Path) -> Iterator[Held]:
    """A daemon on an event loop of its own, which runs while something is awaited."""
    loop = asyncio.new_event_loop()
    try:
        running = slad_running(data)
        slad = loop.run_until_complete(running.__aenter__())
        try:
            yield Held(slad, loop)
        finally:
            loop.run_until_complete(running.__aexit__(None, None, None))
    finally:
        loop.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


# --- counts, and rows that are rejected


async def test_rows_are_created_kept_or_rejected_and_counted(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", started_at=stamp(MONDAY_9 - HOUR_MS))
        before = await status_of(slad, "live")
        reply = await import_rows(slad, row("A"), row("live", policy_id="other"), row(""), row("B"), row("A"))
        assert (reply.created, reply.kept, reply.rejected_count) == (2, 2, 1)
        assert [(r.index, r.ticket_id, r.field, r.reason) for r in reply.rejected] == [
            (2, "", "start.ticket_id", "REQUIRED")
        ]
        assert set(await tracked(slad)) == {"live", "A", "B"}
        assert await status_of(slad, "live") == before, "what is live is as it was"


async def test_an_empty_stream_is_no_error(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        nothing = rpc.ImportSlaTrackingsResponse()
        assert await import_rows(slad) == nothing
        assert await slad.backend.ImportSlaTrackings(iter([rpc.ImportSlaTrackingsRequest()])) == nothing


class BadRow(NamedTuple):
    row: rpc.SlaTrackingImport
    field: str
    reason: str


def unspecified_start() -> rpc.SlaTrackingImport:
    return rpc.SlaTrackingImport(pauses=[pause_of(MONDAY_9)])


BAD_ROWS = [
    BadRow(unspecified_start(), "start.tenant_id", "REQUIRED"),
    BadRow(row(""), "start.ticket_id", "REQUIRED"),
    BadRow(row(LONG), "start.ticket_id", "TOO_LONG"),
    BadRow(row(tenant_id=""), "start.tenant_id", "REQUIRED"),
    BadRow(row(targets=[]), "start.targets", "NO_TARGET"),
    BadRow(row(targets=[target(0, 60)]), "start.targets[0].response_time_minutes", "NOT_POSITIVE"),
    BadRow(
        # Well-formed, but a threshold of it lies past year 9999: found out by the engine.
        row(targets=[target(1, 4_000_000_000)]),
        "start.targets[0].resolution_time_minutes",
        "DEADLINE_OUT_OF_RANGE",
    ),
    BadRow(
        row(schedule=schedule(lambda s: setattr(s, "timezone", "Mars/Olympus"))),
        "start.schedule.timezone",
        "UNKNOWN_TIME_ZONE",
    ),
    BadRow(
        row(schedule=schedule(set_entry(2, end_time="25:00"))),
        "start.schedule.entries[2].end_time",
        "MALFORMED_TIME",
    ),
    BadRow(
        row(schedule=schedule(add_holiday("2026-02-30"))),
        "start.schedule.holidays[0].holiday_date",
        "MALFORMED_DATE",
    ),
    BadRow(row(notification_thresholds=[0]), "start.notification_thresholds[0]", "PERCENT_OUT_OF_RANGE"),
    BadRow(row(started_at=MONDAY_9 + TOLERANCE_MS + 1), "start.started_at", "IN_THE_FUTURE"),
    BadRow(row(started_at=946_684_799_999), "start.started_at", "TOO_FAR_IN_THE_PAST"),
    BadRow(row(attributes={"": "x"}), "start.attributes", "KEY_LENGTH"),
    BadRow(row(pauses=[pb.SlaPause()]), "pauses[0].paused_at", "REQUIRED"),
    BadRow(row(pauses=[pause_of(MONDAY_9 - 1)]), "pauses[0].paused_at", "OUT_OF_ORDER"),
    BadRow(row(pauses=[pause_of(MONDAY_9, MONDAY_9 - 1)]), "pauses[0].resumed_at", "OUT_OF_ORDER"),
    BadRow(
        row(started_at=FRIDAY_9, pauses=[pause_of(FRIDAY_9, MONDAY_9), pause_of(MONDAY_9 - 1)]),
        "pauses[1].paused_at",
        "OUT_OF_ORDER",
    ),
    BadRow(row(pauses=[pause_of(MONDAY_9), pause_of(MONDAY_9)]), "pauses[1]", "OVERLAPS"),
    BadRow(row(pauses=[pause_of(MONDAY_9, reason=9)]), "pauses[0].reason", "UNKNOWN_ENUM_VALUE"),
    BadRow(row(pauses=[pause_of(MONDAY_9)] * 1_001), "pauses", "TOO_MANY"),
    BadRow(row(response_at=MONDAY_9 - 5_001), "response_completed_at", "BEFORE_START"),
    BadRow(row(response_at=MONDAY_9 + TOLERANCE_MS + 1), "response_completed_at", "IN_THE_FUTURE"),
    BadRow(row("live", on_existing=pb.ON_EXISTING_FAIL), "", "TRACKING_EXISTS"),
    BadRow(row("other", request_id="used"), "", "REQUEST_ID_REUSED"),
]


async def test_a_bad_row_is_rejected_by_its_index_and_field_and_the_others_are_kept(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", request_id="used")
        stream: list[rpc.SlaTrackingImport] = []
        for number, bad in enumerate(BAD_ROWS):
            stream += [row(f"good-{number}"), bad.row]
        # Seven rows a message: the index counts over the whole stream.
        reply = await import_rows(slad, *stream, size=7)
        assert reply.created == reply.rejected_count == len(reply.rejected) == len(BAD_ROWS)
        assert reply.kept == 0
        for number, (got, bad) in enumerate(zip(reply.rejected, BAD_ROWS, strict=True)):
            with subtests.test(f"{bad.field} {bad.reason}"):
                assert got.index == 2 * number + 1
                assert (got.field, got.reason) == (bad.field, bad.reason)
                assert got.ticket_id == bad.row.start.ticket_id[:200]
        names = {f"good-{number}" for number in range(len(BAD_ROWS))}
        assert set(await tracked(slad)) == names | {"live"}


async def test_of_more_than_10000_rejected_rows_10000_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        stream = [rpc.SlaTrackingImport()] * 10_100
        stream[7] = row("good")
        reply = await import_rows(slad, *stream)
        assert (reply.created, reply.rejected_count) == (1, 10_099)
        assert [r.index for r in reply.rejected] == [n for n in range(10_001) if n != 7]


async def test_the_rejected_rows_that_are_listed_are_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_LISTED", 10)
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, row("good"), *([row("")] * 300))
        assert reply.rejected_count == 300
        assert [r.index for r in reply.rejected] == list(range(1, 11))


async def test_a_reply_about_rejected_rows_stays_within_what_clients_take(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, *([row("x" * 1_000_000)] * 5), size=1)
        assert reply.rejected_count == 5
        assert reply.ByteSize() < 2 * 1024 * 1024


async def test_a_pause_in_the_future_is_rejected_by_its_field(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        reply = await import_rows(slad, row(pauses=[pause_of(MONDAY_9, MONDAY_9 + TOLERANCE_MS + 1)]))
        assert [(r.field, r.reason) for r in reply.rejected] == [("pauses[0].resumed_at", "IN_THE_FUTURE")]


# --- what the facts of a row amount to


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


# --- the same again


def lively_rows(number: int) -> list[rpc.SlaTrackingImport]:
    """Rows that differ in all that a row can hold."""
    return [
        row(
            f"T-{n}",
            started_at=FRIDAY_9 + n,
            pauses=[pause_of(FRIDAY_9 + HOUR_MS, FRIDAY_9 + 2 * HOUR_MS)] if n % 2 else [],
            response_at=FRIDAY_9 + 3 * HOUR_MS if n % 3 else None,
            suppress_past=bool(n % 5),
        )
        for n in range(number)
    ]


async def test_the_whole_stream_again_makes_no_doubles_and_changes_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        rows = [*lively_rows(300), row("")]
        first = await import_rows(slad, *rows, size=70)
        assert (first.created, first.kept, first.rejected_count) == (300, 0, 1)
        before = await everything(slad)
        again = await import_rows(slad, *rows, size=50)
        assert (again.created, again.kept, again.rejected_count) == (0, 300, 1)
        assert await everything(slad) == before


async def test_a_row_for_an_ended_ticket_starts_its_next_generation_unless_its_request_id_is_known(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        rows = row("plain"), row("named", request_id="import-1/named")
        await import_rows(slad, *rows)
        for ticket in ("plain", "named"):
            await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id=ticket))
        again = await import_rows(slad, *rows)
        assert (again.created, again.kept) == (1, 1)
        assert (await status_of(slad, "plain")).generation == 2
        assert (await status_of(slad, "named")).state == pb.SLA_TRACKING_STATE_CANCELLED


async def test_request_ids_of_rows_are_those_of_starts(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        one = row("T-1", request_id="start/T-1")
        first = await slad.backend.StartSlaTracking(one.start)
        assert (await import_rows(slad, one)).kept == 1
        await import_rows(slad, row("T-2", request_id="start/T-2"))
        got = await slad.backend.StartSlaTracking(row("T-2", request_id="start/T-2").start)
        assert got.created, "the first answer"
        assert got.status.ticket_id == "T-2"
        assert await slad.backend.StartSlaTracking(one.start) == first
        assert told(await slad.events()) == ["STARTED"] * 2


async def test_a_request_id_with_other_facts_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, row(started_at=FRIDAY_9, request_id="r"))
        other = row(started_at=FRIDAY_9, request_id="r", pauses=[pause_of(FRIDAY_9 + HOUR_MS)])
        reply = await import_rows(slad, other)
        assert [r.reason for r in reply.rejected] == ["REQUEST_ID_REUSED"]


# --- clients that leave, and others that go on


async def starts_heard(slad: Slad, number: int) -> None:
    """Returns when at least so many trackings have begun."""
    async with watching(slad, "", after_sequence=0, types=[pb.SLA_EVENT_TYPE_STARTED]) as watcher:
        await watcher.tickets(number)


async def stream_completes(slad: Slad, rows: list[rpc.SlaTrackingImport]) -> None:
    """What is there is whole, and the stream again adds what is missing."""
    there = await tracked(slad)
    assert 0 < len(there) < len(rows)
    again = await import_rows(slad, *rows)
    assert again.created + again.kept == len(rows)
    # Rows that had been received when the client left may have been stored after the look.
    assert again.created > 0
    assert again.kept >= len(there)
    after = await tracked(slad)
    assert {ticket: after[ticket] for ticket in there} == there
    # Rows that were stored in one go, with nothing broken off, under another tenant.
    for each in rows:
        each.start.tenant_id = "globex"
    await import_rows(slad, *rows)
    whole = await tracked(slad, "globex")
    assert {t: standing(s) for t, s in after.items()} == {t: standing(s) for t, s in whole.items()}


async def test_a_client_that_cancels_in_the_middle_leaves_whole_rows_and_may_come_again(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        rows = lively_rows(600)
        call = slad.backend.ImportSlaTrackings()
        for message in messages(rows[:400], 40):
            await call.write(message)
        await starts_heard(slad, 100)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await stream_completes(slad, rows)


KILLED_CLIENT = """
import sys
import grpc
from slad_client.v1 import sla_backend_pb2 as rpc, sla_backend_pb2_grpc

def stream():
    with open(sys.argv[2], "rb") as file:
        whole = rpc.ImportSlaTrackingsRequest.FromString(file.read())
    for row in whole.trackings:
        yield rpc.ImportSlaTrackingsRequest(trackings=[row])
    sys.stdin.read()  # until killed

with grpc.insecure_channel(sys.argv[1]) as channel:
    sla_backend_pb2_grpc.SlaBackendStub(channel).ImportSlaTrackings(stream())
"""


async def test_a_client_that_is_killed_in_the_middle_leaves_whole_rows_and_may_come_again(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path / "data") as slad:
        rows = lively_rows(300)
        file = tmp_path / "rows"
        file.write_bytes(rpc.ImportSlaTrackingsRequest(trackings=rows[:200]).SerializeToString())
        arguments = ("-c", KILLED_CLIENT, slad.daemon.addresses[0], str(file))
        client = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE)
        try:
            await starts_heard(slad, 150)
        finally:
            client.kill()
            await client.wait()
        await stream_completes(slad, rows)


async def test_timers_and_commands_go_on_while_an_import_runs(tmp_path: Path) -> None:
    """The pause and the threshold come after the import began, and are done before it ends."""
    order: list[str] = []

    async def done(name: str, call: Awaitable[T]) -> T:
        reply = await call
        order.append(name)
        return reply

    async with slad_running(tmp_path) as slad:
        await slad.start("paused")
        await slad.start("timed", targets=[target(1, None, (0, 0, 0))])
        stream = messages((row(f"T-{n}") for n in range(4_000)), 500)
        importing = asyncio.create_task(done("import", slad.backend.ImportSlaTrackings(iter(stream))))
        await starts_heard(slad, 3)
        pausing = rpc.PauseSlaRequest(ticket_id="paused", reason=CLIENT)
        paused, _ = await asyncio.gather(
            done("pause", slad.backend.PauseSla(pausing)), done("timer", slad.advance(minutes=1))
        )
        assert paused.changed
        assert (await importing).created == 4_000
        assert order[-1] == "import"
        events = await slad.events()
        by_ticket = {e.ticket_id: e for e in events}
        last_row = by_ticket["T-3999"].sequence
        assert by_ticket["paused"].type == pb.SLA_EVENT_TYPE_PAUSED
        assert by_ticket["timed"].threshold.percent == 100
        assert max(by_ticket["paused"].sequence, by_ticket["timed"].sequence) < last_row


async def test_a_message_that_is_too_big_ends_the_call_and_leaves_whole_rows(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        too_big = row("big", attributes={"k": "v" * (5 * 1024 * 1024)})
        rows = lively_rows(20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await import_rows(slad, *rows, too_big, size=20)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        again = await import_rows(slad, *rows)
        assert again.created + again.kept == 20
        assert set(await tracked(slad)) == {f"T-{n}" for n in range(20)}
