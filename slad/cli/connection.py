"""Talking to a running daemon from the command line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import click
import grpc
from slad_client import DEFAULT_TARGET, NO_RETRY, SladError
from slad_client.errors import from_rpc_error
from slad_client.sync import SladClient

from slad.cli.params import EXIT_NOT_ALLOWED, EXIT_NOT_FOUND, EXIT_NOT_THERE, EXIT_REFUSED

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT_S: Final = 10.0
"""How long a command waits for the daemon."""

_EXIT_CODES: Final = {
    grpc.StatusCode.UNAVAILABLE: EXIT_NOT_THERE,
    grpc.StatusCode.DEADLINE_EXCEEDED: EXIT_NOT_THERE,
    grpc.StatusCode.CANCELLED: EXIT_NOT_THERE,
    grpc.StatusCode.NOT_FOUND: EXIT_NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED: EXIT_NOT_ALLOWED,
    grpc.StatusCode.PERMISSION_DENIED: EXIT_NOT_ALLOWED,
}
"""Of all other statuses: EXIT_REFUSED."""

_HINTS: Final = {
    "TRACKING_NOT_FOUND": "`slad list --state all` shows those that there are",
    "GENERATION_NOT_FOUND": "`slad status` without --generation shows the latest",
    "CONSUMER_NOT_FOUND": "`slad consumers list` shows those that there are",
    "TENANT_AMBIGUOUS": "say which: TENANT TICKET",
    "TRACKING_COMPLETED": "`slad reopen` lets it run again",
    "TRACKING_CANCELLED": "`slad reopen` lets it run again",
    "TRACKING_EXISTS": "`slad retarget` changes its terms",
}
"""What to do, by the reason of a refusal (docs/errors.md)."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """Where the daemon is, and how it is spoken to."""

    address: str
    """`host:port` or `unix:PATH`."""

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A channel; a call that fails ends the command with one line and its exit code."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                yield channel
            except grpc.RpcError as error:
                self.fail(from_rpc_error(error))
            except SladError as error:
                self.fail(error)

    @contextmanager
    def client(self) -> Iterator[SladClient]:
        """A client over such a channel. It does not try again: someone is waiting, and can do that."""
        with (
            self.channel() as channel,
            SladClient(channel=channel, timeout=TIMEOUT_S, retry=NO_RETRY) as client,
        ):
            yield client

    def fail(self, error: SladError) -> NoReturn:
        """Ends the command with a line that says what went wrong, and what to do."""
        click.echo(f"slad: {self._told(error)}", err=True)
        sys.exit(_EXIT_CODES.get(error.code, EXIT_REFUSED))

    def _told(self, error: SladError) -> str:
        if not error.reason:  # not slad's own word
            if error.code is grpc.StatusCode.UNAVAILABLE:
                return f"no daemon answers at {self.address}; start it with `slad serve`, or say --address"
            if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"{self.address} did not answer within {TIMEOUT_S:.0f} s; it may yet do it"
            if error.code is grpc.StatusCode.UNIMPLEMENTED:
                return f"the daemon at {self.address} does not know this; its release may be older"
        hint = _HINTS.get(error.reason, "")
        message = " ".join(error.message.split()) or error.code.name
        return f"{message}; {hint}" if hint else message


def daemon_options(command: Command) -> Command:
    """Adds the options that say where the daemon is; the command gets them as one `daemon: Daemon`."""

    @click.option(
        "--address",
        default=DEFAULT_TARGET,
        show_default=True,
        envvar="SLAD_ADDRESS",
        metavar="ADDR",
        help="Where the daemon listens: host:port or unix:PATH.",
    )
    @functools.wraps(command)
    def with_daemon(*args: Any, address: str, **kwargs: Any) -> Any:
        return command(*args, daemon=Daemon(address), **kwargs)

    return with_daemon  # type: ignore[return-value]
