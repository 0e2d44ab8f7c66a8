"""`slad clock` and `slad health`: what time the daemon has, and whether it serves."""

from __future__ import annotations

import sys
from typing import Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from slad_client.v1 import test_clock_pb2 as rpc
from slad_client.v1 import test_clock_pb2_grpc

from slad.cli import times
from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.output import json_option, print_json
from slad.cli.params import EXIT_NOT_THERE
from slad.cli.values import Moment, Span, Typed
from slad.core.instants import SECOND_MS

SERVICE: Final = "slad.v1.SlaBackend"
REAL: Final = "its clock is real, and only `slad serve --virtual-clock` has one that is moved"


@click.group()
def clock() -> None:
    """The virtual clock of a daemon that runs with --virtual-clock."""


@clock.command("show")
@json_option
@daemon_options
def show_command(daemon: Daemon, as_json: bool) -> None:
    """Show where time stands."""
    with daemon.channel(unknown=REAL) as channel:
        reply = test_clock_pb2_grpc.TestClockStub(channel).GetTime(rpc.GetTimeRequest(), timeout=TIMEOUT_S)
    if as_json:
        print_json(reply)
    else:
        click.echo(times.instant(times.ms(reply.now)))


@clock.command("advance")
@click.argument("span", type=Span())
@json_option
@daemon_options
def advance_command(daemon: Daemon, span: int, as_json: bool) -> None:
    """Move time forward by SPAN, such as 90m, 8h or 2d; all that falls due on the way fires."""
    request = rpc.AdvanceTimeRequest()
    request.by.FromMilliseconds(span)
    _advance(daemon, request, as_json)


@clock.command("to")
@click.argument("instant", type=Moment())
@json_option
@daemon_options
def to_command(daemon: Daemon, instant: Typed, as_json: bool) -> None:
    """Move time forward to INSTANT, such as 2026-03-02T17:00Z."""
    request = rpc.AdvanceTimeRequest()
    request.to.FromDatetime(instant.aware())
    _advance(daemon, request, as_json)


def _advance(daemon: Daemon, request: rpc.AdvanceTimeRequest, as_json: bool) -> None:
    with daemon.channel(unknown=REAL) as channel:
        reply = test_clock_pb2_grpc.TestClockStub(channel).AdvanceTime(request)
    if as_json:
        print_json(reply)
        return
    count = reply.events_committed
    click.echo(f"{times.instant(times.ms(reply.now))}, {count} event{'' if count == 1 else 's'}")


@click.command()
@click.option("--wait", type=Span(), metavar="SPAN", help="Wait so long for it to serve.")
@json_option
@daemon_options
def health(daemon: Daemon, wait: int | None, as_json: bool) -> None:
    """Say whether the daemon carries out commands. Exit code 4 when it does not."""
    timeout_s = TIMEOUT_S if wait is None else wait / SECOND_MS
    with daemon.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # whose methods its types do not know
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            reply = stub.Check(request, timeout=timeout_s, wait_for_ready=wait is not None)
        except grpc.RpcError as error:
            if wait is None or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            click.echo(f"slad: no daemon answers at {daemon.address} after {times.span(wait)}", err=True)
            sys.exit(EXIT_NOT_THERE)
    serving = reply.status == health_pb2.HealthCheckResponse.SERVING
    word = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status).lower().replace("_", " ")
    if as_json:
        print_json(reply)
    else:
        click.echo(word)
    if not serving:
        sys.exit(EXIT_NOT_THERE)
