"""How a ticket is shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.exits import printable
from slad.cli.option_types import enum_word
from slad.cli.output import Cell, fancy, table, wide
from slad.core.instants import MINUTE_MS

BAR_CELLS: Final = 20

_STYLES: Final = {
    pb.SLA_TIMER_STATUS_ON_TRACK: "green",
    pb.SLA_TIMER_STATUS_AT_RISK: "yellow",
    pb.SLA_TIMER_STATUS_RESPONSE_BREACHED: "bold red",
    pb.SLA_TIMER_STATUS_RESOLUTION_BREACHED: "bold red",
    pb.SLA_TIMER_STATUS_PAUSED: "cyan",
}


def ticket_id(status: pb.SlaStatus) -> str:
    """`TENANT TICKET`, as the other commands take it, quoted for a shell where that is needed."""
    return shlex.join((status.tenant_id, status.ticket_id))


def word(status: pb.SlaStatus) -> Text:
    """How a ticket stands, in one word; of an ended one how it ended."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Text(enum_word(pb.SlaTrackingState.Name(status.state), "SLA_TRACKING_STATE_"), "dim")
    told = enum_word(pb.SlaTimerStatus.Name(status.status), "SLA_TIMER_STATUS_")
    return Text(told, _STYLES.get(status.status, ""))


def clocks(status: pb.SlaStatus) -> Iterator[tuple[str, pb.SlaClock]]:
    """The clocks that a ticket has, by name."""
    for name in ("response", "resolution"):
        if status.HasField(name):
            yield name, getattr(status, name)


def open_clocks(status: pb.SlaStatus) -> Iterator[pb.SlaClock]:
    """The clocks that are not complete and have a deadline."""
    for _, clock in clocks(status):
        if clock.HasField("due_at") and not clock.HasField("completed_at"):
            yield clock


def status_parts(status: pb.SlaStatus) -> Iterator[Any]:
    """A ticket on the screen: a headline, the clocks, what comes next."""
    now = time_text.ms(status.as_of)
    headline = Text.assemble(
        (printable(status.tenant_id), "dim"), " ", (printable(status.ticket_id), "bold"), "  ", word(status)
    )
    if status.is_paused:
        reason = enum_word(pb.SlaPauseReason.Name(status.pause_reason), "SLA_PAUSE_REASON_")
        headline.append(f" ({reason})")
    headline.append(f"  as of {time_text.instant(now, status.timezone)}", "dim")
    yield headline
    yield Text("  " + ", ".join(_facts(status)), "dim")
    rows = [[name, *_clock_cells(clock, status)] for name, clock in clocks(status)]
    header = ["CLOCK", "TARGET", "ELAPSED", *([""] if _bars() else []), "LEFT", "DUE"]
    if wide():
        yield table([*header, "NEXT"], rows)
        return
    yield table(header, [cells[:-1] for cells in rows])
    if coming := next_of_all(status):
        yield Text(f"next: {coming}", "dim")


def _bars() -> bool:
    return fancy() and wide()


def next_of_all(status: pb.SlaStatus) -> str:
    """The threshold that fires next, of whichever clock."""
    if status.is_paused:
        return ""
    coming = [
        (time_text.ms(clock.next_threshold.scheduled_at), name, clock.next_threshold)
        for name, clock in clocks(status)
        if clock.HasField("next_threshold")
    ]
    if not coming:
        return ""
    at, name, threshold = min(coming, key=lambda item: item[0])
    return f"{name} {meaning(threshold)} {time_text.relative(at, time_text.ms(status.as_of))}"


def _facts(status: pb.SlaStatus) -> Iterator[str]:
    now = time_text.ms(status.as_of)
    yield f"started {time_text.instant(time_text.ms(status.started_at), status.timezone)}"
    if status.HasField("ended_at"):
        yield f"ended {time_text.instant(time_text.ms(status.ended_at), status.timezone)}"
    else:
        yield time_text.relative(time_text.ms(status.started_at), now)
    yield f"by business hours in {status.timezone}" if status.timezone else "around the clock"
    if status.policy_id:
        yield f"policy {printable(status.policy_id)}"
    if status.priority_id:
        yield f"priority {printable(status.priority_id)}"
    if status.total_pause_minutes:
        yield f"paused {time_text.span(status.total_pause_minutes * MINUTE_MS)} in all"
    if status.generation > 1:
        yield f"generation {status.generation}"
    if status.engine == pb.SLA_ENGINE_TEMPORAL:
        yield "by Temporal"
    if status.pause_accounting == pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK:
        yield "pauses by the wall clock"
    for key, value in sorted(status.attributes.items()):
        yield f"{printable(key)}={printable(value)}"


def _clock_cells(clock: pb.SlaClock, status: pb.SlaStatus) -> list[Cell]:
    target, elapsed, now = time_text.ms(clock.target), time_text.ms(clock.elapsed), time_text.ms(status.as_of)
    cells: list[Cell] = [
        time_text.open_span(target),
        f"{time_text.open_span(elapsed)}, {elapsed * 100 // target} %",
    ]
    if _bars():
        cells.append(bar(elapsed, target))
    return [*cells, left(clock), due(clock, status), _next(clock, status, now)]


def bar(elapsed: int, target: int) -> Text:
    """How much of a target is used up."""
    filled = min(BAR_CELLS, elapsed * BAR_CELLS // target)
    style = "red" if elapsed >= target else "yellow" if elapsed * 4 >= target * 3 else "green"
    return Text.assemble(("█" * filled, style), ("░" * (BAR_CELLS - filled), "dim"))


def left(clock: pb.SlaClock) -> Cell:
    """What is left of the target, or how the obligation ended."""
    if clock.HasField("completed_at"):
        met = Text("met", "green") if clock.met else Text("missed", "bold red")
        if clock.HasField("reported_met") and clock.reported_met != clock.met:
            met.append(f" (reported as {'met' if clock.reported_met else 'missed'})", "yellow")
        return met
    rest = time_text.ms(clock.target) - time_text.ms(clock.elapsed)
    if clock.HasField("breached_at"):
        return Text(f"over by {time_text.open_span(-rest)}", "bold red")
    return time_text.open_span(rest)


def due(clock: pb.SlaClock, status: pb.SlaStatus) -> Cell:
    """When it is due, or was done."""
    if clock.HasField("completed_at"):
        return f"done {time_text.instant(time_text.ms(clock.completed_at), status.timezone)}"
    if not clock.HasField("due_at"):
        return ""
    told = time_text.instant(time_text.ms(clock.due_at), status.timezone)
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Text(told, "dim")
    if status.is_paused:
        return f"{told} if resumed now"
    return f"{told}, {time_text.relative(time_text.ms(clock.due_at), time_text.ms(status.as_of))}"


def short_due(clock: pb.SlaClock, status: pb.SlaStatus) -> Cell:
    """The deadline alone; empty for a clock that is complete."""
    if clock.HasField("completed_at"):
        return ""
    told = due(clock, status)
    return told if isinstance(told, Text) else told.partition(",")[0]


def _next(clock: pb.SlaClock, status: pb.SlaStatus, now: int) -> str:
    if not clock.HasField("next_threshold") or status.is_paused:
        return ""
    threshold = clock.next_threshold
    return f"{meaning(threshold)} {time_text.relative(time_text.ms(threshold.scheduled_at), now)}"


def meaning(threshold: pb.SlaThreshold) -> str:
    """`50 %`, `90 %, level 2`, `100 %, breach`."""
    parts = [f"{threshold.percent} %"]
    if threshold.escalation_level:
        parts.append(f"level {threshold.escalation_level}")
    if threshold.breach:
        parts.append("breach")
    return ", ".join(parts)
