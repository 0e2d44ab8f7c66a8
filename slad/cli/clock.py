"""`slad clock`: the virtual clock of a daemon."""

from __future__ import annotations

from typing import Final

import click
from slad_client.v1 import test_clock_pb2 as rpc
from slad_client.v1 import test_clock_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.help import example
from slad.cli.option_types import INSTANT, SPAN, TypedInstant
from slad.cli.output import Printer, counted, output_option

REAL: Final = "its clock is real; only `slad serve --virtual-clock` has a clock that can be moved"

reply_option: Final = output_option("table", "json", "yaml")


@click.group()
def clock() -> None:
    """Show and move the virtual clock of a daemon that runs with --virtual-clock."""


@clock.command("show", epilog=example("slad clock show"))
@reply_option
@daemon_options
def show_command(daemon: Daemon, out: Printer) -> None:
    """Show the time of the virtual clock."""
    with daemon.channel(unknown=REAL) as channel:
        reply = test_clock_pb2_grpc.TestClockStub(channel).GetTime(rpc.GetTimeRequest(), timeout=TIMEOUT_S)
    out.one(reply, lambda: [time_text.stamp(reply, "now")])


@clock.command("advance", epilog=example("slad clock advance 90m"))
@click.argument("span", type=SPAN)
@reply_option
@daemon_options
def advance_command(daemon: Daemon, span: int, out: Printer) -> None:
    """Move time forward by SPAN, such as 90m, 8h or 2d. Everything that is due on the way fires."""
    request = rpc.AdvanceTimeRequest()
    request.by.FromMilliseconds(span)
    _advance(daemon, request, out)


@clock.command("to", epilog=example("slad clock to 2026-03-02T17:00Z"))
@click.argument("instant", type=INSTANT)
@reply_option
@daemon_options
def to_command(daemon: Daemon, instant: TypedInstant, out: Printer) -> None:
    """Move time forward to INSTANT. Everything that is due on the way fires."""
    request = rpc.AdvanceTimeRequest()
    request.to.FromDatetime(instant.aware())
    _advance(daemon, request, out)


def _advance(daemon: Daemon, request: rpc.AdvanceTimeRequest, out: Printer) -> None:
    with daemon.channel(unknown=REAL) as channel:
        reply = test_clock_pb2_grpc.TestClockStub(channel).AdvanceTime(request)
    events = counted(reply.events_committed, "event")
    out.one(reply, lambda: [f"{time_text.stamp(reply, 'now')}, {events}"])
