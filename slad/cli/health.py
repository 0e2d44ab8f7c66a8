"""`slad health`: whether the daemon serves."""

from __future__ import annotations

import time
from typing import Any, Final

import click
import grpc
from click.exceptions import Exit
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.exits import EXIT_NOT_THERE, CommandError
from slad.cli.help import example
from slad.cli.option_types import SPAN, enum_word
from slad.cli.output import Printer, output_option
from slad.core.instants import SECOND_MS

REQUEST: Final = health_pb2.HealthCheckRequest(service="slad.v1.SlaBackend")

ASK_AGAIN_S: Final = 0.1
"""After so long `--wait` asks again whether it serves."""


@click.command(epilog=example("slad health --wait 30s"))
@click.option("--wait", type=SPAN, metavar="SPAN", help="Wait up to this long for the daemon to serve.")
@output_option("table", "json", "yaml")
@daemon_options
def health(daemon: Daemon, wait: int | None, out: Printer) -> None:
    """Say whether the daemon serves. Exit code 4 if it does not."""
    with daemon.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # whose methods its types do not know
        if wait is None:
            reply = stub.Check(REQUEST, timeout=TIMEOUT_S)
        elif (reply := _awaited(stub, wait / SECOND_MS)) is None:
            text = f"no daemon answered at {daemon.address} within {time_text.span(wait)}"
            raise CommandError(text, EXIT_NOT_THERE)
    told = enum_word(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status), "")
    out.one(reply, lambda: [told.replace("-", " ")])
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise Exit(EXIT_NOT_THERE)


def _awaited(stub: Any, wait_s: float) -> Any:
    """The first answer that says SERVING, else the last one; None when there was none."""
    until = time.monotonic() + wait_s
    reply = None
    while (left := until - time.monotonic()) > 0:
        try:
            reply = stub.Check(REQUEST, timeout=left, wait_for_ready=True)
        except grpc.RpcError as error:
            # UNAVAILABLE: one that was stopping has gone.
            if error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                raise
        else:
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return reply
        time.sleep(min(ASK_AGAIN_S, left))
    return reply
