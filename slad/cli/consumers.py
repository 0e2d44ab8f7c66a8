"""`slad consumers`: who reads the events, how far behind they are, and forgetting one."""

from __future__ import annotations

import click
import grpc
from rich.text import Text
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc

from slad.cli import times
from slad.cli.connection import COMPLETION_TIMEOUT_S, TIMEOUT_S, Daemon, completing_daemon, daemon_options
from slad.cli.output import Cell, as_dict, json_option, print_json, show, table


@click.group()
def consumers() -> None:
    """Durable consumers of events."""


@consumers.command("list")
@daemon_options
@json_option
def list_command(daemon: Daemon, as_json: bool) -> None:
    """List consumers and their lag."""
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ListSlaConsumers(
            rpc.ListSlaConsumersRequest(), timeout=TIMEOUT_S
        )
    if as_json:
        print_json([as_dict(consumer) for consumer in reply.consumers])
        return
    header = ("CONSUMER", "ACKNOWLEDGED", "LAG", "STREAMS", "LAST ACKNOWLEDGEMENT")
    show(table(header, map(_row, reply.consumers)))


def _row(consumer: rpc.SlaConsumer) -> list[Cell]:
    last = "never"
    if consumer.HasField("acknowledged_at"):
        last = times.instant(times.ms(consumer.acknowledged_at))
    lag = Text(str(consumer.lag), "yellow" if consumer.lag else "")
    return [consumer.consumer, str(consumer.acknowledged_sequence), lag, str(consumer.streams), last]


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of consumers that begin so; none when the daemon is not there."""
    try:
        with completing_daemon(ctx).open_channel() as channel:
            stub = admin_pb2_grpc.SlaAdminStub(channel)
            reply = stub.ListSlaConsumers(rpc.ListSlaConsumersRequest(), timeout=COMPLETION_TIMEOUT_S)
    except grpc.RpcError:
        return []
    return [c.consumer for c in reply.consumers if c.consumer.startswith(incomplete)]


@consumers.command("remove")
@daemon_options
@click.argument("consumer", shell_complete=_complete)
def remove_command(daemon: Daemon, consumer: str) -> None:
    """Forget CONSUMER, and with it its claim on the events it has not acknowledged."""
    with daemon.channel() as channel:
        admin_pb2_grpc.SlaAdminStub(channel).RemoveSlaConsumer(
            rpc.RemoveSlaConsumerRequest(consumer=consumer), timeout=TIMEOUT_S
        )
    click.echo(f"removed {consumer}")
