"""Addresses to listen on: `host:port` and `unix:PATH`, never shared with another server."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

import grpc

from slad.config.addresses import AddressError, check, split_host_port
from slad.service.server import SladServer

CONTROL_NAME: Final = "control.sock"

SOCKET_MODE: Final = 0o660
"""A Unix socket is for its owner and group."""

PRIVATE_MODE: Final = 0o600

MAX_SOCKET_PATH: Final = 107
"""Bytes of the path of a Unix socket."""


def listen(
    server: SladServer,
    address: str,
    credentials: grpc.ServerCredentials | None = None,
    mode: int = SOCKET_MODE,
) -> str:
    """Binds `server` to `address` and returns the address with the port that was chosen.

    TCP is with TLS if there are `credentials`; a Unix socket gets `mode`. Raises AddressError.
    """
    check(address, with_tls=credentials is not None)
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        _make_way(path)
        # Nobody else may connect between its creation and the chmod.
        former = os.umask(0o177)
        try:
            _bind(server, address)
        finally:
            os.umask(former)
        path.chmod(mode)
        return address
    return f"{split_host_port(address)[0]}:{_bind(server, address, credentials)}"


def open_socket(address: str, setting: str) -> tuple[socket.socket, str]:
    """A socket that listens at `address`, and the address with the port that was chosen.

    Raises AddressError, which names the `setting` that says where.
    """
    try:
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix:"))
            _make_way(path)
            former = os.umask(0o777 & ~SOCKET_MODE)
            try:
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(os.fspath(path))
            finally:
                os.umask(former)
            listener.listen()
            return listener, address
        host, port = split_host_port(address)
        family, *_, where = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(where[:2], family=family)
    except OSError as error:
        # Without what Python adds; resolvers have numbers of their own.
        number = error.errno or 0
        told = os.strerror(number) if number > 0 else error.strerror or error
        raise AddressError(f"cannot listen on {address}: {told}; try another {setting}") from error
    return listener, f"{host}:{listener.getsockname()[1]}"


def control_address(data: Path) -> str:
    """The Unix socket in a data directory, for those who may write there anyhow."""
    path = data / CONTROL_NAME
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        # Left open: it is part of the name.
        directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        path = Path(f"/proc/self/fd/{directory}/{CONTROL_NAME}")
    return f"unix:{path}"


def is_answered(address: str) -> bool:
    """Whether a server listens on a `unix:` address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.removeprefix("unix:"))
        except OSError:
            return False
    return True


def _bind(server: SladServer, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
    try:
        port = server.bind(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise AddressError(f"cannot listen on {address}: it is in use or not allowed; try another --listen")
    return port


def _make_way(path: Path) -> None:
    """Removes a socket that a killed server left behind; refuses one that is answered, or cannot be made."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise AddressError(f"cannot listen on unix:{path}: it is longer than {MAX_SOCKET_PATH} bytes")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.exists():
            text = f"cannot listen on unix:{path}: there is no directory {path.parent}"
            raise AddressError(text) from None
        return
    except OSError as error:
        raise AddressError(f"cannot listen on unix:{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"cannot listen on unix:{path}: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise AddressError(f"cannot listen on unix:{path}: {error.strerror}") from error
    raise AddressError(f"cannot listen on unix:{path}: another server answers there")
