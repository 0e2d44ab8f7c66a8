"""The connection of a command to a running daemon."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import grpc
from click.core import ParameterSource
from slad_client import CHANNEL_OPTIONS, DEFAULT_TARGET, NO_RETRY, InvalidArgument, SladError
from slad_client.credentials import bearer, tls
from slad_client.errors import from_rpc_error
from slad_client.sync import SladClient

from slad.cli import contexts
from slad.cli.exits import EXIT_NOT_ALLOWED, EXIT_NOT_FOUND, EXIT_NOT_THERE, EXIT_REFUSED, CommandError
from slad.config.addresses import AddressError, split_host_port

Command = TypeVar("Command", bound=Callable[..., Any])

ADDRESS_VARIABLE: Final = "SLAD_ADDRESS"

TIMEOUT_S: Final = 10.0
"""How long a command waits for the daemon."""

TOKEN_VARIABLE: Final = "SLAD_TOKEN"  # noqa: S105 - its name
"""Holds a token. No option does: everybody can read the command line of a process."""

SCHEMES: Final = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
"""Of addresses that gRPC knows beside host:port."""

_FILE: Final = click.Path(path_type=Path, dir_okay=False)

COMPLETION_TIMEOUT_S: Final = 1.0
"""How long a shell's completion waits for it."""

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
    "TRACKING_NOT_FOUND": "`slad list --state all` shows all tickets",
    "GENERATION_NOT_FOUND": "`slad status` without --generation shows the latest one",
    "TOKEN_REQUIRED": f"set {TOKEN_VARIABLE}, or give --token-file; or call over a unix: socket",
    "TOKEN_NOT_FOUND": "`slad tokens list` shows all tokens",
    "CONSUMER_NOT_FOUND": "`slad consumers list` shows all consumers",
    "SINK_NOT_FOUND": "`slad sinks list` shows all sinks",
    "EVENT_NOT_PARKED": "`slad sinks parked` shows the parked events",
    "TENANT_AMBIGUOUS": "name the tenant: TENANT TICKET",
    "ATTRIBUTE_NOT_KEPT": "besides these --by knows clock, policy, priority, owner, day, week and month",
    "TRACKING_COMPLETED": "`slad reopen` reopens it",
    "TRACKING_CANCELLED": "`slad reopen` reopens it",
    "TRACKING_EXISTS": "`slad retarget` changes its terms",
    "CLOCK_NOT_FOUND": "`slad status` shows its clocks",
}
"""Reason of a refusal (docs/errors.md) → what to do."""


OptionOf = Callable[[str], str]
"""What the user of a command knows a field of its request by, given the path of the field."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """Where the daemon is, and the credentials to call it with."""

    address: str
    """`host:port` or `unix:PATH`."""
    token: str = field(default="", repr=False)
    tls: grpc.ChannelCredentials | None = None
    is_named: bool = True
    """False: nobody named it, so it is the one at the default address."""

    def open_channel(self) -> grpc.Channel:
        """A channel to the daemon."""
        options = list(CHANNEL_OPTIONS.items())
        if self.tls is None:
            channel = grpc.insecure_channel(self.address, options)
        else:
            channel = grpc.secure_channel(self.address, self.tls, options)
        return grpc.intercept_channel(channel, _Bearer(self.token)) if self.token else channel

    def open_aio_channel(self) -> grpc.aio.Channel:
        """A channel for asyncio, to be made inside the event loop. Calls over it have to send `metadata`."""
        options = list(CHANNEL_OPTIONS.items())
        if self.tls is None:
            return grpc.aio.insecure_channel(self.address, options)
        return grpc.aio.secure_channel(self.address, self.tls, options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call sends along: the token, if there is one."""
        return bearer(self.token) if self.token else ()

    @contextmanager
    def channel(
        self, *, unknown: str = "its release may be older", option_of: OptionOf = str
    ) -> Iterator[grpc.Channel]:
        """A channel; a call that fails ends the command with one line and its exit code.

        `unknown` says why a daemon may not know the call, `option_of` what the user knows a field by.
        """
        with self.open_channel() as channel:
            try:
                yield channel
            except grpc.RpcError as error:
                self.fail(from_rpc_error(error), unknown, option_of)
            except SladError as error:
                self.fail(error, unknown, option_of)

    @contextmanager
    def client(self, option_of: OptionOf = str) -> Iterator[SladClient]:
        """A client over such a channel. It does not try again: someone is waiting, and can do that."""
        with (
            self.channel(option_of=option_of) as channel,
            SladClient(channel=channel, timeout=TIMEOUT_S, retry=NO_RETRY) as client,
        ):
            yield client

    def fail(self, error: SladError, unknown: str = "", option_of: OptionOf = str) -> NoReturn:
        """Ends the command with a line that says what went wrong, and what to do."""
        told = self._told(error, unknown, option_of)
        raise CommandError(told, _EXIT_CODES.get(error.code, EXIT_REFUSED)) from error

    def _told(self, error: SladError, unknown: str, option_of: OptionOf) -> str:
        if not error.reason:  # not slad's own word
            if error.code is grpc.StatusCode.UNAVAILABLE:
                address = f"{self.address} over TLS" if self.tls else self.address
                fault = _tls_fault(self.address, error.message) if self.tls else ""
                return (
                    fault or f"no daemon answers at {address}; start it with `slad serve`, or give --address"
                )
            if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return (
                    f"{self.address} did not answer within {TIMEOUT_S:.0f} s; it may still do what was asked"
                )
            if error.code is grpc.StatusCode.UNIMPLEMENTED:
                return f"the daemon at {self.address} does not know this call; {unknown}"
        hint = _HINTS.get(error.reason, "")
        message = " ".join(error.message.split()) or error.code.name
        if isinstance(error, InvalidArgument) and error.violations:
            violation = error.violations[0]
            message = f"{option_of(violation.field)}: {violation.description}"
        return f"{message}; {hint}" if hint else message


def _tls_fault(address: str, told: str) -> str:
    """What keeps TLS from the daemon, as far as `told`, the words of gRPC, says it; else ""."""
    if "Failed to create security handshaker" in told:
        return (
            "--ca, --client-certificate, --client-key: a file holds no certificate, or no key of it, in PEM"
        )
    if "Hostname Verification Check failed" in told:
        return f"the certificate of the daemon is not for {address}; give --address with a name that it has"
    if "WRONG_VERSION_NUMBER" in told:
        return f"{address} does not use TLS; leave out --ca and --client-certificate"
    if refused := re.search(r"CERTIFICATE_VERIFY_FAILED: (.*?)(: OK)?$", told):
        return f"--ca does not accept the certificate of the daemon at {address}: {refused[1]}"
    if "Socket closed" in told:
        causes = "no certificate came with the call, or one that has expired or is of another CA"
        return f"{address} closed the connection over TLS; perhaps {causes} (--client-certificate)"
    return ""


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends a token with every call."""

    def __init__(self, token: str) -> None:
        self._metadata = bearer(token)

    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(_Details(details, self._metadata), request)

    intercept_unary_unary: Any = _intercept
    intercept_unary_stream: Any = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_stream_stream: Any = _intercept


class _Details:
    """The details of a call, with metadata added."""

    def __init__(self, details: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._details = details
        self.metadata = (*(details.metadata or ()), *metadata)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._details, name)


def checked_address(address: str) -> str:
    """The address, if it has a form that gRPC can call. Raises CommandError."""
    if not address.startswith(SCHEMES):
        try:
            split_host_port(address)
        except AddressError:
            raise CommandError(
                f"{address!r} is not an address; give host:port, such as {DEFAULT_TARGET}, or unix:PATH"
            ) from None
    return address


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--token-file: {file} cannot be read: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not ASCII"


def _tls(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    if ca is None and certificate is None and key is None:
        return None
    try:
        return tls(ca, certificate, key)
    except (OSError, ValueError) as error:
        raise CommandError(f"--ca, --client-certificate, --client-key: {error}") from error


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of the connection as they were given, by flag or variable."""

    context: str | None = None
    address: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    token: str = ""

    @classmethod
    def of(cls, ctx: click.Context) -> ConnectionOptions:
        """The options of a command line. A flag overrides variables; with --context no variable counts."""
        names = [option.name for option in fields(cls)]
        given = {name: ctx.params.get(name) for name in names} | {"token": os.environ.get(TOKEN_VARIABLE, "")}
        by_flag = {name for name in names if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
        if "context" in by_flag:
            given = {name: value if name in by_flag else None for name, value in given.items()}
        elif "address" in by_flag:
            given["context"] = None
        return cls(**{**given, "token": (given["token"] or "").strip()})  # type: ignore[arg-type]

    def daemon(self) -> Daemon:
        """The daemon that they and the context in use name. Raises CommandError."""
        given = self._with_context()
        return Daemon(
            checked_address(given.address or DEFAULT_TARGET),
            _token(self.token_file) or self.token or _token(given.token_file),
            _tls(given.ca, given.client_certificate, given.client_key),
            is_named=given.address is not None,
        )

    def _with_context(self) -> ConnectionOptions:
        """Takes what is not given from the context. Its token is for its daemon, not for another address."""
        if self.context and self.address:
            raise CommandError("--context and --address contradict each other; give one")
        if self.address:
            return self
        known = contexts.load()
        name = known.current if self.context is None else self.context
        if not name:
            return self
        context = known.get(name)
        files: dict[str, Any] = {
            key: getattr(self, key) or (Path(path) if path else None)
            for key, path in contexts.fields_of(context).items()
            if key != "address"
        }
        return ConnectionOptions(name, context.address, **files)


def completing_daemon(ctx: click.Context) -> Daemon:
    """The daemon of a command line that is still being typed."""
    return ConnectionOptions.of(ctx).daemon()


def complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of contexts that begin with this."""
    return [name for name in contexts.load().contexts if name.startswith(incomplete)]


CONNECTION_OPTIONS: Final = (
    click.option(
        "--address",
        envvar=ADDRESS_VARIABLE,
        metavar="ADDR",
        help=f"The address of the daemon: host:port or unix:PATH.  [default: {DEFAULT_TARGET}]",
    ),
    click.option(
        "--token-file",
        type=_FILE,
        envvar="SLAD_TOKEN_FILE",
        metavar="FILE",
        help=f"The file with your token. {TOKEN_VARIABLE} can hold the token itself.",
    ),
    click.option(
        "--ca",
        type=_FILE,
        envvar="SLAD_CA",
        metavar="FILE",
        help="Use TLS and trust the certificates of these CAs (PEM).",
    ),
    click.option(
        "--client-certificate",
        type=_FILE,
        envvar="SLAD_CLIENT_CERTIFICATE",
        metavar="FILE",
        help="Your certificate (PEM), if the daemon asks for one.",
    ),
    click.option(
        "--client-key",
        type=_FILE,
        envvar="SLAD_CLIENT_KEY",
        metavar="FILE",
        help="The private key of your certificate (PEM).",
    ),
)
"""How a daemon is called; also what a context is made of."""

context_option: Final = click.option(
    "--context",
    envvar="SLAD_CONTEXT",
    metavar="NAME",
    shell_complete=complete_context,
    help="Call the daemon of this context, not of the one in use (`slad context`).",
)


_NAMES: Final = {option.name for option in fields(ConnectionOptions)} - {"token"}


def daemon_options(command: Command) -> Command:
    """Adds the options of the connection; the command gets them as one `daemon: Daemon`."""

    @functools.wraps(command)
    def with_daemon(*args: Any, **kwargs: Any) -> Any:
        options = ConnectionOptions.of(click.get_current_context())
        others = {name: value for name, value in kwargs.items() if name not in _NAMES}
        return command(*args, daemon=options.daemon(), **others)

    decorated: Any = with_daemon
    for option in reversed((*CONNECTION_OPTIONS, context_option)):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
