"""The replies about attainment (A3–A6). They are made where the figures are read, beside the event loop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from slad_client.v1 import attainment_pb2 as pb

from slad.core.ledger import LedgerEntry
from slad.engine.attainment import Attainment, OpenCycle, Report, ReportRow
from slad.engine.event_codec import set_instants, set_ms
from slad.engine.forecast import Forecast, ForecastRow
from slad.engine.giving_way import giving_way
from slad.engine.grouping import Group
from slad.engine.ledger import time_zone_release
from slad.service.limits import MAX_FORECAST_CYCLES, MAX_REPLY_BYTES
from slad.storage.ledger_store import StoredEntry


def report_reply(report: Report, as_of: int, unfilled: int) -> bytes:
    """A serialized ReportSlaResponse."""
    reply = pb.ReportSlaResponse(total=_report_row(report.total), unfilled=unfilled)
    for group, row in giving_way(report.in_order()):
        reply.rows.append(_report_row(row, group))
    set_ms(reply.as_of, as_of)
    return reply.SerializeToString()


def forecast_reply(found: Forecast, as_of: int) -> bytes:
    """A serialized ForecastSlaResponse."""
    cycles = found.cycles()
    reply = pb.ForecastSlaResponse(
        total=_forecast_row(found.total), truncated=len(cycles) > MAX_FORECAST_CYCLES
    )
    for group, row in giving_way(found.rows()):
        reply.rows.append(_forecast_row(row, group))
    for cycle in giving_way(cycles[:MAX_FORECAST_CYCLES]):
        reply.cycles.append(_forecast_cycle(cycle))
    set_ms(reply.as_of, as_of)
    return reply.SerializeToString()


def stored_entries(attainment: Attainment, keys: list[int], tenant_id: str) -> list[bytes]:
    """Serialized UnfoldSlaReportResponses with rows of the ledger."""
    return _framed(map(_stored_entry, giving_way(attainment.entries(keys, tenant_id))))


def open_entries(cycles: list[OpenCycle], kept: Collection[str], _: Attainment) -> list[bytes]:
    """The same with open cycles, and those of their attributes that the ledger keeps."""
    return _framed(_open_entry(cycle, kept) for cycle in giving_way(cycles))


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
    set_instants(message, opened_at=entry.opened_at, due_at=entry.due_at, closed_at=entry.closed_at)
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


def _framed(entries: Iterable[pb.SlaLedgerEntry]) -> list[bytes]:
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
    set_instants(message, due_at=clock.due_at)
    if cycle.is_overdue:
        message.overdue_by.FromMilliseconds(clock.elapsed_ms - clock.target_ms)
    return message
