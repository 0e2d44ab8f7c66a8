"""AnnotateSla, ReportSla, UnfoldSlaReport and ForecastSla (A3–A6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeVar

from slad_client.v1 import attainment_pb2 as pb

from slad.core.errors import InvalidField, Refused
from slad.core.events import PHASES
from slad.core.ledger import LedgerEntry
from slad.core.schedule import check_timezone
from slad.engine.attainment import Attainment, Figure, OpenCycle, ReportRow, group_of, in_period, with_open
from slad.engine.commands import Annotate
from slad.engine.engine import SlaEngine
from slad.engine.event_codec import set_ms
from slad.engine.forecast import ForecastRow, forecast
from slad.engine.grouping import Group, GroupKey, GroupKeys, ReportBy, ReportQuery
from slad.engine.ledger import time_zone_release
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service.access import holder
from slad.service.fields import Fields, at_most, enum, instant, printable_text
from slad.service.limits import (
    MAX_CLOCKS,
    MAX_FORECAST_CYCLES,
    MAX_NOTE,
    MAX_PERIOD_MS,
    MAX_REASON_CODE,
    MAX_REPLY_BYTES,
)
from slad.storage.ledger_store import StoredEntry

ENTRIES_AT_ONCE: Final = 500
"""Entries that a message of UnfoldSlaReport has, at most."""

TICK_S: Final = 0.002
"""Longer than a millisecond, the unit of time: then nothing more is recorded as of the one before."""

T = TypeVar("T")

_Request = pb.ReportSlaRequest | pb.UnfoldSlaReportRequest


class AttainmentCalls:
    """What the calls about attainment need, and do. Each raises InvalidField, Refused."""

    def __init__(self, fields: Fields, engine: SlaEngine, queries: QueryThread, clock: TimeSource) -> None:
        self._fields = fields
        self._engine = engine
        self._queries = queries
        self._clock = clock

    def annotation(self, request: pb.AnnotateSlaRequest) -> Annotate:
        """AnnotateSla as a command (A3)."""
        fields = self._fields
        return Annotate(
            tenant_id=fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=fields.required_id("ticket_id", request.ticket_id),
            request=fields.identity(request, request.tenant_id, request.request_id),
            generation=_number("generation", request),
            clock=fields.required_id("clock", request.clock),
            cycle=_number("cycle", request),
            reason_code=printable_text("reason_code", request.reason_code, MAX_REASON_CODE),
            note=printable_text("note", request.note, MAX_NOTE),
            excused=request.excused,
        )

    async def report(self, request: pb.ReportSlaRequest) -> bytes:
        """A serialized ReportSlaResponse (A4, A5)."""
        query = await self._query(request)
        report = await self._run(lambda attainment: attainment.closed(query))
        if query.by is not ReportBy.CLOSED:
            report = with_open(report, query, await self._open_cycles(query))
        reply = pb.ReportSlaResponse(
            rows=[_report_row(row, group) for group, row in report.rows],
            total=_report_row(report.total),
            unfilled=await self._run(Attainment.unfilled),
        )
        set_ms(reply.as_of, query.as_of)
        return reply.SerializeToString()

    async def unfold(self, request: pb.UnfoldSlaReportRequest) -> AsyncIterator[bytes]:
        """Serialized UnfoldSlaReportResponses: what has closed, then what is open, each by its instant."""
        query = await self._query(request)
        group = _group(request, query)
        figures = frozenset(enum(f"figures[{i}]", figure, Figure) for i, figure in enumerate(request.figures))
        keys = await self._run(lambda attainment: attainment.entry_keys(query, group, figures))
        for begin in range(0, len(keys), ENTRIES_AT_ONCE):
            some = keys[begin : begin + ENTRIES_AT_ONCE]
            entries = await self._run(partial(Attainment.entries, keys=some, tenant_id=query.tenant_id))
            for body in _framed([_stored_entry(entry) for entry in entries]):
                yield body
        if query.by is ReportBy.CLOSED or (figures.isdisjoint(_OPEN_FIGURES) and figures):
            return
        cycles = [
            cycle
            for cycle in await self._open_cycles(query)
            if in_period(query, cycle)
            and (group is None or group_of(query, cycle) == group)
            and (not figures or _figure(cycle) in figures)
        ]
        cycles.sort(key=_by_due)
        kept = self._engine.ledger_attributes
        for begin in range(0, len(cycles), ENTRIES_AT_ONCE):
            some_cycles = cycles[begin : begin + ENTRIES_AT_ONCE]
            for body in _framed([_open_entry(cycle, kept) for cycle in some_cycles]):
                yield body

    async def forecast(self, request: pb.ForecastSlaRequest) -> bytes:
        """A serialized ForecastSlaResponse (A6)."""
        as_of = await self._settled(self._clock.now())
        until = _required(request, "until")
        if until < as_of:
            raise InvalidField("until", "IN_THE_PAST", "a forecast is about what lies ahead")
        # By their opening, so that none is left out whenever it is due.
        query = ReportQuery(
            self._fields.required_id("tenant_id", request.tenant_id),
            as_of,
            until,
            _timezone(request.timezone),
            ReportBy.OPENED,
            _group_by(request.group_by),
            self._attributes(request.attributes),
            (),
            as_of,
        )
        found = forecast(query, await self._open_cycles(query))
        reply = pb.ForecastSlaResponse(
            rows=[_forecast_row(row, group) for group, row in found.rows],
            total=_forecast_row(found.total),
            cycles=map(_forecast_cycle, found.cycles[:MAX_FORECAST_CYCLES]),
            truncated=len(found.cycles) > MAX_FORECAST_CYCLES,
        )
        set_ms(reply.as_of, as_of)
        return reply.SerializeToString()

    async def _open_cycles(self, query: ReportQuery) -> list[OpenCycle]:
        """The open cycles of a tenant as of the report, read page by page: others have questions too."""
        last = await self._run(lambda attainment: attainment.last_audit(query.as_of))
        found: list[OpenCycle] = []
        seen: set[int] = set()
        after: int | None = 0
        while after is not None:
            page = partial(Attainment.open_page, query=query, last_audit=last, after_key=after, seen=seen)
            cycles, after = await self._run(page)
            found += cycles
        ended = await self._run(lambda attainment: attainment.ended_since(query, last, seen))
        for begin in range(0, len(ended), ENTRIES_AT_ONCE):
            some = ended[begin : begin + ENTRIES_AT_ONCE]
            found += await self._run(partial(Attainment.open_of, query=query, last_audit=last, keys=some))
        return found

    async def _run(self, read: Callable[[Attainment], T]) -> T:
        return await self._queries.run(lambda queries: read(queries.attainment), holder())

    async def _query(self, request: _Request) -> ReportQuery:
        from_ms, to_ms = _required(request, "from_time"), _required(request, "to_time")
        if to_ms <= from_ms:
            raise InvalidField("to_time", "BEFORE_FROM", "not after from_time")
        if to_ms - from_ms > MAX_PERIOD_MS:
            raise InvalidField("to_time", "PERIOD_TOO_LONG", "more than a hundred years after from_time")
        now, as_of = self._clock.now(), instant(request, "as_of")
        if as_of is not None and as_of > now:
            raise InvalidField("as_of", "IN_THE_FUTURE", "ahead of slad's clock")
        query = ReportQuery(
            self._fields.required_id("tenant_id", request.tenant_id),
            from_ms,
            to_ms,
            _timezone(request.timezone),
            enum("by", request.by, ReportBy, ReportBy.DUE),
            _group_by(request.group_by),
            self._attributes(request.attributes),
            self._clocks(request.clocks),
            now if as_of is None else as_of,
        )
        await self._settled(query.as_of)
        return query

    async def _settled(self, as_of: int) -> int:
        """Waits until nothing more can be recorded as of `as_of`, so that it can be asked again (A5)."""
        if not self._clock.is_virtual and self._clock.now() <= as_of:
            await asyncio.sleep(TICK_S)
        with suppress(Refused):  # an engine that takes no commands records nothing either
            await self._engine.write(lambda work: None)
        return as_of

    def _clocks(self, names: Collection[str]) -> tuple[str, ...]:
        at_most("clocks", names, MAX_CLOCKS + len(PHASES))
        checked = (self._fields.required_id(f"clocks[{index}]", name) for index, name in enumerate(names))
        return tuple(dict.fromkeys(checked))

    def _attributes(self, names: Collection[str]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if name not in self._engine.ledger_attributes:
                text = f"the setting ledger.attributes does not name {name[:100]!r}"
                raise InvalidField(f"attributes[{index}]", "ATTRIBUTE_NOT_KEPT", text)
        return tuple(dict.fromkeys(names))


def _group_by(values: Collection[int]) -> tuple[GroupKey, ...]:
    return tuple(dict.fromkeys(enum(f"group_by[{i}]", value, GroupKey) for i, value in enumerate(values)))


def _timezone(name: str) -> str:
    if not name:
        return "UTC"
    check_timezone(name)
    return name


def _required(request: _Request | pb.ForecastSlaRequest, name: str) -> int:
    at = instant(request, name)
    if at is None:
        raise InvalidField(name, "REQUIRED", "must be given")
    return at


def _number(name: Literal["generation", "cycle"], request: pb.AnnotateSlaRequest) -> int | None:
    """The number of a generation or cycle; None: not given."""
    number = getattr(request, name) if request.HasField(name) else None
    if number is not None and number < 1:
        raise InvalidField(name, "NOT_POSITIVE", f"{name}s are counted from 1")
    return number


def _group(request: pb.UnfoldSlaReportRequest, query: ReportQuery) -> Group | None:
    if not request.group:
        return None
    wanted = len(query.group_by) + len(query.attributes)
    if len(request.group) != wanted:
        text = f"{len(request.group)} values, but group_by and attributes have {wanted}"
        raise InvalidField("group", "NOT_A_GROUP", text)
    group = tuple(request.group)
    try:
        GroupKeys(query).stored(group)
    except ValueError:
        raise InvalidField("group", "NOT_A_GROUP", "not a date, or not a week") from None
    return group


# --- replies


def _report_row(row: ReportRow, group: Group = ()) -> pb.SlaReportRow:
    sums = row.sums
    message = pb.SlaReportRow(
        group=group,
        met=sums.met,
        missed=sums.missed,
        missed_excused=sums.missed_excused,
        none=sums.none,
        open_overdue=row.open_overdue,
        open_in_time=row.open_in_time,
        attainment=row.attainment,
        attainment_with_open=row.attainment_with_open,
        attainment_excused=row.attainment_excused,
        paused_share=row.paused_share(sums.paused),
        paused_by=[
            _paused_time(reason, paused_ms, row.paused_share(paused_ms) or 0.0)
            for reason, paused_ms in _most_first(row.paused_by)
        ],
    )
    message.elapsed.FromMilliseconds(sums.elapsed)
    message.paused.FromMilliseconds(sums.paused)
    if sums.elapsed_p50 is not None and sums.elapsed_p90 is not None and sums.elapsed_max is not None:
        message.elapsed_p50.FromMilliseconds(sums.elapsed_p50)
        message.elapsed_p90.FromMilliseconds(sums.elapsed_p90)
        message.elapsed_max.FromMilliseconds(sums.elapsed_max)
    return message


def _paused_time(reason: str, paused_ms: int, share: float) -> pb.SlaPausedTime:
    message = pb.SlaPausedTime(reason=reason, share=share)
    message.paused.FromMilliseconds(paused_ms)
    return message


def _most_first(paused_by: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(paused_by.items(), key=lambda item: (-item[1], item[0]))


def _entry(entry: LedgerEntry, **fields: object) -> pb.SlaLedgerEntry:
    total = entry.elapsed_ms + entry.paused_ms
    message = pb.SlaLedgerEntry(
        clock=entry.clock,
        cycle=entry.cycle,
        verdict=pb.SlaVerdict.ValueType(entry.verdict or 0),
        reported_met=entry.reported_met,
        policy_id=entry.policy_id,
        priority_id=entry.priority_id,
        owner=entry.owner,
        paused_by=[
            _paused_time(reason, paused_ms, paused_ms / total if total else 0.0)
            for reason, paused_ms in _most_first(entry.paused_by)
        ],
        reason_code=entry.reason_code,
        note=entry.note,
        excused=entry.excused,
        **fields,  # type: ignore[arg-type]
    )
    set_ms(message.opened_at, entry.opened_at)
    if entry.due_at is not None:
        set_ms(message.due_at, entry.due_at)
    if entry.closed_at is not None:
        set_ms(message.closed_at, entry.closed_at)
    message.target.FromMilliseconds(entry.target_ms)
    message.elapsed.FromMilliseconds(entry.elapsed_ms)
    message.paused.FromMilliseconds(entry.paused_ms)
    return message


def _stored_entry(stored: StoredEntry) -> pb.SlaLedgerEntry:
    message = _entry(
        stored.revision.entry,
        **stored.ticket._asdict(),
        attributes=stored.attributes,
        revision=stored.revision.number,
        tzdata=stored.tzdata,
    )
    set_ms(message.recorded_at, stored.revision.recorded_at)
    return message


def _open_entry(cycle: OpenCycle, kept: Collection[str]) -> pb.SlaLedgerEntry:
    attributes = {name: text for name, text in cycle.tracking.attributes.items() if name in kept}
    return _entry(cycle.entry, **cycle.ticket._asdict(), attributes=attributes, tzdata=time_zone_release())


_OPEN_FIGURES: Final = frozenset({Figure.OPEN_OVERDUE, Figure.OPEN_IN_TIME})


def _figure(cycle: OpenCycle) -> Figure:
    return Figure.OPEN_OVERDUE if cycle.is_overdue else Figure.OPEN_IN_TIME


def _by_due(cycle: OpenCycle) -> tuple[int, str, int, str, int]:
    ticket, clock = cycle.ticket, cycle.clock
    return clock.due_at or 0, ticket.ticket_id, ticket.generation, clock.name, clock.number


def _framed(entries: list[pb.SlaLedgerEntry]) -> list[bytes]:
    """The entries in messages that every client takes."""
    reply, size, framed = pb.UnfoldSlaReportResponse(), 0, []
    for entry in entries:
        if size and size + entry.ByteSize() > MAX_REPLY_BYTES:
            framed.append(reply.SerializeToString())
            reply, size = pb.UnfoldSlaReportResponse(), 0
        size += entry.ByteSize()
        reply.entries.append(entry)
    return [*framed, reply.SerializeToString()] if size else framed


def _forecast_row(row: ForecastRow, group: Group = ()) -> pb.SlaForecastRow:
    message = pb.SlaForecastRow(
        group=group, overdue=row.overdue, will_miss=row.will_miss, in_time=row.in_time, paused=row.paused
    )
    if row.overdue_max is not None:
        message.overdue_max.FromMilliseconds(row.overdue_max)
    return message


def _forecast_cycle(cycle: OpenCycle) -> pb.SlaForecastCycle:
    entry, clock = cycle.entry, cycle.clock
    message = pb.SlaForecastCycle(
        ticket_id=cycle.ticket.ticket_id,
        generation=cycle.ticket.generation,
        clock=entry.clock,
        cycle=entry.cycle,
        policy_id=entry.policy_id,
        priority_id=entry.priority_id,
        owner=entry.owner,
    )
    if clock.due_at is not None:
        set_ms(message.due_at, clock.due_at)
    if cycle.is_overdue:
        message.overdue_by.FromMilliseconds(clock.elapsed_ms - clock.target_ms)
    return message
