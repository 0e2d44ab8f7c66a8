"""`slad context`: names for several daemons, and which of them the commands call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from slad.cli import contexts
from slad.cli.contexts import Context
from slad.cli.daemon_connection import CONNECTION_OPTIONS, checked_address, complete_context
from slad.cli.exits import CommandError
from slad.cli.help import example
from slad.cli.output import Columns, Printer, output_option

COLUMNS: Final[Columns] = [
    ("IN USE", lambda row: "*" if row[2] else ""),
    ("NAME", lambda row: row[0]),
    ("ADDRESS", lambda row: row[1].address),
    ("TOKEN FILE", lambda row: row[1].token_file),
    ("TLS", lambda row: "mutual" if row[1].client_certificate else "yes" if row[1].ca else "no"),
]


@click.group()
def context() -> None:
    """Name several daemons, and choose which of them the commands call.

    A context holds the address of a daemon and the paths of its token, CAs and certificates, but no secret.
    --address and --context override the context that is in use.
    """


def _add_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(CONNECTION_OPTIONS):
        command = option(command)
    return command


@context.command(
    "add",
    epilog=example(
        "slad context add prod --address sla.example.com:7523 --ca ca.pem --token-file prod.token --use"
    ),
)
@click.argument("name")
@_add_options
@click.option("--use", is_flag=True, help="Use it from now on.")
def add_command(
    name: str,
    address: str | None,
    token_file: Path | None,
    ca: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    use: bool,
) -> None:
    """Add the context NAME."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise CommandError(f"{name!r} is not a name of a context: letters, digits, and _ . - are allowed")
    if address is None:
        raise CommandError("give the --address of the daemon: host:port or unix:PATH")
    files = token_file, ca, client_certificate, client_key
    for file in filter(None, files):
        if not file.is_file():
            raise CommandError(f"there is no file {file}")
    paths = (str(file.absolute()) if file else "" for file in files)
    added = contexts.load().with_added(name, Context(_absolute(checked_address(address)), *paths))
    contexts.save(added.using(name) if use else added)
    click.echo(f"added {name}" + (", which is in use now" if use else f"; `slad context use {name}` uses it"))


def _absolute(address: str) -> str:
    """A Unix socket is the same one in whichever directory the next command runs."""
    kind, _, socket = address.partition(":")
    return f"unix:{Path(socket).absolute()}" if kind == "unix" and not socket.startswith("//") else address


@context.command("use", epilog=example("slad context use prod", "slad context use --none"))
@click.argument("name", required=False, default="", shell_complete=complete_context)
@click.option("--none", "nothing", is_flag=True, help="Use no context.")
def use_command(name: str, nothing: bool) -> None:
    """Use the context NAME from now on."""
    if bool(name) == nothing:
        raise CommandError("give either a name or --none")
    contexts.save(contexts.load().using(name))
    click.echo(f"{name} is in use now" if name else "no context is in use now")


@context.command("list", epilog=example("slad context list"))
@output_option()
def list_command(out: Printer) -> None:
    """List the contexts."""
    found = contexts.load()
    rows = [(name, context, name == found.current) for name, context in sorted(found.contexts.items())]
    out.many(rows, COLUMNS, lambda row: row[0], plain=_plain)


def _plain(row: tuple[str, Context, bool]) -> dict[str, object]:
    name, context, in_use = row
    return {"name": name, **contexts.fields_of(context), "in_use": in_use}


@context.command("remove", epilog=example("slad context remove old"))
@click.argument("name", shell_complete=complete_context)
def remove_command(name: str) -> None:
    """Remove the context NAME."""
    contexts.save(contexts.load().without(name))
    click.echo(f"removed {name}")
