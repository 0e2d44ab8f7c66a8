"""`slad sinks`: where the daemon delivers events to, how that goes, and what to do with parked events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.help import example
from slad.cli.option_types import enum_word
from slad.cli.output import Columns, Printer, counted, output_option

COLUMNS: Final[Columns] = [
    ("SINK", lambda sink: sink.sink),
    ("TYPE", lambda sink: sink.type),
    ("STATE", lambda sink: enum_word(rpc.SlaSinkState.Name(sink.state), "SLA_SINK_STATE_")),
    ("LAG", lambda sink: str(sink.lag)),
    ("DELIVERED", lambda sink: str(sink.delivered)),
    ("FAILURES", lambda sink: str(sink.failures)),
    ("PARKED", lambda sink: str(sink.parked)),
    ("TARGET", lambda sink: sink.target),
    (
        "LAST ERROR",
        lambda sink: (
            f"{sink.last_error} ({time_text.stamp(sink, 'last_failed_at')})" if sink.last_error else ""
        ),
    ),
]

PARKED_COLUMNS: Final[Columns] = [
    ("SEQUENCE", lambda parked: str(parked.event.sequence)),
    ("TENANT", lambda parked: parked.event.tenant_id),
    ("TICKET", lambda parked: parked.event.ticket_id),
    ("TYPE", lambda parked: enum_word(pb.SlaEventType.Name(parked.event.type), "SLA_EVENT_TYPE_")),
    ("PARKED", lambda parked: time_text.stamp(parked, "parked_at")),
    ("ATTEMPTS", lambda parked: str(parked.attempts)),
    (
        "REASON",
        lambda parked: f"{parked.reason}; will be delivered again" if parked.replaying else parked.reason,
    ),
]


@click.group()
def sinks() -> None:
    """Show the sinks (targets that the daemon delivers events to) and the events that they refused."""


@sinks.command("list", epilog=example("slad sinks list"))
@daemon_options
@output_option()
def list_command(daemon: Daemon, out: Printer) -> None:
    """List the sinks with their state, their lag and the number of parked events.

    LAG is the number of events that have not been delivered yet.
    """
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ListSlaSinks(
            rpc.ListSlaSinksRequest(), timeout=TIMEOUT_S
        )
    out.many(reply.sinks, COLUMNS, lambda sink: sink.sink)


@sinks.command("parked", epilog=example("slad sinks parked psa"))
@daemon_options
@output_option()
@click.argument("sink")
def parked_command(daemon: Daemon, out: Printer, sink: str) -> None:
    """List the events that are parked for SINK, in order.

    -o json prints one object a line.
    """
    with daemon.channel() as channel:
        found = list(_parked(admin_pb2_grpc.SlaAdminStub(channel), sink))
    out.many(found, PARKED_COLUMNS, lambda parked: str(parked.event.sequence), lines=True)


def _parked_events_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `SINK [SEQUENCE]...` and --all, of which exactly one says which events are meant."""

    def either(ctx: click.Context, param: click.Parameter, value: tuple[int, ...]) -> tuple[int, ...]:
        if ctx.params["everything"] == bool(value):
            raise click.UsageError("give either sequences or --all", ctx)
        return value

    sequences = click.argument(
        "sequences", metavar="[SEQUENCE]...", nargs=-1, type=click.IntRange(min=1), callback=either
    )
    everything = click.option("--all", "everything", is_flag=True, is_eager=True, help="All parked events.")
    return everything(click.argument("sink")(sequences(command)))


@sinks.command("replay", epilog=example("slad sinks replay psa 17", "slad sinks replay psa --all"))
@daemon_options
@_parked_events_options
def replay_command(daemon: Daemon, everything: bool, sink: str, sequences: tuple[int, ...]) -> None:
    """Deliver parked events of SINK again, together with all parked events of the same tickets.

    The command returns as soon as slad has stored the request. `slad sinks parked` shows the result.
    """
    request = rpc.ReplayParkedSlaEventsRequest(sink=sink, sequences=sequences, all=everything)
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ReplayParkedSlaEvents(request, timeout=TIMEOUT_S)
    click.echo(f"{counted(reply.events, 'event')} will be delivered again")


@sinks.command("discard", epilog=example("slad sinks discard psa 17"))
@daemon_options
@_parked_events_options
def discard_command(daemon: Daemon, everything: bool, sink: str, sequences: tuple[int, ...]) -> None:
    """Discard parked events of SINK for good. The events behind them are delivered."""
    request = rpc.DiscardParkedSlaEventsRequest(sink=sink, sequences=sequences, all=everything)
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).DiscardParkedSlaEvents(request, timeout=TIMEOUT_S)
    click.echo(f"discarded {counted(reply.events, 'event')}")


def _parked(stub: Any, sink: str) -> Iterator[rpc.ParkedSlaEvent]:
    after, more = 0, True
    while more:
        request = rpc.ListParkedSlaEventsRequest(sink=sink, after_sequence=after)
        reply = stub.ListParkedSlaEvents(request, timeout=TIMEOUT_S)
        yield from reply.events
        more = reply.more
        if reply.events:
            after = reply.events[-1].event.sequence
