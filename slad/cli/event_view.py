"""Events as lines for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.table import Table
from rich.text import Text
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.exits import printable
from slad.cli.option_types import enum_word
from slad.cli.output import Cell, table
from slad.cli.reason_text import reason_word
from slad.cli.ticket_view import meaning

_PAUSES: Final = (
    pb.SLA_EVENT_TYPE_PAUSED,
    pb.SLA_EVENT_TYPE_PAUSE_CHANGED,
    pb.SLA_EVENT_TYPE_RESUMED,
)


def event_table(events: Iterable[pb.SlaEvent], timezone: str) -> Table:
    """The events of a ticket one below the other. `timezone` is that of its schedule."""
    rows: list[list[Cell]] = []
    for event in events:
        when = time_text.instant(time_text.ms(event.occurred_at), timezone)
        rows.append([str(event.sequence), when, kind(event), details(event)])
    return table(["SEQUENCE", "WHEN", "EVENT", ""], rows)


def event_line(event: pb.SlaEvent) -> Text:
    """One event in a line."""
    return Text.assemble(
        (f"{event.sequence:>6}  ", "dim"),
        time_text.instant(time_text.ms(event.occurred_at)),
        "  ",
        (printable(event.tenant_id), "dim"),
        " ",
        (printable(event.ticket_id), "bold"),
        "  ",
        kind(event),
        "  ",
        details(event),
    )


def kind(event: pb.SlaEvent) -> Text:
    """What happened, in the colour of its weight."""
    told = enum_word(pb.SlaEventType.Name(event.type), "SLA_EVENT_TYPE_")
    return Text(told, _style(event))


def _style(event: pb.SlaEvent) -> str:
    if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
        return "bold red" if event.threshold.breach else "yellow"
    if event.HasField("met"):
        return "green" if event.met else "bold red"
    return "cyan" if event.type in _PAUSES else ""


def details(event: pb.SlaEvent) -> str:
    """What else there is to say."""
    parts: list[str] = []
    if event.phase:
        parts.append(enum_word(pb.SlaPhase.Name(event.phase), "SLA_PHASE_"))
    elif event.clock:
        parts.append(f"{printable(event.clock)} (cycle {event.cycle})")
    if event.type == pb.SLA_EVENT_TYPE_OWNER_CHANGED:
        parts.append(printable(event.owner) or "nobody")
    if event.HasField("threshold"):
        parts.append(meaning(event.threshold))
        if event.threshold.superseded:
            parts.append("(superseded by a higher one)")
    if event.pause_reason:
        parts.append(reason_word(event.pause_reason_code or pb.SlaPauseReason.Name(event.pause_reason)))
    if event.HasField("met"):
        parts.append("met" if event.met else "missed")
    if event.HasField("recorded_at"):
        late = time_text.ms(event.recorded_at) - time_text.ms(event.occurred_at)
        if late >= 1_000:
            parts.append(f"(recorded {time_text.span(late)} later)")
    return " ".join(parts)
