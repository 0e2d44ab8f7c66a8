"""`slad handover` and `slad temporal`: which engine carries a ticket, and how slad and Temporal get on."""

from __future__ import annotations

from typing import Final

import click
from slad_client.v1 import pass_through_pb2 as rpc
from slad_client.v1 import pass_through_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import times
from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.output import json_option, print_json, show, table

PAGE_TIMEOUT_S: Final = 300.0
"""One page: to leave Temporal, each of its tickets is asked what it has announced."""

ENGINES: Final = {"local": pb.SLA_ENGINE_LOCAL, "temporal": pb.SLA_ENGINE_TEMPORAL}


@click.command()
@daemon_options
@click.option(
    "--to", required=True, type=click.Choice(list(ENGINES)), help="The engine that is to have them."
)
@click.option("--tenant", default="", metavar="TENANT", help="Only this tenant's tickets.")
def handover(daemon: Daemon, to: str, tenant: str) -> None:
    """Move live tickets to another engine, with their pauses and fired thresholds.

    No threshold is missed or announced twice on the way. When it is interrupted, begin it again: tickets that
    have been moved are passed over. Tickets that start later go where `engine` of the configuration says.
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
    click.echo(f"moved {moved} tickets to {to}")
    for item in refused:
        click.echo(f"left where it is: {item.tenant_id} {item.ticket_id} ({item.reason})", err=True)


@click.group()
def temporal() -> None:
    """The pass-through to Temporal."""


@temporal.command("status")
@daemon_options
@json_option
def status_command(daemon: Daemon, as_json: bool) -> None:
    """Whether Temporal can be reached, what it has yet to be told, what is late or parked."""
    with daemon.channel() as channel:
        stub = pass_through_pb2_grpc.SlaPassThroughStub(channel)
        reply = stub.GetSlaPassThrough(rpc.GetSlaPassThroughRequest(), timeout=TIMEOUT_S)
    if as_json:
        print_json(reply)
    elif not reply.enabled:
        click.echo("slad runs without Temporal")
    else:
        _show(reply)


def _show(reply: rpc.GetSlaPassThroughResponse) -> None:
    waiting = str(reply.waiting)
    if reply.HasField("oldest_waiting_at"):
        waiting += f", the oldest since {times.instant(times.ms(reply.oldest_waiting_at))}"
    rows = [
        ("engine", reply.engine),
        ("temporal", f"{reply.address}, namespace {reply.namespace}, task queue {reply.task_queue}"),
        ("link", "can be used" if reply.reachable else f"{reply.reason}: {reply.message}"),
        ("messages waiting", waiting),
        ("tickets carried", str(reply.carried)),
        ("tickets late", str(reply.late)),
        ("workflows parked", str(reply.parked)),
    ]
    show(table(("WHAT", "HOW IT STANDS"), rows))
    if reply.parked_workflows:
        parked = [
            (row.workflow_id, times.instant(times.ms(row.parked_at)), row.reason)
            for row in reply.parked_workflows
        ]
        show("", table(("PARKED WORKFLOW", "SINCE", "REASON"), parked))


@temporal.command("release")
@daemon_options
@click.argument("workflow", required=False, default="")
def release_command(daemon: Daemon, workflow: str) -> None:
    """Go on with the parked WORKFLOW, or with all: start them again with what slad knows of their tickets."""
    with daemon.channel() as channel:
        stub = pass_through_pb2_grpc.SlaPassThroughStub(channel)
        request = rpc.ReleaseSlaWorkflowsRequest(workflow_id=workflow)
        released = stub.ReleaseSlaWorkflows(request, timeout=PAGE_TIMEOUT_S).released
    click.echo(f"released {released}")
