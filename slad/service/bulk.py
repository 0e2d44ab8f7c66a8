"""Import and reconciliation: many tickets in one stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.access import Caller
from slad.core.errors import InvalidField, Refusal, Refused, without_frames
from slad.engine.commands import Answer, Command, Mend, Render, Start
from slad.engine.engine import SlaEngine
from slad.engine.execute import execute
from slad.engine.reconcile import Reconciliation, TicketDifferences
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork
from slad.service import replies
from slad.service.access import attributed, tenant_not_allowed
from slad.service.fields import duration_ms
from slad.service.heavy_steps import HEAVY_BYTES, HeavySteps
from slad.service.import_rows import tracking_import
from slad.service.limits import KIB, MAX_REPLY_BYTES
from slad.service.requests import RequestReader
from slad.service.views import Views

ROWS_AT_ONCE: Final = 32
"""Rows that go through the engine together; timers and commands get their turns between them. A row counts
once more for everything that it says has happened, and for every KiB of its start beyond USUAL_KIB: there may
be schedules."""

USUAL_KIB: Final = 2
"""A start with a usual schedule."""

CHUNKS_AHEAD: Final = 16
"""Chunks of an import under way: while some are committed the next are read."""

MENDED_AT_ONCE: Final = 128
"""Tickets that a reconciliation mends in one transaction."""

MAX_LISTED: Final = 10_000
"""Rejected rows, or differences, in a reply. Bounds memory, and the size of the reply."""

MAX_VALUE: Final = 500
"""Characters of a value that differs."""

MAX_SHOWN_ID: Final = 200
"""Characters of the ticket_id of a rejected row."""

MAX_SILENCE_S: Final = 300.0
"""Between two messages of a reconciliation. As long as it lasts slad's view is held, and the WAL grows."""

MESSAGE_OVERHEAD: Final = 20
"""Bytes of a difference beside its texts, at the most."""


ABORT_GRACE_S: Final = 0.2
"""gRPC ends the stream of a client that is gone as it ends a complete one, and says a moment later that it
was aborted, by cancelling the call. So long is waited for that before anything is mended."""


class Bulk:
    """What ImportSlaTrackings and ReconcileSlaTrackings do. Raises InvalidField, Refused."""

    def __init__(
        self, requests: RequestReader, engine: SlaEngine, views: Views, steps: HeavySteps, clock: TimeSource
    ) -> None:
        self._requests = requests
        self._engine = engine
        self._views = views
        self._steps = steps
        self._clock = clock

    async def take(
        self, stream: AsyncIterator[rpc.ImportSlaTrackingsRequest], who: Caller
    ) -> rpc.ImportSlaTrackingsResponse:
        """Starts the trackings of the stream, each row judged on its own: also whether it is `who`'s."""
        reply = rpc.ImportSlaTrackingsResponse()
        line, index = object(), 0
        under_way: deque[_Chunk] = deque()
        try:
            async for message in stream:
                for rows, are_heavy in _chunks(message.trackings):
                    if len(under_way) == CHUNKS_AHEAD:
                        await under_way.popleft().add_to(reply)
                    if are_heavy:
                        chunk = await self._steps.beside(self._read, rows, index, who)
                        under_way.append(self._begin(line, chunk))
                    else:
                        async with self._steps.one():
                            under_way.append(self._begin(line, self._read(rows, index, who)))
                    index += len(rows)
            for chunk in under_way:
                await chunk.add_to(reply)
        except BaseException:
            for chunk in under_way:
                chunk.abandon()
            raise
        return reply

    def _read(self, rows: list[rpc.SlaTrackingImport], first: int, who: Caller) -> _Chunk:
        """Rows as commands, those apart that are refused; the first one has the index `first`."""
        chunk, now = _Chunk([], []), self._clock.now()
        for index, row in enumerate(rows, start=first):
            try:
                start = tracking_import(self._requests, row, "", now)
                if not who.may_touch(start.tenant_id):
                    raise tenant_not_allowed()
                chunk.rows.append(_Row(index, attributed(start)))
            except (InvalidField, Refused) as error:
                chunk.rejected.append((index, row.start.ticket_id, without_frames(error)))
        return chunk

    def _begin(self, line: object, chunk: _Chunk) -> _Chunk:
        """Lets rows be started, after those that stand in `line` already."""
        if chunk.rows:
            chunk.commands = [(row.start, row) for row in chunk.rows]
            chunk.done = self._engine.put(line, chunk.commands)
        return chunk

    async def reconcile(
        self, stream: AsyncIterator[rpc.ReconcileSlaTrackingsRequest], viewed: Callable[[], Awaitable[None]]
    ) -> rpc.ReconcileSlaTrackingsResponse:
        """Compares the stream's tickets with slad's, and mends when asked.

        `viewed` is called once the view that they are compared with has been taken.
        """
        first = await anext(aiter(stream), None)
        if first is None:
            raise InvalidField("tenant_id", "REQUIRED", "the stream held no message")
        tenant_id = self._requests.fields.required_id("tenant_id", first.tenant_id)
        if first.apply and not first.explicit_end:
            message = "with `apply` the list has to say where it ends: one that was cut off mends nothing"
            raise InvalidField("explicit_end", "REQUIRED", message)
        tolerance_ms = duration_ms(first, "tolerance") or 0
        async with self._views.view() as snapshot:
            await viewed()
            findings = await self._compare_all(
                Reconciliation(snapshot, tenant_id, tolerance_ms), first, stream
            )
        if first.apply:
            await asyncio.sleep(ABORT_GRACE_S)
        listed = _that_fit(findings[:MAX_LISTED])
        mended = await self._mend(listed) if first.apply else [False] * len(listed)
        reply = rpc.ReconcileSlaTrackingsResponse(truncated=len(findings) > len(listed))
        for finding, done in zip(listed, mended, strict=True):
            for kind, path, psa_value, slad_value in finding.differences:
                reply.differences.add(
                    ticket_id=finding.ticket_id,
                    kind=rpc.SlaDifferenceKind.ValueType(kind),
                    field=path,
                    psa_value=_shown(psa_value),
                    slad_value=_shown(slad_value),
                    mended=done,
                )
        return reply

    async def _compare_all(
        self,
        reconciliation: Reconciliation,
        first: rpc.ReconcileSlaTrackingsRequest,
        rest: AsyncIterator[rpc.ReconcileSlaTrackingsRequest],
    ) -> list[TicketDifferences]:
        """The findings of a whole list, one more than are listed at the most."""
        findings: list[TicketDifferences] = []
        index = 0
        ended = not first.explicit_end
        message: rpc.ReconcileSlaTrackingsRequest | None = first
        while message is not None:
            found = await _on_thread(reconciliation, self._compare, message, first.tenant_id, index)
            findings += found[: MAX_LISTED + 1 - len(findings)]
            index += len(message.trackings)
            ended = ended or message.end
            message = await _next(rest)
        if not ended:
            raise InvalidField("end", "REQUIRED", "the list stopped before its end; nothing was changed")
        room = MAX_LISTED + 1 - len(findings)
        return findings + await _on_thread(reconciliation, lambda asked: list(islice(asked.orphans(), room)))

    def _compare(
        self,
        reconciliation: Reconciliation,
        message: rpc.ReconcileSlaTrackingsRequest,
        tenant_id: str,
        first: int,
    ) -> list[TicketDifferences]:
        findings: list[TicketDifferences] = []
        now = self._clock.now()
        for index, row in enumerate(message.trackings, start=first):
            if reconciliation.is_given_up:
                break
            try:
                finding = reconciliation.compare(tracking_import(self._requests, row, tenant_id, now))
            except InvalidField as error:
                raise error.under(f"trackings[{index}]") from None
            if finding is not None:
                findings.append(finding)
        return findings

    async def _mend(self, findings: list[TicketDifferences]) -> list[bool]:
        mended: list[bool] = []
        for begin in range(0, len(findings), MENDED_AT_ONCE):
            chunk = findings[begin : begin + MENDED_AT_ONCE]
            mends = [attributed(finding.mend) for finding in chunk]
            mended += await self._engine.write(partial(_mend_all, mends))
        return mended


async def _on_thread(
    reconciliation: Reconciliation, read: Callable[..., list[TicketDifferences]], *arguments: Any
) -> list[TicketDifferences]:
    """On a thread, as the reads of a long list must not hold up the event loop.

    Also when it is cancelled it returns only when they are over: then the view may be closed.
    """
    reading = asyncio.ensure_future(asyncio.to_thread(read, reconciliation, *arguments))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        reconciliation.is_given_up = True
        while not reading.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({reading})
        reading.exception()  # nobody is left to hear of it
        raise


async def _next(
    rest: AsyncIterator[rpc.ReconcileSlaTrackingsRequest],
) -> rpc.ReconcileSlaTrackingsRequest | None:
    try:
        async with asyncio.timeout(MAX_SILENCE_S):
            return await anext(rest, None)
    except TimeoutError:
        message = f"nothing arrived for {MAX_SILENCE_S:g} s; nothing was changed, send the list again"
        raise Refused(Refusal.UNAVAILABLE, "LIST_SILENT", message) from None


def _that_fit(findings: list[TicketDifferences]) -> list[TicketDifferences]:
    """As many of the findings as a reply may hold, at least one."""
    size = 0
    for count, finding in enumerate(findings):
        for _, path, psa_value, slad_value in finding.differences:
            texts = (finding.ticket_id, path, _shown(psa_value), _shown(slad_value))
            size += sum(len(text.encode()) for text in texts) + MESSAGE_OVERHEAD
        if size > MAX_REPLY_BYTES and count:
            return findings[:count]
    return findings


def _shown(value: str) -> str:
    """A value as it is told: a thousand pauses are not for reading."""
    return value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"


def _chunks(rows: Iterable[rpc.SlaTrackingImport]) -> Iterator[tuple[list[rpc.SlaTrackingImport], bool]]:
    """(rows, whether the start of one is heavy to read) in pieces of about the same cost."""
    chunk: list[rpc.SlaTrackingImport] = []
    cost, largest = 0, 0
    for row in rows:
        chunk.append(row)
        size = row.start.ByteSize()
        cost += 1 + len(row.pauses) + len(row.closed) + len(row.facts) + len(row.fired)
        cost += max(0, size // KIB - USUAL_KIB)
        largest = max(largest, size)
        if cost >= ROWS_AT_ONCE:
            yield chunk, largest >= HEAVY_BYTES
            chunk, cost, largest = [], 0, 0
    if chunk:
        yield chunk, largest >= HEAVY_BYTES


class _Row:
    """A row that is to be started: makes the reply, and keeps whether the tracking is new."""

    __slots__ = ("index", "is_new", "start")

    def __init__(self, index: int, start: Start) -> None:
        self.index = index
        self.start = start
        self.is_new = False
        """Not when a request id was answered before: that makes no reply, and changes nothing."""

    def __call__(self, answer: Answer) -> bytes:
        self.is_new = answer.changed
        # Only a request id needs a reply, for its repetition.
        return replies.STARTED.whole(answer) if self.start.request else b""


@dataclass
class _Chunk:
    """Rows that go through the engine together."""

    rows: list[_Row]
    rejected: list[tuple[int, str, InvalidField | Refused]]
    """(index, ticket_id, why) of the others."""
    done: asyncio.Future[list[bytes | Exception]] | None = None
    """What becomes of `rows`; None: there are none."""
    commands: list[tuple[Command, Render]] = field(default_factory=list)
    """What the engine was given of them."""

    def abandon(self) -> None:
        """Takes back what has not had its turn: nobody is left to hear of it, and others wait."""
        self.commands.clear()

    async def add_to(self, reply: rpc.ImportSlaTrackingsResponse) -> None:
        """Adds what has become of the rows, when it is durable. Raises what ended them all."""
        rejected = self.rejected
        for row, outcome in zip(self.rows, await self.done if self.done else (), strict=True):
            if isinstance(outcome, InvalidField | Refused):
                refusal = outcome.under("start") if isinstance(outcome, InvalidField) else outcome
                rejected.append((row.index, row.start.ticket_id, refusal))
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                reply.created += row.is_new
                reply.kept += not row.is_new
        rejected.sort(key=lambda one: one[0])
        reply.rejected_count += len(rejected)
        for index, ticket_id, cause in rejected[: MAX_LISTED - len(reply.rejected)]:
            path = cause.field if isinstance(cause, InvalidField) else ""
            # An id that is too long is no id; a part of it tells the row well enough.
            shown = ticket_id[:MAX_SHOWN_ID]
            reply.rejected.add(index=index, ticket_id=shown, field=path, reason=cause.reason)


def _mend_all(mends: list[Mend], work: UnitOfWork) -> list[bool]:
    done = []
    for mend in mends:
        try:
            execute(work, mend, lambda answer: b"")
        except (InvalidField, Refused):
            done.append(False)
        else:
            done.append(True)
    return done
