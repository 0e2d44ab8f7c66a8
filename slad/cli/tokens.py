"""`slad tokens`: who may call.

Through the daemon if one runs on the data directory (over the socket that it keeps there for this), otherwise
in the database itself; or, with --address, through a daemon anywhere, with a token of the role admin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from slad_client.v1 import tokens_pb2 as rpc
from slad_client.v1 import tokens_pb2_grpc

from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.params import EXIT_CANNOT_START, EXIT_NOT_FOUND, EXIT_REFUSED
from slad.cli.settings import KindType, data_option
from slad.core.access import TRUSTED
from slad.core.errors import InvalidField, Refusal, Refused
from slad.daemon.kinds import SPAN
from slad.daemon.sockets import control_address, is_answered
from slad.service.access import become
from slad.service.fields import Fields
from slad.service.server import SLA_TOKENS
from slad.service.token_admin import SlaTokens
from slad.service.tokens import Tokens
from slad.storage.backup import give_to_owner_of
from slad.storage.database import DATABASE_NAME, DataDirectory
from slad.storage.journal import CannotWrite, Journal
from slad.storage.lock import DatabaseError
from slad.storage.rows import Batch, TokenRow
from slad.storage.store import Store

ROLES: Final = {"read": rpc.SLA_ROLE_READ, "write": rpc.SLA_ROLE_WRITE, "admin": rpc.SLA_ROLE_ADMIN}

Call = Callable[[str, Message], Any]
"""An RPC of SlaTokens by name: its request → its reply."""


@click.group()
def tokens() -> None:
    """The tokens by which callers are known.

    From the first one on every caller over TCP needs one. They hold at once, without a restart.

    With --data as `slad serve` has it, no token is needed: who may write to that directory may do this.
    """


def _through(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which slad; `command` gets what makes calls there as `call`."""

    @daemon_options
    @data_option
    @wraps(command)
    def with_call(*, data: Path, daemon: Daemon, **others: Any) -> Any:
        sources = click.get_current_context().get_parameter_source
        named = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        if sources("data") is not ParameterSource.COMMANDLINE and sources("address") in named:
            with _online(daemon) as call:
                return command(call=call, **others)
        if sources("data") not in named and not (data / DATABASE_NAME).exists():
            _fail(
                EXIT_CANNOT_START,
                f"there is no database in {data}; say --data DIR as `slad serve` has it, or --address",
            )
        control = control_address(data) if data.is_dir() else ""
        with _online(Daemon(control)) if control and is_answered(control) else _offline(data) as call:
            return command(call=call, **others)

    return with_call


@tokens.command("create")
@click.option("--tenant", "tenants", multiple=True, metavar="TENANT", help="What it is for; may repeat.")
@click.option("--all-tenants", is_flag=True, help="It is for every tenant, also those to come.")
@click.option(
    "--role",
    type=click.Choice(list(ROLES)),
    required=True,
    help="read: queries and events; write: commands too; admin: tokens and consumers too.",
)
@click.option("--name", default="", help="For people: who holds it.")
@click.option(
    "--expires", type=KindType(SPAN), metavar="SPAN", help="After this time it is good for nothing."
)
@_through
def create_command(
    call: Call, tenants: tuple[str, ...], all_tenants: bool, role: str, name: str, expires: int | None
) -> None:
    """Make a token, and show it: once, on standard output."""
    request = rpc.CreateSlaTokenRequest(
        name=name, role=ROLES[role], tenant_ids=tenants, all_tenants=all_tenants
    )
    if not tenants and not all_tenants:
        raise click.UsageError("say --tenant (it may repeat) or --all-tenants")
    if expires is not None:
        request.expires_at.FromMilliseconds(_now() + expires)
    reply = call("CreateSlaToken", request)
    _show(reply)


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_through
def list_command(call: Call, as_json: bool) -> None:
    """List all tokens, never a secret."""
    found = call("ListSlaTokens", rpc.ListSlaTokensRequest()).tokens
    if as_json:
        shown = [
            MessageToDict(t, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for t in found
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    rows = [("TOKEN", "ROLE", "TENANTS", "STATE", "CREATED", "NAME")]
    for t in found:
        tenants = "(all)" if t.all_tenants else " ".join(t.tenant_ids)
        created = t.created_at.ToJsonString()
        rows.append((t.token_id, _role(t), tenants, _state(t), created, t.name))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@tokens.command("revoke")
@click.argument("token_id", metavar="TOKEN")
@_through
def revoke_command(call: Call, token_id: str) -> None:
    """Make TOKEN worthless, at once and for good; its streams end.

    TOKEN is as `slad tokens list` shows it: the part between the underscores.
    """
    call("RevokeSlaToken", rpc.RevokeSlaTokenRequest(token_id=_id(token_id)))
    click.echo(f"revoked {_id(token_id)}")


@tokens.command("rotate")
@click.argument("token_id", metavar="TOKEN")
@click.option(
    "--grace",
    type=KindType(SPAN),
    metavar="SPAN",
    help="The old secret stays good for so long; else not at all.",
)
@_through
def rotate_command(call: Call, token_id: str, grace: int | None) -> None:
    """Give TOKEN a new secret, and show it: once, on standard output."""
    request = rpc.RotateSlaTokenRequest(token_id=_id(token_id))
    if grace is not None:
        request.grace.FromMilliseconds(grace)
    _show(call("RotateSlaToken", request))


@contextmanager
def _online(daemon: Daemon) -> Iterator[Call]:
    with daemon.channel() as channel:
        stub = tokens_pb2_grpc.SlaTokensStub(channel)
        yield lambda name, request: getattr(stub, name)(request, timeout=TIMEOUT_S)


@contextmanager
def _offline(data: Path) -> Iterator[Call]:
    """The same service over the database, while no daemon runs on it."""
    try:
        with _opened(data) as (journal, store):

            async def save(row: TokenRow) -> None:
                journal.commit(Batch(tokens=[row]))

            service = SlaTokens(Fields(), Tokens(store.tokens(), save, _now))
            yield lambda name, request: asyncio.run(_called(service, name, request))
    except (DatabaseError, CannotWrite) as error:
        _fail(EXIT_CANNOT_START, f"{data}: {error}" if isinstance(error, CannotWrite) else str(error))
    except InvalidField as error:
        _fail(EXIT_REFUSED, str(error))
    except Refused as error:
        _fail(EXIT_NOT_FOUND if error.kind is Refusal.NOT_FOUND else EXIT_REFUSED, error.message)


@contextmanager
def _opened(data: Path) -> Iterator[tuple[Journal, Store]]:
    directory = DataDirectory(data, as_guest=True)
    try:
        journal, store = Journal(directory.writer()), Store(directory.reader())
        try:
            yield journal, store
        finally:
            store.close()
            journal.close()
    finally:
        for path in data.iterdir():
            give_to_owner_of(data, path)
        directory.close()


async def _called(service: SlaTokens, name: str, request: Message) -> Any:
    become(TRUSTED)
    reply = await getattr(service, name)(request)
    return GetMessageClass(SLA_TOKENS.methods_by_name[name].output_type).FromString(reply)


def _show(reply: rpc.CreateSlaTokenResponse | rpc.RotateSlaTokenResponse) -> None:
    token = reply.token
    scope = "every tenant" if token.all_tenants else ", ".join(token.tenant_ids)
    click.echo(f"token {token.token_id} ({_role(token)}, {scope}); it is not shown again:", err=True)
    click.echo(reply.secret)


def _role(token: rpc.SlaToken) -> str:
    return rpc.SlaRole.Name(token.role).removeprefix("SLA_ROLE_").lower()


def _state(token: rpc.SlaToken) -> str:
    if token.HasField("revoked_at"):
        return "revoked"
    if token.HasField("expires_at"):
        until = token.expires_at.ToDatetime(UTC)
        return "expired" if until <= datetime.now(UTC) else f"until {token.expires_at.ToJsonString()}"
    return "good"


def _id(text: str) -> str:
    """The id, also of one who gives the whole token."""
    return text.split("_")[1] if text.startswith("slad_") else text


def _now() -> int:
    return int(time.time() * 1_000)


def _fail(code: int, message: str) -> NoReturn:
    click.echo(f"slad: {message}", err=True)
    sys.exit(code)
