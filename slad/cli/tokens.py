"""`slad tokens`: the tokens of callers.

The commands go through the daemon if one runs on the data directory (over the socket that it keeps there for
this), otherwise to the database itself; or, with --address, to any daemon, with a token of the role admin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from slad_client.v1 import tokens_pb2 as rpc
from slad_client.v1 import tokens_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.exits import EXIT_CANNOT_START, EXIT_NOT_FOUND, EXIT_REFUSED, CommandError, printable
from slad.cli.help import example
from slad.cli.option_types import SPAN, enum_word
from slad.cli.output import Columns, Printer, output_option
from slad.cli.settings import data_option
from slad.core.access import TRUSTED
from slad.core.errors import InvalidField, Refusal, Refused
from slad.daemon.sockets import control_address, is_answered
from slad.engine.time_source import WallClock
from slad.service.access import become
from slad.service.fields import Fields
from slad.service.server import SLA_TOKENS
from slad.service.token_admin import SlaTokens
from slad.service.tokens import Tokens
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
    """Create, list and revoke the tokens of callers.

    Once the first token exists, every caller over TCP needs one. Changes take effect at once.

    With --data, give the directory that `slad serve` uses. Then these commands need no token themselves:
    everybody who may write to that directory may run them.
    """


def _through(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which slad is meant; `command` gets a function that calls it as `call`."""

    @daemon_options
    @data_option
    @wraps(command)
    def with_call(*, data: Path, daemon: Daemon, create_database: bool = False, **others: Any) -> Any:
        source = click.get_current_context().get_parameter_source("data")
        if source is not ParameterSource.COMMANDLINE and daemon.is_named:
            with _online(daemon) as call:
                return command(call=call, **others)
        if not (data / DATABASE_NAME).exists() and not create_database:
            raise CommandError(
                f"there is no database in {data}; give --data, the directory of `slad serve`, or --address",
                EXIT_CANNOT_START,
            )
        control = control_address(data) if data.is_dir() else ""
        with _online(Daemon(control)) if control and is_answered(control) else _offline(data) as call:
            return command(call=call, **others)

    return with_call


@tokens.command(
    "create", epilog=example("slad tokens create --tenant acme --role write --name psa >psa.token")
)
@click.option("--tenant", "tenants", multiple=True, metavar="TENANT", help="A tenant it is for; may repeat.")
@click.option("--all-tenants", is_flag=True, help="It is for every tenant, also for future ones.")
@click.option(
    "--role",
    type=click.Choice(list(ROLES)),
    required=True,
    help="read: queries and events; write: also commands; admin: also tokens and consumers.",
)
@click.option("--name", default="", metavar="NAME", help="A note for people: who has the token.")
@click.option("--expires", type=SPAN, metavar="SPAN", help="The token expires after this long.")
@click.option(
    "--create-database",
    is_flag=True,
    help="Create the database in --data if there is none, before `slad serve` runs for the first time.",
)
@_through
def create_command(
    call: Call, tenants: tuple[str, ...], all_tenants: bool, role: str, name: str, expires: int | None
) -> None:
    """Create a token and print it on standard output. It is not shown again."""
    request = rpc.CreateSlaTokenRequest(
        name=name, role=ROLES[role], tenant_ids=tenants, all_tenants=all_tenants
    )
    if not tenants and not all_tenants:
        raise click.UsageError("give --tenant or --all-tenants")
    if expires is not None:
        request.expires_at.FromMilliseconds(WallClock().now() + expires)
    reply = call("CreateSlaToken", request)
    _show(reply)


@tokens.command("list", epilog=example("slad tokens list --data /var/lib/slad"))
@output_option()
@_through
def list_command(call: Call, out: Printer) -> None:
    """List all tokens, without their secrets."""
    found = call("ListSlaTokens", rpc.ListSlaTokensRequest()).tokens
    out.many(found, COLUMNS, lambda token: token.token_id)


@tokens.command("revoke", epilog=example("slad tokens revoke 4fzq7m2kxa"))
@click.argument("token_id", metavar="TOKEN")
@_through
def revoke_command(call: Call, token_id: str) -> None:
    """Revoke TOKEN at once and for good. Its streams end.

    TOKEN is the id that `slad tokens list` shows: the part of the token between the underscores.
    """
    call("RevokeSlaToken", rpc.RevokeSlaTokenRequest(token_id=_id(token_id)))
    click.echo(f"revoked {_id(token_id)}")


@tokens.command("rotate", epilog=example("slad tokens rotate 4fzq7m2kxa --grace 1d >psa.token"))
@click.argument("token_id", metavar="TOKEN")
@click.option(
    "--grace",
    type=SPAN,
    metavar="SPAN",
    help="How long the old secret stays valid; by default not at all.",
)
@_through
def rotate_command(call: Call, token_id: str, grace: int | None) -> None:
    """Give TOKEN a new secret and print it on standard output. It is not shown again."""
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
    """Calls the service of tokens in this process, on the database of a daemon that does not run."""
    try:
        with _opened(data) as (journal, store):

            async def save(row: TokenRow) -> None:
                journal.commit(Batch(tokens=[row]))

            service = SlaTokens(Fields(), Tokens(store.tokens(), save, WallClock().now))
            yield lambda name, request: asyncio.run(_called(service, name, request))
    except (DatabaseError, CannotWrite) as error:
        told = f"{data}: {error}" if isinstance(error, CannotWrite) else str(error)
        raise CommandError(told, EXIT_CANNOT_START) from error
    except InvalidField as error:
        raise CommandError(str(error), EXIT_REFUSED) from error
    except Refused as error:
        code = EXIT_NOT_FOUND if error.kind is Refusal.NOT_FOUND else EXIT_REFUSED
        raise CommandError(error.message, code) from error


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
        directory.close()


async def _called(service: SlaTokens, name: str, request: Message) -> Any:
    become(TRUSTED)
    reply = await getattr(service, name)(request)
    return GetMessageClass(SLA_TOKENS.methods_by_name[name].output_type).FromString(reply)


def _show(reply: rpc.CreateSlaTokenResponse | rpc.RotateSlaTokenResponse) -> None:
    token = reply.token
    scope = "every tenant" if token.all_tenants else ", ".join(token.tenant_ids)
    click.echo(
        f"token {token.token_id} ({_role(token)}, {printable(scope)}); it is not shown again:", err=True
    )
    click.echo(reply.secret)


def _role(token: rpc.SlaToken) -> str:
    return enum_word(rpc.SlaRole.Name(token.role), "SLA_ROLE_")


def _state(token: rpc.SlaToken) -> str:
    if token.HasField("revoked_at"):
        return "revoked"
    if token.HasField("expires_at"):
        until = token.expires_at.ToDatetime(UTC)
        return "expired" if until <= datetime.now(UTC) else f"until {time_text.stamp(token, 'expires_at')}"
    return "valid"


COLUMNS: Final[Columns] = [
    ("TOKEN", lambda token: token.token_id),
    ("ROLE", _role),
    ("TENANTS", lambda token: "(all)" if token.all_tenants else " ".join(token.tenant_ids)),
    ("STATE", _state),
    ("CREATED", lambda token: time_text.stamp(token, "created_at")),
    ("NAME", lambda token: token.name),
]


def _id(text: str) -> str:
    """The id of a token; the whole token may be given too."""
    return text.split("_")[1] if text.startswith("slad_") else text
