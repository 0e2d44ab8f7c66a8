"""`slad start`, `pause`, `resume`, `complete`, `cancel`, `retarget`, `reopen`: what the PSA does, by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click
from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.connection import Daemon, daemon_options
from slad.cli.failures import WrongInput
from slad.cli.output import json_option, print_json, safe, show
from slad.cli.terms import Terms, terms_options
from slad.cli.ticket import Ticket, status_parts, ticket_argument
from slad.cli.values import Moment, Typed, spoken

Command = TypeVar("Command", bound=Callable[..., Any])

_ON_EXISTING: Final = {
    spoken(value.name, "ON_EXISTING_"): value.number
    for value in pb.OnExisting.DESCRIPTOR.values
    if value.number
}

at_option: Final = click.option(
    "--at",
    type=Moment(),
    metavar="INSTANT",
    help="When it happened, if not now: 2026-03-02T09:00, 09:00, -2h.",
)
request_id_option: Final = click.option(
    "--request-id", default=None, metavar="ID", help="Carried out once, however often it is sent."
)


@click.command()
@ticket_argument
@terms_options
@click.option("--start", "started_at", type=Moment(), metavar="INSTANT", help="When the clocks began; now.")
@click.option(
    "--on-existing",
    type=click.Choice(list(_ON_EXISTING)),
    default="keep",
    show_default=True,
    help="What to do when the ticket is there already.",
)
@click.option("--suppress-past", is_flag=True, help="Thresholds already past are recorded without an event.")
@click.option(
    "--attribute", "attributes", multiple=True, metavar="KEY=VALUE", help="Told with events; may repeat."
)
@request_id_option
@json_option
@daemon_options
def start(
    daemon: Daemon,
    ticket: Ticket,
    terms: Terms,
    started_at: Typed | None,
    on_existing: str,
    suppress_past: bool,
    attributes: tuple[str, ...],
    request_id: str | None,
    as_json: bool,
) -> None:
    """Start the clocks of a ticket.

    TENANT is needed, unless --file says it. A start for a live ticket changes nothing.
    """
    request = terms.fill(rpc.StartSlaTrackingRequest())
    if not (ticket.tenant_id or request.tenant_id):
        raise WrongInput("a new ticket belongs to a tenant: slad start TENANT TICKET")
    begun = started_at.aware(request.schedule.timezone) if started_at else None
    with daemon.client() as client:
        reply = client.start_sla_tracking(
            tenant_id=ticket.tenant_id or request.tenant_id,
            ticket_id=ticket.ticket_id,
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
            request_id=request_id or request.request_id or None,
        )
    _tell(reply, as_json, "started" if reply.created else "was started before; nothing changed")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise WrongInput(f"--attribute: {text!r} is not KEY=VALUE")
    return key, value


@click.command()
@ticket_argument
@click.option(
    "--reason",
    type=click.Choice(["awaiting-client", "status-pause"]),
    default="awaiting-client",
    show_default=True,
)
@at_option
@request_id_option
@json_option
@daemon_options
def pause(
    daemon: Daemon, ticket: Ticket, reason: str, at: Typed | None, request_id: str | None, as_json: bool
) -> None:
    """Stop the clocks of a ticket until it is resumed."""
    name = f"SLA_PAUSE_REASON_{reason.upper().replace('-', '_')}"
    with daemon.client() as client:
        reply = client.pause_sla(
            **ticket._asdict(),
            reason=pb.SlaPauseReason.Value(name),
            effective_at=_aware(at),
            request_id=request_id,
        )
    _tell(reply, as_json, "paused" if reply.changed else "was paused already; nothing changed")


@click.command()
@ticket_argument
@at_option
@request_id_option
@json_option
@daemon_options
def resume(daemon: Daemon, ticket: Ticket, at: Typed | None, request_id: str | None, as_json: bool) -> None:
    """Let a paused ticket count on."""
    with daemon.client() as client:
        reply = client.resume_sla(**ticket._asdict(), effective_at=_aware(at), request_id=request_id)
    _tell(reply, as_json, "resumed" if reply.changed else "was not paused; nothing changed")


@click.command()
@ticket_argument
@click.option(
    "--phase",
    type=click.Choice(["response", "resolution"]),
    default="resolution",
    show_default=True,
    help="resolution: both clocks, and the ticket with them.",
)
@click.option("--met/--missed", default=None, help="Your own verdict, kept beside slad's.")
@at_option
@request_id_option
@json_option
@daemon_options
def complete(
    daemon: Daemon,
    ticket: Ticket,
    phase: str,
    met: bool | None,
    at: Typed | None,
    request_id: str | None,
    as_json: bool,
) -> None:
    """Close the response clock, or both."""
    with daemon.client() as client:
        reply = client.complete_sla(
            **ticket._asdict(),
            phase=pb.SlaPhase.Value(f"SLA_PHASE_{phase.upper()}"),
            met=met,
            effective_at=_aware(at),
            request_id=request_id,
        )
    told = f"{phase} {'met' if reply.met else 'missed'}"
    if reply.met_differs:
        told += f", reported as {'missed' if reply.met else 'met'}"
    _tell(reply, as_json, told if reply.changed else f"{told}; was complete already, nothing changed")


@click.command()
@ticket_argument
@at_option
@request_id_option
@json_option
@daemon_options
def cancel(daemon: Daemon, ticket: Ticket, at: Typed | None, request_id: str | None, as_json: bool) -> None:
    """End a ticket without a verdict."""
    with daemon.client() as client:
        reply = client.cancel_sla(**ticket._asdict(), effective_at=_aware(at), request_id=request_id)
    _tell(reply, as_json, "cancelled" if reply.changed else "was cancelled already; nothing changed")


@click.command()
@ticket_argument
@terms_options
@click.option("--suppress-past", is_flag=True, help="Thresholds already past are recorded without an event.")
@request_id_option
@json_option
@daemon_options
def retarget(
    daemon: Daemon,
    ticket: Ticket,
    terms: Terms,
    suppress_past: bool,
    request_id: str | None,
    as_json: bool,
) -> None:
    """Put a live ticket under other terms.

    Nothing of the old terms is kept, so say all of the new ones. Start, pauses and completions stay.
    """
    request = terms.fill(rpc.RetargetSlaRequest())
    with daemon.client() as client:
        reply = client.retarget_sla(
            **ticket._asdict(),
            targets=request.targets,
            schedule=request.schedule if request.HasField("schedule") else None,
            policy_id=request.policy_id,
            priority_id=request.priority_id,
            notification_thresholds=request.notification_thresholds,
            suppress_past=suppress_past or request.suppress_past,
            request_id=request_id or request.request_id or None,
        )
    _tell(reply, as_json, "retargeted" if reply.changed else "had these terms already; nothing changed")


@click.command()
@ticket_argument
@click.option(
    "--mode",
    type=click.Choice(["resume", "restart"]),
    required=True,
    help="resume: go on where it stood, the closed time does not count; restart: from zero.",
)
@at_option
@request_id_option
@json_option
@daemon_options
def reopen(
    daemon: Daemon, ticket: Ticket, mode: str, at: Typed | None, request_id: str | None, as_json: bool
) -> None:
    """Let an ended ticket run again."""
    with daemon.client() as client:
        reply = client.reopen_sla(
            **ticket._asdict(),
            mode=pb.ReopenMode.Value(f"REOPEN_MODE_{mode.upper()}"),
            effective_at=_aware(at),
            request_id=request_id,
        )
    _tell(reply, as_json, "reopened" if reply.changed else "was live already; nothing changed")


def _aware(at: Typed | None) -> datetime | None:
    return at.aware() if at else None


def _tell(reply: Message, as_json: bool, outcome: str) -> None:
    if as_json:
        print_json(reply)
        return
    status: pb.SlaStatus = reply.status  # type: ignore[attr-defined]
    click.echo(f"{safe(status.ticket_id)}: {outcome}")
    show(*status_parts(status))
