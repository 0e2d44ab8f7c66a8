"""The argument `[TENANT] TICKET`, and its completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import click
import grpc
from click.shell_completion import CompletionItem
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.daemon_connection import COMPLETION_TIMEOUT_S, completing_daemon

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_COMPLETIONS: Final = 200


class TypedTicket(NamedTuple):
    """The ticket that was typed. The daemon looks for an empty tenant (M7)."""

    tenant_id: str
    ticket_id: str


def ticket_argument(command: Command) -> Command:
    """Adds the argument `[TENANT] TICKET`; the command gets `ticket: Ticket`."""

    def one_or_two(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> TypedTicket:
        if len(value) > 2:
            raise click.BadArgumentUsage(f"one ticket at a time: [TENANT] TICKET, not {' '.join(value)}", ctx)
        return TypedTicket(value[0] if len(value) == 2 else "", value[-1])

    return click.argument(
        "ticket",
        nargs=-1,
        required=True,
        callback=one_or_two,
        metavar="[TENANT] TICKET",
        shell_complete=_complete,
    )(command)


generation_option: Final = click.option(
    "--generation", type=click.IntRange(min=1), help="Show this generation, not the latest one."
)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Live tickets, and tenants, whose ids begin with this. None when the daemon does not answer."""
    request = rpc.ListSlaTrackingsRequest(states=[pb.SLA_TRACKING_STATE_ACTIVE], page_size=1_000)
    try:
        with completing_daemon(ctx).open_channel() as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            reply = stub.ListSlaTrackings(request, timeout=COMPLETION_TIMEOUT_S)
    except grpc.RpcError:
        return []
    names: dict[str, str] = {}
    for status in reply.trackings:
        names.setdefault(status.ticket_id, f"of {status.tenant_id}")
        names.setdefault(status.tenant_id, "a tenant")
    fitting = [
        CompletionItem(name, help=about) for name, about in names.items() if name.startswith(incomplete)
    ]
    return fitting[:MAX_COMPLETIONS]
