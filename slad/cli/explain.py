"""`slad explain`: why a ticket stands as it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import drawing, time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.drawing import ASCII, BLOCKS, Mark, Stretch
from slad.cli.event_view import event_table
from slad.cli.help import example
from slad.cli.output import Cell, Printer, console, fancy, output_option, table
from slad.cli.ticket_argument import TypedTicket, generation_option, ticket_argument
from slad.cli.ticket_view import clocks, meaning, status_parts, ticket_id
from slad.core.instants import to_datetime


@click.command(epilog=example("slad explain T-1", "slad explain acme T-1 --audit"))
@ticket_argument
@generation_option
@click.option("--audit", is_flag=True, help="Also list the commands, each with the token of its caller.")
@output_option()
@daemon_options
def explain(daemon: Daemon, ticket: TypedTicket, generation: int | None, audit: bool, out: Printer) -> None:
    """Draw the life of a ticket: which time counted, which did not and why, and each threshold.

    Each row is one day in the zone of the schedule, or several days if the ticket is old. The future is drawn
    up to the deadline, on the assumption that nothing changes.
    """
    with daemon.client() as client:
        known = client.get_sla_status(**ticket._asdict(), generation=generation).status
        until = horizon(known)
        reply = client.get_sla_timeline(
            tenant_id=known.tenant_id,
            ticket_id=known.ticket_id,
            generation=known.generation,
            until=None if until is None else to_datetime(until),
            include_audit=audit,
        )
    out.one(reply, lambda: timeline_parts(reply), ticket_id(reply.status))


def horizon(status: pb.SlaStatus) -> int | None:
    """How far ahead is worth drawing: to the last deadline of a running ticket, UTC epoch ms."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE or status.is_paused:
        return None
    dues = [time_text.ms(clock.due_at) for _, clock in clocks(status) if not clock.HasField("completed_at")]
    return max(dues, default=None)


def timeline_parts(reply: rpc.GetSlaTimelineResponse) -> Iterator[Any]:
    """A life on the screen: how it stands, the drawing, the sums, the events."""
    status = reply.status
    yield from status_parts(status)
    yield ""
    now = time_text.ms(status.as_of)
    stretches = [
        Stretch(time_text.ms(s.from_time), time_text.ms(s.to_time), s.kind, s.cause) for s in reply.segments
    ]
    yield from drawing_parts(stretches, list(marks_of(status)), now, status.timezone)
    if reply.events:
        yield ""
        yield event_table(reply.events, status.timezone, with_ticket=False)
    if reply.audit:
        yield ""
        yield _audit_table(reply.audit, status.timezone)


def _audit_table(entries: Iterable[pb.SlaAuditEntry], timezone: str) -> Table:
    """Commands one below the other."""
    rows: list[list[Cell]] = []
    for entry in entries:
        recorded_at = time_text.instant(time_text.ms(entry.recorded_at), timezone)
        effective_at = (
            time_text.instant(time_text.ms(entry.effective_at), timezone)
            if entry.HasField("effective_at")
            else ""
        )
        told = [entry.note, "" if entry.changed else "nothing changed"]
        rows.append(
            [
                recorded_at,
                entry.command,
                effective_at,
                entry.request_id,
                entry.token_id,
                "; ".join(filter(None, told)),
            ]
        )
    return table(["WHEN", "COMMAND", "AS OF", "REQUEST", "TOKEN", ""], rows)


def drawing_parts(
    stretches: Sequence[Stretch], marks: Sequence[Mark], now: int, timezone: str
) -> Iterator[Any]:
    """The drawing with its legend and sums."""
    zone: tzinfo = time_text.zone(timezone) or UTC
    glyphs = BLOCKS if fancy() else ASCII
    yield from drawing.draw(stretches, marks, now, zone, glyphs, console().width)
    ahead = bool(stretches) and stretches[-1].to_ms > now
    yield drawing.legend(glyphs, ahead=ahead)
    if told := _sums(stretches, now):
        yield Text(f"So far: {told}")


def _sums(stretches: Sequence[Stretch], now: int) -> str:
    """What the stretches up to now amount to."""
    sums: Counter[str] = Counter()
    for stretch in stretches:
        cause = stretch.cause or "counted"
        sums[cause] += max(0, min(stretch.to_ms, now) - stretch.from_ms)
    return ", ".join(f"{cause} {time_text.span(total)}" for cause, total in sums.items() if total)


def marks_of(status: pb.SlaStatus) -> Iterator[Mark]:
    """The thresholds and completions of a ticket, and now."""
    for name, clock in clocks(status):
        for threshold in clock.thresholds:
            if threshold.HasField("scheduled_at"):
                sign = "breach" if threshold.breach else "fired"
                if not threshold.HasField("fired_at"):
                    if status.is_paused:
                        continue
                    sign = "breach-ahead" if threshold.breach else "ahead"
                yield Mark(time_text.ms(threshold.scheduled_at), f"{name} {meaning(threshold)}", sign)
        if clock.HasField("completed_at"):
            yield Mark(time_text.ms(clock.completed_at), f"{name} {'met' if clock.met else 'missed'}", "done")
    if status.state == pb.SLA_TRACKING_STATE_ACTIVE:
        yield Mark(time_text.ms(status.as_of), "now", "now")
