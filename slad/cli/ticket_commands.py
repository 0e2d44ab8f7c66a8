"""`slad start`, `pause`, `resume`, `complete`, `cancel`, `retarget`, `reopen`: what the PSA does, by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

import click
from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import CommandError, printable
from slad.cli.help import example
from slad.cli.option_types import Moment, TypedInstant, enum_word
from slad.cli.output import Printer, output_option
from slad.cli.terms_options import TypedTerms, terms_options
from slad.cli.ticket_argument import TypedTicket, ticket_argument
from slad.cli.ticket_view import status_parts, ticket_id

Command = TypeVar("Command", bound=Callable[..., Any])

_ON_EXISTING: Final = {
    enum_word(value.name, "ON_EXISTING_"): value.number
    for value in pb.OnExisting.DESCRIPTOR.values
    if value.number
}


class Call(NamedTuple):
    """What every command to a ticket needs."""

    daemon: Daemon
    ticket: TypedTicket
    request_id: str | None
    out: Printer

    def show(self, reply: Message, outcome: str) -> None:
        """Prints the reply: for people the outcome and how the ticket stands now."""
        status: pb.SlaStatus = reply.status  # type: ignore[attr-defined]

        def parts() -> Iterator[Any]:
            yield f"{printable(status.ticket_id)}: {outcome}"
            yield from status_parts(status)

        self.out.one(reply, parts, ticket_id(status))


def to_ticket(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the ticket, --request-id, the output and the daemon; the command gets them as one `call: Call`."""

    @ticket_argument
    @click.option(
        "--request-id",
        metavar="ID",
        help="Names this request: if it is sent again with the same ID, it takes effect only once.",
    )
    @output_option()
    @daemon_options
    @wraps(command)
    def with_call(
        *, daemon: Daemon, ticket: TypedTicket, request_id: str | None, out: Printer, **others: Any
    ) -> None:
        command(call=Call(daemon, ticket, request_id, out), **others)

    return with_call


def _read_now(ctx: click.Context, param: click.Parameter, value: TypedInstant | None) -> datetime | None:
    return value.aware() if value else None


at_option: Final = click.option(
    "--at",
    type=Moment(),
    callback=_read_now,
    metavar="INSTANT",
    help="When it happened, by default now: 2026-03-02T09:00, 09:00, -2h.",
)
suppress_past_option: Final = click.option(
    "--suppress-past",
    is_flag=True,
    help="Record thresholds that are already past, but send no events for them.",
)


@click.command(
    epilog=example(
        'slad start acme T-1 --response 1h --resolution 8h --hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin'
    )
)
@terms_options
@click.option(
    "--start", "started_at", type=Moment(), metavar="INSTANT", help="When the clocks start, by default now."
)
@click.option(
    "--on-existing",
    type=click.Choice(list(_ON_EXISTING)),
    default="keep",
    show_default=True,
    help="What to do if the ticket is tracked already.",
)
@suppress_past_option
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A value of your own that every event of the ticket carries; may repeat.",
)
@to_ticket
def start(
    call: Call,
    terms: TypedTerms,
    started_at: TypedInstant | None,
    on_existing: str,
    suppress_past: bool,
    attributes: tuple[str, ...],
) -> None:
    """Start the clocks of a ticket.

    TENANT is required, unless --file names it. If the ticket is live already, nothing changes.
    """
    request = terms.fill(rpc.StartSlaTrackingRequest())
    tenant_id = call.ticket.tenant_id or request.tenant_id
    if not tenant_id:
        raise CommandError("a new ticket needs a tenant: slad start TENANT TICKET")
    begun = started_at.aware(request.schedule.timezone) if started_at else None
    with call.daemon.client() as client:
        reply = client.start_sla_tracking(
            tenant_id=tenant_id,
            ticket_id=call.ticket.ticket_id,
            targets=request.targets,
            schedule=request.schedule if request.HasField("schedule") else None,
            policy_id=request.policy_id,
            priority_id=request.priority_id,
            notification_thresholds=request.notification_thresholds,
            started_at=begun or (request.started_at if request.HasField("started_at") else None),
            on_existing=pb.OnExisting.ValueType(_ON_EXISTING[on_existing]),
            suppress_past=suppress_past or request.suppress_past,
            pause_accounting=request.pause_accounting,
            attributes={**request.attributes, **dict(map(_pair, attributes))},
            request_id=call.request_id or request.request_id or None,
        )
    call.show(reply, "started" if reply.created else "already started; nothing changed")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--attribute: {text!r} is not KEY=VALUE")
    return key, value


@click.command(epilog=example("slad pause acme T-1 --at -10m"))
@click.option(
    "--reason",
    type=click.Choice(["awaiting-client", "status-pause"]),
    default="awaiting-client",
    show_default=True,
    help="Why the ticket waits.",
)
@at_option
@to_ticket
def pause(call: Call, reason: str, at: datetime | None) -> None:
    """Pause the clocks of a ticket until it is resumed."""
    name = f"SLA_PAUSE_REASON_{reason.upper().replace('-', '_')}"
    with call.daemon.client() as client:
        reply = client.pause_sla(
            **call.ticket._asdict(),
            reason=pb.SlaPauseReason.Value(name),
            effective_at=at,
            request_id=call.request_id,
        )
    call.show(reply, "paused" if reply.changed else "already paused; nothing changed")


@click.command(epilog=example("slad resume acme T-1"))
@at_option
@to_ticket
def resume(call: Call, at: datetime | None) -> None:
    """Let the clocks of a paused ticket run again."""
    with call.daemon.client() as client:
        reply = client.resume_sla(**call.ticket._asdict(), effective_at=at, request_id=call.request_id)
    call.show(reply, "resumed" if reply.changed else "not paused; nothing changed")


@click.command(epilog=example("slad complete acme T-1 --phase response"))
@click.option(
    "--phase",
    type=click.Choice(["response", "resolution"]),
    default="resolution",
    show_default=True,
    help="resolution closes both clocks and ends the ticket.",
)
@click.option("--met/--missed", default=None, help="Your own verdict, which slad keeps beside its own.")
@at_option
@to_ticket
def complete(call: Call, phase: str, met: bool | None, at: datetime | None) -> None:
    """Close the response clock, or both clocks."""
    with call.daemon.client() as client:
        reply = client.complete_sla(
            **call.ticket._asdict(),
            phase=pb.SlaPhase.Value(f"SLA_PHASE_{phase.upper()}"),
            met=met,
            effective_at=at,
            request_id=call.request_id,
        )
    outcome = f"{phase} {'met' if reply.met else 'missed'}"
    if reply.met_differs:
        outcome += f", reported as {'missed' if reply.met else 'met'}"
    call.show(reply, outcome if reply.changed else f"{outcome}; already complete, nothing changed")


@click.command(epilog=example("slad cancel acme T-1"))
@at_option
@to_ticket
def cancel(call: Call, at: datetime | None) -> None:
    """End a ticket without a verdict."""
    with call.daemon.client() as client:
        reply = client.cancel_sla(**call.ticket._asdict(), effective_at=at, request_id=call.request_id)
    call.show(reply, "cancelled" if reply.changed else "already cancelled; nothing changed")


@click.command(epilog=example("slad retarget acme T-1 --response 30m --resolution 4h --24x7"))
@terms_options
@suppress_past_option
@to_ticket
def retarget(call: Call, terms: TypedTerms, suppress_past: bool) -> None:
    """Change the terms of a live ticket.

    The new terms replace all of the old ones, so give them in full. The start, pauses and completions stay.
    """
    request = terms.fill(rpc.RetargetSlaRequest())
    with call.daemon.client() as client:
        reply = client.retarget_sla(
            **call.ticket._asdict(),
            targets=request.targets,
            schedule=request.schedule if request.HasField("schedule") else None,
            policy_id=request.policy_id,
            priority_id=request.priority_id,
            notification_thresholds=request.notification_thresholds,
            suppress_past=suppress_past or request.suppress_past,
            request_id=call.request_id or request.request_id or None,
        )
    call.show(reply, "retargeted" if reply.changed else "has these terms already; nothing changed")


@click.command(epilog=example("slad reopen acme T-1 --mode resume"))
@click.option(
    "--mode",
    type=click.Choice(["resume", "restart"]),
    required=True,
    help="resume: the clocks go on where they stopped, and the time in between does not count; "
    "restart: they begin at zero.",
)
@at_option
@to_ticket
def reopen(call: Call, mode: str, at: datetime | None) -> None:
    """Reopen a completed or cancelled ticket.

    Example: slad reopen acme T-1 --mode resume
    """
    with call.daemon.client() as client:
        reply = client.reopen_sla(
            **call.ticket._asdict(),
            mode=pb.ReopenMode.Value(f"REOPEN_MODE_{mode.upper()}"),
            effective_at=at,
            request_id=call.request_id,
        )
    call.show(reply, "reopened" if reply.changed else "already live; nothing changed")
