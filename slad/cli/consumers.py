"""`slad consumers`: who reads the events, how far behind they are, and forgetting one."""

from __future__ import annotations

import json

import click
from google.protobuf.json_format import MessageToDict
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc

from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options


@click.group()
def consumers() -> None:
    """Durable consumers of events."""


@consumers.command("list")
@daemon_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(daemon: Daemon, as_json: bool) -> None:
    """List consumers and their lag."""
    with daemon.channel() as channel:
        reply = admin_pb2_grpc.SlaAdminStub(channel).ListSlaConsumers(
            rpc.ListSlaConsumersRequest(), timeout=TIMEOUT_S
        )
    if as_json:
        found = [
            MessageToDict(c, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for c in reply.consumers
        ]
        click.echo(json.dumps(found, indent=2))
        return
    rows = [("CONSUMER", "ACKNOWLEDGED", "LAG", "STREAMS", "LAST ACKNOWLEDGEMENT")]
    for c in reply.consumers:
        last = c.acknowledged_at.ToJsonString() if c.HasField("acknowledged_at") else "never"
        rows.append((c.consumer, str(c.acknowledged_sequence), str(c.lag), str(c.streams), last))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@consumers.command("remove")
@daemon_options
@click.argument("consumer")
def remove_command(daemon: Daemon, consumer: str) -> None:
    """Forget CONSUMER, and with it its claim on the events it has not acknowledged."""
    with daemon.channel() as channel:
        admin_pb2_grpc.SlaAdminStub(channel).RemoveSlaConsumer(
            rpc.RemoveSlaConsumerRequest(consumer=consumer), timeout=TIMEOUT_S
        )
    click.echo(f"removed {consumer}")
