"""Addresses to listen on: `host:port` and `unix:PATH`, never shared with another server."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Final

from slad.service.server import SladServer

SOCKET_MODE: Final = 0o660
"""A Unix socket is for its owner and group."""


class AddressError(ValueError):
    """An address cannot be listened on; the message says why and what to do."""


def listen(server: SladServer, address: str) -> str:
    """Binds `server` to `address` and returns the address with the port that was chosen.

    Raises AddressError.
    """
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        _make_way(path)
        _bind(server, address)
        path.chmod(SOCKET_MODE)
        return address
    host, _ = split_host_port(address, "neither host:port nor unix:PATH")
    return f"{host}:{_bind(server, address)}"


def split_host_port(address: str, otherwise: str = "not host:port") -> tuple[str, int]:
    """`host:port` as its parts, an IPv6 host in brackets.

    Raises AddressError, which says that it is `otherwise`.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise AddressError(f"{address!r} is {otherwise}")
    return host, int(port)


def is_local(address: str) -> bool:
    """Whether only this machine can reach `address`."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(server: SladServer, address: str) -> int:
    try:
        port = server.bind(address)
    except RuntimeError:
        port = 0
    if not port:
        raise AddressError(
            f"cannot listen on {address}: it is taken, or may not be used; try another --listen"
        )
    return port


def _make_way(path: Path) -> None:
    """Removes a socket that a killed server left behind; refuses one that is answered."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise AddressError(f"cannot listen on unix:{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"cannot listen on unix:{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise AddressError(f"cannot listen on unix:{path}: {error.strerror}") from error
    raise AddressError(f"cannot listen on unix:{path}: another server answers there")
