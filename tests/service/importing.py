"""What the tests of bulk calls share: rows, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS
from tests.slad_under_test import MONDAY_9, Slad, slad_running, stamp, start_request

T = TypeVar("T")

FRIDAY_9 = MONDAY_9 - 3 * 24 * HOUR_MS
CLIENT, STATUS = pb.SLA_PAUSE_REASON_AWAITING_CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION

TOLERANCE_MS = 5_000


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
