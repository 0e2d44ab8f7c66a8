"""`slad consumers`: who reads the events, how far behind they are, and removing one."""

from __future__ import annotations

from typing import Final

import click
import grpc
from rich.text import Text
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import (
    COMPLETION_TIMEOUT_S,
    TIMEOUT_S,
    Daemon,
    completing_daemon,
    daemon_options,
)
from slad.cli.help import example
from slad.cli.output import Columns, Printer, output_option

COLUMNS: Final[Columns] = [
    ("CONSUMER", lambda consumer: consumer.consumer),
    ("ACKNOWLEDGED", lambda consumer: str(consumer.acknowledged_sequence)),
    ("LAG", lambda consumer: Text(str(consumer.lag), "yellow" if consumer.lag else "")),
    ("STREAMS", lambda consumer: str(consumer.streams)),
    ("LAST ACKNOWLEDGEMENT", lambda consumer: time_text.stamp(consumer, "acknowledged_at") or "never"),
]


@click.group()
def consumers() -> None:
    """Show and remove the durable consumers of events."""


@consumers.command("list", epilog=example("slad consumers list"))
@daemon_options
@output_option()
def list_command(daemon: Daemon, out: Printer) -> None:
    """List the consumers and how far each one is behind.

    LAG is the number of events that the consumer has not acknowledged yet.
    """
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ListSlaConsumers(
            rpc.ListSlaConsumersRequest(), timeout=TIMEOUT_S
        )
    out.many(reply.consumers, COLUMNS, lambda consumer: consumer.consumer)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of consumers that begin with this; none when the daemon does not answer."""
    try:
        with completing_daemon(ctx).open_channel() as channel:
            stub = admin_pb2_grpc.SlaAdminStub(channel)
            reply = stub.ListSlaConsumers(rpc.ListSlaConsumersRequest(), timeout=COMPLETION_TIMEOUT_S)
    except grpc.RpcError:
        return []
    return [c.consumer for c in reply.consumers if c.consumer.startswith(incomplete)]


@consumers.command("remove", epilog=example("slad consumers remove psa"))
@daemon_options
@click.argument("consumer", shell_complete=_complete)
def remove_command(daemon: Daemon, consumer: str) -> None:
    """Remove CONSUMER.

    slad no longer keeps events for it. If it connects again, it begins as a new consumer.
    """
    with daemon.channel() as channel:
        admin_pb2_grpc.SlaAdminStub(channel).RemoveSlaConsumer(
            rpc.RemoveSlaConsumerRequest(consumer=consumer), timeout=TIMEOUT_S
        )
    click.echo(f"removed {consumer}")
