"""Talking to a running daemon from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click
import grpc
from slad_client.errors import from_rpc_error

from slad.cli.params import EXIT_REFUSED
from slad.daemon.settings import DEFAULT_LISTEN

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT_S: Final = 10.0
"""How long a command waits for the daemon."""


def address_option(command: Command) -> Command:
    """Adds --address."""
    return click.option(
        "--address",
        default=DEFAULT_LISTEN[0],
        show_default=True,
        envvar="SLAD_ADDRESS",
        metavar="ADDR",
        help="Where the daemon listens: host:port or unix:PATH.",
    )(command)


@contextmanager
def connected(address: str) -> Iterator[grpc.Channel]:
    """A channel to the daemon; a call that fails ends the command with one line and exit code 4."""
    with grpc.insecure_channel(address) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            if failure.code is grpc.StatusCode.UNAVAILABLE and not failure.reason:
                message = f"no daemon answers at {address}; start it with `slad serve`, or say --address"
            else:
                message = failure.message
            click.echo(f"slad: {message}", err=True)
            sys.exit(EXIT_REFUSED)
