"""AnnotateSla, ReportSla, UnfoldSlaReport and ForecastSla (A3–A6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeVar

from slad_client.v1 import attainment_pb2 as pb

from slad.core.errors import InvalidField, Refused
from slad.core.events import PHASES
from slad.core.schedule import check_timezone
from slad.engine.attainment import (
    Attainment,
    Figure,
    OpenCycle,
    TakeCycle,
    group_of,
    in_period,
)
from slad.engine.commands import Annotate
from slad.engine.engine import SlaEngine
from slad.engine.forecast import Forecast
from slad.engine.grouping import Group, GroupKey, GroupKeys, ReportBy, ReportQuery
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service.access import holder
from slad.service.attainment_replies import forecast_reply, open_entries, report_reply, stored_entries
from slad.service.fields import Fields, at_most, enum, enums, instant, printable_text
from slad.service.limits import (
    MAX_CLOCKS,
    MAX_LISTED_VALUES,
    MAX_NOTE,
    MAX_PERIOD_MS,
    MAX_REASON_CODE,
)

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
            await self._open_cycles(query, report.add)
        return await self._run(lambda attainment: report_reply(report, query.as_of, attainment.unfilled()))

    async def unfold(self, request: pb.UnfoldSlaReportRequest) -> AsyncIterator[bytes]:
        """Serialized UnfoldSlaReportResponses: what has closed, then what is open, each by its instant."""
        query = await self._query(request)
        group = _group(request, query)
        figures = frozenset(enums("figures", request.figures, Figure))
        keys = await self._run(lambda attainment: attainment.entry_keys(query, group, figures))
        for begin in range(0, len(keys), ENTRIES_AT_ONCE):
            some = keys[begin : begin + ENTRIES_AT_ONCE]
            for body in await self._run(partial(stored_entries, keys=some, tenant_id=query.tenant_id)):
                yield body
        if query.by is ReportBy.CLOSED or (figures.isdisjoint(_OPEN_FIGURES) and figures):
            return
        cycles: list[OpenCycle] = []
        keys_of = GroupKeys(query)

        def choose(cycle: OpenCycle) -> None:
            if (
                in_period(query, cycle)
                and (group is None or group_of(keys_of, query, cycle) == group)
                and (not figures or _figure(cycle) in figures)
            ):
                cycles.append(cycle)

        await self._open_cycles(query, choose)
        await self._run(lambda _: cycles.sort(key=_by_due))
        for begin in range(0, len(cycles), ENTRIES_AT_ONCE):
            some_cycles = cycles[begin : begin + ENTRIES_AT_ONCE]
            for body in await self._run(partial(open_entries, some_cycles, self._engine.ledger_attributes)):
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
            enums("group_by", request.group_by, GroupKey),
            self._attributes(request.attributes),
            (),
            as_of,
        )
        found = Forecast(query)
        await self._open_cycles(query, found.add)
        return await self._run(lambda _: forecast_reply(found, as_of))

    async def _open_cycles(self, query: ReportQuery, take: TakeCycle) -> None:
        """Gives `take`, on the thread, the open cycles of a tenant as of the report.

        They are read page by page: others have questions too.
        """
        last = await self._run(lambda attainment: attainment.last_audit(query.as_of))
        seen: set[int] = set()
        after: int | None = 0
        while after is not None:
            page = partial(
                Attainment.open_page, query=query, last_audit=last, after_key=after, seen=seen, take=take
            )
            after = await self._run(page)
        ended = await self._run(lambda attainment: attainment.ended_since(query, last, seen))
        for begin in range(0, len(ended), ENTRIES_AT_ONCE):
            some = ended[begin : begin + ENTRIES_AT_ONCE]
            await self._run(partial(Attainment.open_of, query=query, last_audit=last, keys=some, take=take))

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
            enums("group_by", request.group_by, GroupKey),
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
        at_most("attributes", names, MAX_LISTED_VALUES)
        for index, name in enumerate(names):
            if name not in self._engine.ledger_attributes:
                text = f"the setting ledger.attributes does not name {name[:100]!r}"
                raise InvalidField(f"attributes[{index}]", "ATTRIBUTE_NOT_KEPT", text)
        return tuple(dict.fromkeys(names))


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
        raise InvalidField("group", "NOT_A_GROUP", "not a day, a week or a month") from None
    return group


_OPEN_FIGURES: Final = frozenset({Figure.OPEN_OVERDUE, Figure.OPEN_IN_TIME})


def _figure(cycle: OpenCycle) -> Figure:
    return Figure.OPEN_OVERDUE if cycle.is_overdue else Figure.OPEN_IN_TIME


def _by_due(cycle: OpenCycle) -> tuple[int, str, int, str, int]:
    ticket, clock = cycle.ticket, cycle.clock
    return clock.due_at or 0, ticket.ticket_id, ticket.generation, clock.name, clock.number
