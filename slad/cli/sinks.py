"""`slad sinks`: where the daemon delivers events to, how that goes, and what to do with parked events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options


@click.group()
def sinks() -> None:
    """Targets that the daemon delivers events to, and events that they refused."""


@sinks.command("list")
@daemon_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(daemon: Daemon, as_json: bool) -> None:
    """List sinks: how they stand, how far behind they are, what is parked."""
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ListSlaSinks(
            rpc.ListSlaSinksRequest(), timeout=TIMEOUT_S
        )
    if as_json:
        click.echo(json.dumps([_plain(sink) for sink in reply.sinks], indent=2))
        return
    rows: list[tuple[str, ...]] = [
        ("SINK", "TYPE", "STATE", "LAG", "DELIVERED", "FAILURES", "PARKED", "TARGET", "LAST ERROR")
    ]
    for s in reply.sinks:
        state = rpc.SlaSinkState.Name(s.state).removeprefix("SLA_SINK_STATE_").lower()
        counts = map(str, (s.lag, s.delivered, s.failures, s.parked))
        error = f"{s.last_error} ({s.last_failed_at.ToJsonString()})" if s.last_error else ""
        rows.append((s.sink, s.type, state, *counts, s.target, error))
    _show(rows)


@sinks.command("parked")
@daemon_options
@click.option("--json", "as_json", is_flag=True, help="As JSON lines.")
@click.argument("sink")
def parked_command(daemon: Daemon, as_json: bool, sink: str) -> None:
    """List the events parked for SINK, in order."""
    with daemon.channel() as channel:
        found = list(_parked(admin_pb2_grpc.SlaAdminStub(channel), sink))
    if as_json:
        for parked in found:
            click.echo(json.dumps(_plain(parked)))
        return
    rows = [("SEQUENCE", "TENANT", "TICKET", "TYPE", "PARKED", "ATTEMPTS", "REASON")]
    for parked in found:
        event = parked.event
        kind = pb.SlaEventType.Name(event.type).removeprefix("SLA_EVENT_TYPE_")
        reason = f"{parked.reason}; to be delivered again" if parked.replaying else parked.reason
        at = parked.parked_at.ToJsonString()
        row = (str(event.sequence), event.tenant_id, event.ticket_id, kind, at, str(parked.attempts), reason)
        rows.append(row)
    _show(rows)


@sinks.command("replay")
@daemon_options
@click.option("--all", "everything", is_flag=True, help="All that are parked.")
@click.argument("sink")
@click.argument("sequences", metavar="[SEQUENCE]...", nargs=-1, type=click.IntRange(min=1))
def replay_command(daemon: Daemon, everything: bool, sink: str, sequences: tuple[int, ...]) -> None:
    """Deliver parked events of SINK again: those named, with all that is parked of their tickets.

    It returns when this is noted down; `slad sinks parked` shows what comes of it.
    """
    _either(everything, sequences)
    request = rpc.ReplayParkedSlaEventsRequest(sink=sink, sequences=sequences, all=everything)
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ReplayParkedSlaEvents(request, timeout=TIMEOUT_S)
    click.echo(f"{reply.events} events are delivered again")


@sinks.command("discard")
@daemon_options
@click.option("--all", "everything", is_flag=True, help="All that are parked.")
@click.argument("sink")
@click.argument("sequences", metavar="[SEQUENCE]...", nargs=-1, type=click.IntRange(min=1))
def discard_command(daemon: Daemon, everything: bool, sink: str, sequences: tuple[int, ...]) -> None:
    """Give parked events of SINK up for good; what waits behind them is delivered."""
    _either(everything, sequences)
    request = rpc.DiscardParkedSlaEventsRequest(sink=sink, sequences=sequences, all=everything)
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).DiscardParkedSlaEvents(request, timeout=TIMEOUT_S)
    click.echo(f"{reply.events} events are given up")


def _either(everything: bool, sequences: Sequence[int]) -> None:
    if everything == bool(sequences):
        raise click.UsageError("Say which: sequences, or --all.")


def _parked(stub: Any, sink: str) -> Iterator[rpc.ParkedSlaEvent]:
    after, more = 0, True
    while more:
        request = rpc.ListParkedSlaEventsRequest(sink=sink, after_sequence=after)
        reply = stub.ListParkedSlaEvents(request, timeout=TIMEOUT_S)
        yield from reply.events
        more = reply.more
        if reply.events:
            after = reply.events[-1].event.sequence


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _show(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
