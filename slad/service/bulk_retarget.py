"""RetargetSlaTrackings: terms of many live trackings at once, each on its own (M9)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Final

import msgspec
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core import machine
from slad.core.errors import InvalidField, Refused, without_frames
from slad.core.reading import Reading
from slad.core.status import TrackingState
from slad.core.tracking import Tracking
from slad.engine.commands import Answer, RequestIdentity
from slad.engine.engine import SlaEngine
from slad.engine.event_codec import set_instants
from slad.engine.execute import execute
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.terms_change import ChangeTerms, ClockDifference, Selection, differences
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork
from slad.service.access import attributed, holder
from slad.service.requests import RetargetQuery

AT_ONCE: Final = 8
"""Trackings in one turn of the engine: timers and commands wait for no more than these."""

_SEPARATOR: Final = "\x1f"
"""Between a request id and a ticket's: in no id of a caller's."""


async def retarget_trackings(
    asked: RetargetQuery, engine: SlaEngine, queries: QueryThread, clock: TimeSource
) -> AsyncIterator[bytes]:
    """Serialized RetargetSlaTrackingsResponses.

    Raises Refused when the engine cannot go on, or the request id was used for something else. What was done
    by then is done.
    """
    ticket_ids = await _selected(asked, queries)
    total = len(ticket_ids)
    yield rpc.RetargetSlaTrackingsResponse(done=0, total=total).SerializeToString()
    for begin in range(0, total, AT_ONCE):
        some = ticket_ids[begin : begin + AT_ONCE]
        if asked.dry_run:
            told = await _would(asked, some, queries, clock)
        else:
            commands = [attributed(_command(asked, ticket_id)) for ticket_id in some]
            told, reused = await engine.write(partial(_change_all, commands, asked.selection))
            if reused is not None:
                raise reused
        progress = rpc.RetargetSlaTrackingsResponse(done=begin + len(some), total=total)
        yield progress.SerializeToString() + told


async def _selected(asked: RetargetQuery, queries: QueryThread) -> list[str]:
    if asked.selection.ticket_ids:
        return list(asked.selection.ticket_ids)
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        page, after = await queries.run(
            partial(Queries.selected, tenant_id=asked.tenant_id, selection=asked.selection, after_key=after),
            holder(),
        )
        found += page
    return found


async def _would(
    asked: RetargetQuery, ticket_ids: list[str], queries: QueryThread, clock: TimeSource
) -> bytes:
    would = await queries.run(
        partial(
            Queries.would_change,
            tenant_id=asked.tenant_id,
            ticket_ids=ticket_ids,
            change=asked.change,
            now=clock.now(),
            suppress_past=asked.suppress_past,
        ),
        holder(),
    )
    return b"".join(
        _refused(ticket_id, outcome)
        if isinstance(outcome, InvalidField | Refused)
        else _differences(ticket_id, outcome)
        for ticket_id, outcome in would
    )


def _command(asked: RetargetQuery, ticket_id: str) -> ChangeTerms:
    request: RequestIdentity | None = asked.request
    if request is not None:
        request = msgspec.structs.replace(request, request_id=f"{request.request_id}{_SEPARATOR}{ticket_id}")
    return ChangeTerms(
        tenant_id=asked.tenant_id,
        ticket_id=ticket_id,
        request=request,
        change=asked.change,
        suppress_past=asked.suppress_past,
    )


def _change_all(
    commands: list[ChangeTerms], selection: Selection, work: UnitOfWork
) -> tuple[bytes, Refused | None]:
    """What became of the tickets, as parts of a RetargetSlaTrackingsResponse; and why not to go on."""
    work.foresee(commands)
    told: list[bytes] = []
    for command in commands:
        try:
            # A call that was cut off is made again: what it has told of a ticket, it tells again (M6).
            known = work.answer(command.request) if command.request is not None else None
            told.append(_change(command, selection, work) if known is None else known)
        except (InvalidField, Refused) as error:
            if isinstance(error, Refused) and error.reason == "REQUEST_ID_REUSED":
                return b"".join(told), without_frames(error)
            told.append(_refused(command.ticket_id, without_frames(error)))
    return b"".join(told), None


def _change(command: ChangeTerms, selection: Selection, work: UnitOfWork) -> bytes:
    record = work.tickets.latest(command.tenant_id, command.ticket_id)
    if (
        record is None
        or record.state is not TrackingState.ACTIVE
        or not selection.fits(record.tracking.terms)
    ):
        return b""  # it has ended, or has been retargeted meanwhile
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    return execute(work, command, partial(_told, record.tracking, reading))


def _told(before: Tracking, reading: Reading, answer: Answer) -> bytes:
    after = differences(before, reading, answer.tracking, answer.reading)
    return _differences(answer.ticket.ticket_id, after)


def _differences(ticket_id: str, found: Iterable[ClockDifference]) -> bytes:
    reply = rpc.RetargetSlaTrackingsResponse()
    for difference in found:
        added = reply.differences.add(
            ticket_id=ticket_id,
            clock=difference.clock,
            cycle=difference.cycle,
            fired=difference.fired,
            retracted=difference.retracted,
        )
        set_instants(added, due_before=difference.due_before, due_after=difference.due_after)
    return reply.SerializeToString()


def _refused(ticket_id: str, error: InvalidField | Refused) -> bytes:
    reply = rpc.RetargetSlaTrackingsResponse()
    reply.refused.add(ticket_id=ticket_id, reason=error.reason, message=error.message)
    return reply.SerializeToString()
