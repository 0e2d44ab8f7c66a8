"""`slad handover` and `slad temporal`: moving tickets between engines, and the connection to Temporal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click
from slad_client.v1 import pass_through_pb2 as rpc
from slad_client.v1 import pass_through_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.help import example
from slad.cli.output import Printer, counted, note, output_option, table

PAGE_TIMEOUT_S: Final = 300.0
"""For one page. On the way back from Temporal the workflow of each ticket is asked what it has announced."""

ENGINES: Final = {"local": pb.SLA_ENGINE_LOCAL, "temporal": pb.SLA_ENGINE_TEMPORAL}


@click.command(epilog=example("slad handover --to temporal --tenant acme"))
@daemon_options
@click.option(
    "--to", required=True, type=click.Choice(list(ENGINES)), help="The engine that takes over the tickets."
)
@click.option("--tenant", default="", metavar="TENANT", help="Only the tickets of this tenant.")
def handover(daemon: Daemon, to: str, tenant: str) -> None:
    """Move live tickets to another engine, with their pauses and fired thresholds.

    No threshold is missed or announced twice. If the command is interrupted, run it again: it passes over the
    tickets that have moved already. The setting `engine` decides where later tickets start.
    """
    moved, token = 0, ""
    refused: list[rpc.SlaHandoverRefusal] = []
    with daemon.channel() as channel:
        stub = pass_through_pb2_grpc.SlaPassThroughStub(channel)
        while True:
            request = rpc.HandOverSlaTrackingsRequest(to=ENGINES[to], tenant_id=tenant, page_token=token)
            reply = stub.HandOverSlaTrackings(request, timeout=PAGE_TIMEOUT_S)
            moved += reply.moved
            refused.extend(reply.refused)
            token = reply.next_page_token
            if not token:
                break
    click.echo(f"moved {counted(moved, 'ticket')} to {to}")
    for item in refused:
        note(f"not moved: {item.tenant_id} {item.ticket_id} ({item.reason})")


@click.group()
def temporal() -> None:
    """Show the connection to Temporal and its backlog; release parked workflows."""


@temporal.command("status", epilog=example("slad temporal status"))
@daemon_options
@output_option("table", "wide", "json", "yaml")
def status_command(daemon: Daemon, out: Printer) -> None:
    """Show the connection to Temporal, the messages that wait, and the late and parked tickets."""
    with daemon.channel() as channel:
        stub = pass_through_pb2_grpc.SlaPassThroughStub(channel)
        reply = stub.GetSlaPassThrough(rpc.GetSlaPassThroughRequest(), timeout=TIMEOUT_S)
    out.one(reply, lambda: _parts(reply))


def _parts(reply: rpc.GetSlaPassThroughResponse) -> Iterator[Any]:
    if not reply.enabled:
        yield "slad runs without Temporal"
        return
    waiting = str(reply.waiting)
    if reply.HasField("oldest_waiting_at"):
        waiting += f", the oldest since {time_text.instant(time_text.ms(reply.oldest_waiting_at))}"
    rows = [
        ("engine", reply.engine),
        ("temporal", f"{reply.address}, namespace {reply.namespace}, task queue {reply.task_queue}"),
        ("link", "usable" if reply.reachable else f"{reply.reason}: {reply.message}"),
        ("messages waiting", waiting),
        ("tickets carried", str(reply.carried)),
        ("tickets late", str(reply.late)),
        ("workflows parked", str(reply.parked)),
    ]
    yield table(("WHAT", "STATE"), rows)
    if reply.parked_workflows:
        parked = [
            (row.workflow_id, time_text.instant(time_text.ms(row.parked_at)), row.reason)
            for row in reply.parked_workflows
        ]
        yield ""
        yield table(("PARKED WORKFLOW", "SINCE", "REASON"), parked)


@temporal.command("release", epilog=example("slad temporal release", "slad temporal release slad-acme-T-1"))
@daemon_options
@click.argument("workflow", required=False, default="")
def release_command(daemon: Daemon, workflow: str) -> None:
    """Start the parked WORKFLOW again, or all parked workflows, with the current state of their tickets."""
    with daemon.channel() as channel:
        stub = pass_through_pb2_grpc.SlaPassThroughStub(channel)
        request = rpc.ReleaseSlaWorkflowsRequest(workflow_id=workflow)
        released = stub.ReleaseSlaWorkflows(request, timeout=PAGE_TIMEOUT_S).released
    click.echo(f"released {counted(released, 'workflow')}")
