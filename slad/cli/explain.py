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

from slad.cli import drawing, times
from slad.cli.connection import Daemon, daemon_options
from slad.cli.drawing import ASCII, BLOCKS, Mark, Stretch
from slad.cli.events import event_table
from slad.cli.output import Cell, fancy, json_option, print_json, show, table
from slad.cli.ticket import Ticket, clocks, meaning, status_parts, ticket_argument
from slad.core.instants import to_datetime


@click.command()
@ticket_argument
@click.option("--generation", type=click.IntRange(min=1), help="Not the latest one.")
@click.option("--audit", is_flag=True, help="Also the commands, each with the token that it came with.")
@json_option
@daemon_options
def explain(daemon: Daemon, ticket: Ticket, generation: int | None, audit: bool, as_json: bool) -> None:
    """Draw the life of a ticket: what counted, what did not and why, and each threshold.

    A row is a day in the zone of the schedule, or several days when the life is long. What lies ahead is
    drawn as it will be if nothing changes, up to the deadline.
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
    if as_json:
        print_json(reply)
    else:
        show(*timeline_parts(reply))


def horizon(status: pb.SlaStatus) -> int | None:
    """How far ahead is worth drawing: to the last deadline of a running ticket, UTC epoch ms."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE or status.is_paused:
        return None
    dues = [times.ms(clock.due_at) for _, clock in clocks(status) if not clock.HasField("completed_at")]
    return max(dues, default=None)


def timeline_parts(reply: rpc.GetSlaTimelineResponse) -> Iterator[Any]:
    """A life on the screen: how it stands, the drawing, the sums, the events."""
    status = reply.status
    yield from status_parts(status)
    yield ""
    now = times.ms(status.as_of)
    stretches = [Stretch(times.ms(s.from_time), times.ms(s.to_time), s.kind, s.cause) for s in reply.segments]
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
        recorded_at = times.instant(times.ms(entry.recorded_at), timezone)
        effective_at = (
            times.instant(times.ms(entry.effective_at), timezone) if entry.HasField("effective_at") else ""
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
    zone: tzinfo = times.zone(timezone) or UTC
    glyphs = BLOCKS if fancy() else ASCII
    yield from drawing.draw(stretches, marks, now, zone, glyphs)
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
    return ", ".join(f"{cause} {times.span(total)}" for cause, total in sums.items() if total)


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
                yield Mark(times.ms(threshold.scheduled_at), f"{name} {meaning(threshold)}", sign)
        if clock.HasField("completed_at"):
            yield Mark(times.ms(clock.completed_at), f"{name} {'met' if clock.met else 'missed'}", "done")
    if status.state == pb.SLA_TRACKING_STATE_ACTIVE:
        yield Mark(times.ms(status.as_of), "now", "now")
