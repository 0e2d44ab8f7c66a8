"""How a ticket is shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rich.text import Text
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.clock_text import UNNAMED
from slad.cli.exits import printable
from slad.cli.option_types import enum_word
from slad.cli.output import Cell, fancy, table, wide
from slad.cli.reason_text import reason_word
from slad.core.instants import MINUTE_MS
from slad.core.picture import threshold_label
from slad.core.terms import ThresholdSpec

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


class Lane(NamedTuple):
    """A clock of a ticket, with its open cycle, or else its last one."""

    name: str
    clock: pb.SlaClock
    """Without a target: the clock has had no cycle."""
    is_paused: bool
    """A pause that it heeds is on."""
    closed_without_verdict: bool
    cycle: pb.SlaClockStatus | None
    """What else there is to say of a clock, if the ticket has clocks that are named."""

    @property
    def is_open(self) -> bool:
        """Whether it runs, or is paused."""
        return (
            self.clock.HasField("target")
            and not self.clock.HasField("completed_at")
            and not self.closed_without_verdict
        )


def lanes(status: pb.SlaStatus) -> Iterator[Lane]:
    """The clocks of a ticket."""
    for cycle in status.clocks:
        without_verdict = cycle.HasField("closed_at") and not cycle.clock.HasField("completed_at")
        yield Lane(cycle.name, cycle.clock, cycle.is_paused, without_verdict, cycle)
    if status.clocks:
        return
    for name in UNNAMED:
        if status.HasField(name):
            clock: pb.SlaClock = getattr(status, name)
            is_over = status.state == pb.SLA_TRACKING_STATE_COMPLETED
            lapsed = is_over and not clock.HasField("completed_at")
            yield Lane(name, clock, status.is_paused, lapsed, None)


def dues(status: pb.SlaStatus) -> Iterator[tuple[int, Lane]]:
    """(deadline in UTC epoch ms, the lane) of the clocks that are open."""
    for lane in lanes(status):
        if lane.is_open and lane.clock.HasField("due_at"):
            yield time_text.ms(lane.clock.due_at), lane


def status_parts(status: pb.SlaStatus) -> Iterator[Any]:
    """A ticket on the screen: a headline, the clocks, what comes next."""
    now = time_text.ms(status.as_of)
    headline = Text.assemble(
        (printable(status.tenant_id), "dim"), " ", (printable(status.ticket_id), "bold"), "  ", word(status)
    )
    if status.is_paused:
        reasons = list(status.pause_reasons) or [pb.SlaPauseReason.Name(status.pause_reason)]
        headline.append(f" ({', '.join(map(reason_word, reasons))})")
    headline.append(f"  as of {time_text.instant(now, status.timezone)}", "dim")
    yield headline
    yield Text("  " + ", ".join(_facts(status)), "dim")
    header = ["CLOCK", *(["CYCLE"] if status.clocks else []), "TARGET", "ELAPSED", *([""] if _bars() else [])]
    header += ["LEFT", "DUE", *(["NEXT"] if wide() else [])]
    yield table(header, (_cells(lane, status) for lane in lanes(status)))
    if not wide() and (coming := next_of_all(status)):
        yield Text(f"next: {coming}", "dim")


def _bars() -> bool:
    return fancy() and wide()


def next_of_all(status: pb.SlaStatus) -> str:
    """The threshold that fires next, of any clock."""
    coming = [
        (time_text.ms(lane.clock.next_threshold.scheduled_at), lane)
        for lane in lanes(status)
        if lane.clock.HasField("next_threshold") and not lane.is_paused
    ]
    if not coming:
        return ""
    at, lane = min(coming, key=lambda item: item[0])
    threshold = meaning(lane.clock.next_threshold)
    return f"{lane.name} {threshold} {time_text.relative(at, time_text.ms(status.as_of))}"


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
    if status.owner:
        yield f"owner {printable(status.owner)}"
    if status.generation > 1:
        yield f"generation {status.generation}"
    if status.engine == pb.SLA_ENGINE_TEMPORAL:
        yield "by Temporal"
    if status.pause_accounting == pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK:
        yield "pauses by the wall clock"
    for key, value in sorted(status.attributes.items()):
        yield f"{printable(key)}={printable(value)}"


def _cells(lane: Lane, status: pb.SlaStatus) -> list[Cell]:
    clock, now = lane.clock, time_text.ms(status.as_of)
    cells: list[Cell] = [lane.name, *([] if lane.cycle is None else [_cycle(lane.cycle)])]
    if not clock.HasField("target"):
        return cells
    target, elapsed = time_text.ms(clock.target), time_text.ms(clock.elapsed)
    cells.append(time_text.open_span(target))
    cells.append(f"{time_text.open_span(elapsed)}, {elapsed * 100 // target} %")
    if _bars():
        cells.append(bar(elapsed, target))
    cells += [left(lane), due(lane, status)]
    return [*cells, _next(lane, now)] if wide() else cells


def _cycle(clock: pb.SlaClockStatus) -> str:
    """`2 (1 met)`: which cycle of a clock that may have several, and how the closed ones ended."""
    if clock.kind <= pb.SLA_CLOCK_KIND_FROM_START:
        return ""
    if not clock.cycle:
        return "none yet"
    judged = ((clock.cycles_met, "met"), (clock.cycles_missed, "missed"))
    ended = ", ".join(f"{count} {verdict}" for count, verdict in judged if count)
    return f"{clock.cycle} ({ended})" if ended else str(clock.cycle)


def bar(elapsed: int, target: int) -> Text:
    """How much of a target is used up."""
    filled = min(BAR_CELLS, elapsed * BAR_CELLS // target)
    style = "red" if elapsed >= target else "yellow" if elapsed * 4 >= target * 3 else "green"
    return Text.assemble(("█" * filled, style), ("░" * (BAR_CELLS - filled), "dim"))


def left(lane: Lane) -> Cell:
    """What is left of the target, or how the obligation ended."""
    clock = lane.clock
    if clock.HasField("completed_at"):
        met = Text("met", "green") if clock.met else Text("missed", "bold red")
        if clock.HasField("reported_met") and clock.reported_met != clock.met:
            met.append(f" (reported as {'met' if clock.reported_met else 'missed'})", "yellow")
        return met
    if lane.closed_without_verdict:
        return Text("no verdict", "dim")
    rest = time_text.ms(clock.target) - time_text.ms(clock.elapsed)
    if clock.HasField("breached_at"):
        return Text(f"over by {time_text.open_span(-rest)}", "bold red")
    return time_text.open_span(rest)


def due(lane: Lane, status: pb.SlaStatus) -> Cell:
    """When it is due, or was done."""
    clock = lane.clock
    if clock.HasField("completed_at"):
        return f"done {time_text.instant(time_text.ms(clock.completed_at), status.timezone)}"
    if lane.closed_without_verdict:
        closed_at = time_text.ms(lane.cycle.closed_at if lane.cycle else status.ended_at)
        return Text(f"closed {time_text.instant(closed_at, status.timezone)}", "dim")
    if not clock.HasField("due_at"):
        return ""
    told = time_text.instant(time_text.ms(clock.due_at), status.timezone)
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Text(told, "dim")
    if lane.is_paused:
        return f"{told} if resumed now"
    return f"{told}, {time_text.relative(time_text.ms(clock.due_at), time_text.ms(status.as_of))}"


def short_due(lane: Lane, status: pb.SlaStatus) -> Cell:
    """The deadline alone; empty for a clock that is closed."""
    if not lane.is_open:
        return ""
    told = due(lane, status)
    return told if isinstance(told, Text) else told.partition(",")[0]


def _next(lane: Lane, now: int) -> str:
    if not lane.clock.HasField("next_threshold") or lane.is_paused:
        return ""
    threshold = lane.clock.next_threshold
    return f"{meaning(threshold)} {time_text.relative(time_text.ms(threshold.scheduled_at), now)}"


def meaning(threshold: pb.SlaThreshold | ThresholdSpec) -> str:
    """`50 %`, `90 %, level 2`, `100 %, breach`."""
    return threshold_label(threshold.percent, threshold.escalation_level, breach=threshold.breach)
