"""The argument `[TENANT] TICKET`, and how a ticket is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import click
import grpc
from click.shell_completion import CompletionItem
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import times
from slad.cli.connection import COMPLETION_TIMEOUT_S, completing_daemon
from slad.cli.output import Cell, fancy, safe, table, wide
from slad.cli.values import spoken
from slad.core.instants import MINUTE_MS

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_COMPLETIONS: Final = 200

BAR_CELLS: Final = 20

_STYLES: Final = {
    pb.SLA_TIMER_STATUS_ON_TRACK: "green",
    pb.SLA_TIMER_STATUS_AT_RISK: "yellow",
    pb.SLA_TIMER_STATUS_RESPONSE_BREACHED: "bold red",
    pb.SLA_TIMER_STATUS_RESOLUTION_BREACHED: "bold red",
    pb.SLA_TIMER_STATUS_PAUSED: "cyan",
}


class Ticket(NamedTuple):
    """Which ticket; an empty tenant is looked for by the daemon (M7)."""

    tenant_id: str
    ticket_id: str


def ticket_argument(command: Command) -> Command:
    """Adds the argument `[TENANT] TICKET`; the command gets `ticket: Ticket`."""

    def one_or_two(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Ticket:
        if len(value) > 2:
            raise click.BadArgumentUsage(f"one ticket at a time: [TENANT] TICKET, not {' '.join(value)}", ctx)
        return Ticket(value[0] if len(value) == 2 else "", value[-1])

    return click.argument(
        "ticket",
        nargs=-1,
        required=True,
        callback=one_or_two,
        metavar="[TENANT] TICKET",
        shell_complete=_complete,
    )(command)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Live tickets, and tenants, that begin so. Says nothing when the daemon is not there."""
    request = rpc.ListSlaTrackingsRequest(states=[pb.SLA_TRACKING_STATE_ACTIVE], page_size=1_000)
    try:
        with completing_daemon(ctx).open_channel() as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            reply = stub.ListSlaTrackings(request, timeout=COMPLETION_TIMEOUT_S)
    except grpc.RpcError:
        return []
    names: dict[str, str] = {}
    for status in reply.trackings:
        names.setdefault(status.ticket_id, f"of {status.tenant_id}")
        names.setdefault(status.tenant_id, "a tenant")
    fitting = [
        CompletionItem(name, help=about) for name, about in names.items() if name.startswith(incomplete)
    ]
    return fitting[:MAX_COMPLETIONS]


def word(status: pb.SlaStatus) -> Text:
    """How a ticket stands, in one word; of an ended one how it ended."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Text(spoken(pb.SlaTrackingState.Name(status.state), "SLA_TRACKING_STATE_"), "dim")
    told = spoken(pb.SlaTimerStatus.Name(status.status), "SLA_TIMER_STATUS_")
    return Text(told, _STYLES.get(status.status, ""))


def clocks(status: pb.SlaStatus) -> Iterator[tuple[str, pb.SlaClock]]:
    """The clocks that a ticket has, by name."""
    for name in ("response", "resolution"):
        if status.HasField(name):
            yield name, getattr(status, name)


def status_parts(status: pb.SlaStatus) -> Iterator[Any]:
    """A ticket on the screen: a headline, the clocks, what comes next."""
    now = times.ms(status.as_of)
    headline = Text.assemble(
        (safe(status.tenant_id), "dim"), " ", (safe(status.ticket_id), "bold"), "  ", word(status)
    )
    if status.is_paused:
        reason = spoken(pb.SlaPauseReason.Name(status.pause_reason), "SLA_PAUSE_REASON_")
        headline.append(f" ({reason})")
    headline.append(f"  as of {times.instant(now, status.timezone)}", "dim")
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
        (times.ms(clock.next_threshold.scheduled_at), name, clock.next_threshold)
        for name, clock in clocks(status)
        if clock.HasField("next_threshold")
    ]
    if not coming:
        return ""
    at, name, threshold = min(coming, key=lambda item: item[0])
    return f"{name} {meaning(threshold)} {times.relative(at, times.ms(status.as_of))}"


def _facts(status: pb.SlaStatus) -> Iterator[str]:
    now = times.ms(status.as_of)
    yield f"started {times.instant(times.ms(status.started_at), status.timezone)}"
    if status.HasField("ended_at"):
        yield f"ended {times.instant(times.ms(status.ended_at), status.timezone)}"
    else:
        yield times.relative(times.ms(status.started_at), now)
    yield f"by business hours in {status.timezone}" if status.timezone else "every hour counts"
    if status.policy_id:
        yield f"policy {safe(status.policy_id)}"
    if status.priority_id:
        yield f"priority {safe(status.priority_id)}"
    if status.total_pause_minutes:
        yield f"paused {times.span(status.total_pause_minutes * MINUTE_MS)} in all"
    if status.generation > 1:
        yield f"generation {status.generation}"
    if status.engine == pb.SLA_ENGINE_TEMPORAL:
        yield "by Temporal"
    if status.pause_accounting == pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK:
        yield "pauses by the wall clock"
    for key, value in sorted(status.attributes.items()):
        yield f"{safe(key)}={safe(value)}"


def _clock_cells(clock: pb.SlaClock, status: pb.SlaStatus) -> list[Cell]:
    target, elapsed, now = times.ms(clock.target), times.ms(clock.elapsed), times.ms(status.as_of)
    cells: list[Cell] = [times.open_span(target), f"{times.open_span(elapsed)}, {elapsed * 100 // target} %"]
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
    rest = times.ms(clock.target) - times.ms(clock.elapsed)
    if clock.HasField("breached_at"):
        return Text(f"over by {times.open_span(-rest)}", "bold red")
    return times.open_span(rest)


def due(clock: pb.SlaClock, status: pb.SlaStatus) -> Cell:
    """When it is due, or was done."""
    if clock.HasField("completed_at"):
        return f"done {times.instant(times.ms(clock.completed_at), status.timezone)}"
    if not clock.HasField("due_at"):
        return ""
    told = times.instant(times.ms(clock.due_at), status.timezone)
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Text(told, "dim")
    if status.is_paused:
        return f"{told} if resumed now"
    return f"{told}, {times.relative(times.ms(clock.due_at), times.ms(status.as_of))}"


def _next(clock: pb.SlaClock, status: pb.SlaStatus, now: int) -> str:
    if not clock.HasField("next_threshold") or status.is_paused:
        return ""
    threshold = clock.next_threshold
    return f"{meaning(threshold)} {times.relative(times.ms(threshold.scheduled_at), now)}"


def meaning(threshold: pb.SlaThreshold) -> str:
    """`50 %`, `90 %, level 2`, `100 %, breach`."""
    parts = [f"{threshold.percent} %"]
    if threshold.escalation_level:
        parts.append(f"level {threshold.escalation_level}")
    if threshold.breach:
        parts.append("breach")
    return ", ".join(parts)
