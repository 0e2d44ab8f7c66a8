"""`slad health`: whether the daemon serves."""

from __future__ import annotations

from typing import Any, Final

import click
import grpc
from click.exceptions import Exit
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.exits import EXIT_NOT_THERE, CommandError
from slad.cli.help import example
from slad.cli.option_types import Span, enum_word
from slad.cli.output import Printer, output_option
from slad.core.instants import SECOND_MS

SERVICE: Final = "slad.v1.SlaBackend"


@click.command(epilog=example("slad health --wait 30s"))
@click.option("--wait", type=Span(), metavar="SPAN", help="Wait up to this long for the daemon to serve.")
@output_option("table", "json", "yaml")
@daemon_options
def health(daemon: Daemon, wait: int | None, out: Printer) -> None:
    """Say whether the daemon serves. Exit code 4 if it does not."""
    timeout_s = TIMEOUT_S if wait is None else wait / SECOND_MS
    with daemon.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # whose methods its types do not know
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            reply = stub.Check(request, timeout=timeout_s, wait_for_ready=wait is not None)
        except grpc.RpcError as error:
            if wait is None or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            raise CommandError(
                f"no daemon answered at {daemon.address} within {time_text.span(wait)}", EXIT_NOT_THERE
            ) from None
    told = enum_word(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status), "")
    out.one(reply, lambda: [told.replace("-", " ")])
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise Exit(EXIT_NOT_THERE)
