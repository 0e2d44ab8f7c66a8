"""Events as lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text
from slad_client.v1 import types_pb2 as pb

from slad.cli import times
from slad.cli.output import Cell, safe, table
from slad.cli.ticket import meaning
from slad.cli.values import spoken


def event_table(events: Iterable[pb.SlaEvent], timezone: str = "", *, with_ticket: bool = True) -> Table:
    """Events one below the other. `timezone` is that of the schedule, where it is known."""
    header = ["SEQUENCE", "WHEN", *(["TENANT", "TICKET"] if with_ticket else []), "EVENT", ""]
    rows: list[list[Cell]] = []
    for event in events:
        ticket = [event.tenant_id, event.ticket_id] if with_ticket else []
        when = times.instant(times.ms(event.occurred_at), timezone)
        rows.append([str(event.sequence), when, *ticket, kind(event), details(event)])
    return table(header, rows)


def event_line(event: pb.SlaEvent) -> Text:
    """One event in a line."""
    return Text.assemble(
        (f"{event.sequence:>6}  ", "dim"),
        times.instant(times.ms(event.occurred_at)),
        "  ",
        (safe(event.tenant_id), "dim"),
        " ",
        (safe(event.ticket_id), "bold"),
        "  ",
        kind(event),
        "  ",
        details(event),
    )


def kind(event: pb.SlaEvent) -> Text:
    """What happened, in the colour of its weight."""
    told = spoken(pb.SlaEventType.Name(event.type), "SLA_EVENT_TYPE_")
    return Text(told, _style(event))


def _style(event: pb.SlaEvent) -> str:
    if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
        return "bold red" if event.threshold.breach else "yellow"
    if event.HasField("met"):
        return "green" if event.met else "bold red"
    return "cyan" if event.type in (pb.SLA_EVENT_TYPE_PAUSED, pb.SLA_EVENT_TYPE_RESUMED) else ""


def details(event: pb.SlaEvent) -> str:
    """What else there is to say."""
    parts: list[str] = []
    if event.phase:
        parts.append(spoken(pb.SlaPhase.Name(event.phase), "SLA_PHASE_"))
    if event.HasField("threshold"):
        parts.append(meaning(event.threshold))
        if event.threshold.superseded:
            parts.append("(superseded by a higher one)")
    if event.pause_reason:
        parts.append(spoken(pb.SlaPauseReason.Name(event.pause_reason), "SLA_PAUSE_REASON_"))
    if event.HasField("met"):
        parts.append("met" if event.met else "missed")
    if event.HasField("recorded_at"):
        late = times.ms(event.recorded_at) - times.ms(event.occurred_at)
        if late >= 1_000:
            parts.append(f"(recorded {times.span(late)} later)")
    return " ".join(parts)
