"""`slad start`, `retarget`, `reopen`: what is promised, by hand; and what every command to a ticket takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

import click
from google.protobuf.message import Message
from slad_client.sync import SladClient
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.exits import CommandError, printable
from slad.cli.help import example
from slad.cli.option_types import INSTANT, TypedInstant, enum_words
from slad.cli.output import Printer, output_option
from slad.cli.terms_options import TermsRequest, TypedTerms, terms_options
from slad.cli.ticket_argument import TypedTicket, ticket_argument
from slad.cli.ticket_view import status_parts, ticket_id

Command = TypeVar("Command", bound=Callable[..., Any])

_ON_EXISTING: Final = enum_words(pb.OnExisting.DESCRIPTOR, "ON_EXISTING_")
_ON_RESOLUTION: Final = enum_words(pb.SlaResponseOnResolution.DESCRIPTOR, "SLA_RESPONSE_ON_RESOLUTION_")


class Call(NamedTuple):
    """What every command to a ticket needs."""

    daemon: Daemon
    ticket: TypedTicket
    request_id: str | None
    out: Printer

    @contextmanager
    def client(self) -> Iterator[SladClient]:
        """A client; a refusal names the option that is wrong."""
        with self.daemon.client(option_of) as client:
            yield client

    @contextmanager
    def stub(self, terms: TypedTerms, request: TermsRequest) -> Iterator[sla_backend_pb2_grpc.SlaBackendStub]:
        """The calls of the daemon, for a request with these terms; a refusal names the option."""

        def of_either(path: str) -> str:
            found = terms.option_of(request, path)
            return option_of(path) if found == path else found

        with self.daemon.channel(option_of=of_either) as channel:
            yield sla_backend_pb2_grpc.SlaBackendStub(channel)

    def show(self, reply: Message, outcome: str) -> None:
        """Prints the reply: for people the outcome and how the ticket stands now."""
        status: pb.SlaStatus = reply.status  # type: ignore[attr-defined]

        def parts() -> Iterator[Any]:
            yield f"{printable(status.ticket_id)}: {outcome}"
            yield from status_parts(status)

        self.out.one(reply, parts, ticket_id(status))


_OPTIONS: Final = {
    "tenant_id": "TENANT",
    "ticket_id": "TICKET",
    "request_id": "--request-id",
    "effective_at": "--at",
    "started_at": "--start",
    "attributes": "--attribute",
    "reason_code": "--reason-code",
    "owner": "--owner",
    "clock": "--clock",
    "discard": "--discard",
}


def option_of(path: str) -> str:
    """The option that fills a field of a request, given its path; the path if none does."""
    field, bracket, rest = path.partition("[")
    return f"{_OPTIONS[field]}{bracket}{rest}" if field in _OPTIONS else path


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
    type=INSTANT,
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
    "--start", "started_at", type=INSTANT, metavar="INSTANT", help="When the clocks start, by default now."
)
@click.option(
    "--on-existing",
    type=click.Choice(list(_ON_EXISTING)),
    help="What to do if the ticket is tracked already.  [default: keep]",
)
@suppress_past_option
@click.option(
    "--response-on-resolution",
    type=click.Choice(list(_ON_RESOLUTION)),
    help="If the ticket is resolved and nobody has responded: count the response as given then, or leave it "
    "without a verdict.  [default: counts]",
)
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
    on_existing: str | None,
    suppress_past: bool,
    response_on_resolution: str | None,
    attributes: tuple[str, ...],
) -> None:
    """Start the clocks of a ticket.

    TENANT is required, unless --file names it. If the ticket is live already, nothing changes.
    """
    request = terms.fill(rpc.StartSlaTrackingRequest())
    request.tenant_id = call.ticket.tenant_id or request.tenant_id
    if not request.tenant_id:
        raise CommandError("a new ticket needs a tenant: slad start TENANT TICKET")
    request.ticket_id = call.ticket.ticket_id
    if started_at:
        request.started_at.FromDatetime(started_at.aware(terms.zone_of(request)))
    if on_existing:
        request.on_existing = pb.OnExisting.ValueType(_ON_EXISTING[on_existing])
    if response_on_resolution:
        number = _ON_RESOLUTION[response_on_resolution]
        request.response_on_resolution = pb.SlaResponseOnResolution.ValueType(number)
    request.suppress_past |= suppress_past
    request.attributes.update(map(_pair, attributes))
    request.request_id = call.request_id or request.request_id
    with call.stub(terms, request) as stub:
        reply = stub.StartSlaTracking(request, timeout=TIMEOUT_S)
    call.show(reply, "started" if reply.created else "already started; nothing changed")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--attribute: {text!r} is not KEY=VALUE")
    return key, value


@click.command(epilog=example("slad retarget acme T-1 --response 30m --resolution 4h --24x7"))
@terms_options
@suppress_past_option
@to_ticket
def retarget(call: Call, terms: TypedTerms, suppress_past: bool) -> None:
    """Change the terms of a live ticket.

    The new terms replace all of the old ones, so give them in full. The start, pauses and completions stay.
    """
    request = terms.fill(rpc.RetargetSlaRequest())
    request.tenant_id, request.ticket_id = call.ticket.tenant_id or request.tenant_id, call.ticket.ticket_id
    request.suppress_past |= suppress_past
    request.request_id = call.request_id or request.request_id
    with call.stub(terms, request) as stub:
        reply = stub.RetargetSla(request, timeout=TIMEOUT_S)
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
    """Reopen a completed or cancelled ticket."""
    with call.client() as client:
        reply = client.reopen_sla(
            **call.ticket._asdict(),
            mode=pb.ReopenMode.Value(f"REOPEN_MODE_{mode.upper()}"),
            effective_at=at,
            request_id=call.request_id,
        )
    call.show(reply, "reopened" if reply.changed else "already live; nothing changed")
