"""Addresses to listen on: `host:port` and `unix:PATH`."""

from __future__ import annotations

import ipaddress


class AddressError(ValueError):
    """An address cannot be listened on; the message says why and what to do."""


def split_host_port(address: str, otherwise: str = "not host:port") -> tuple[str, int]:
    """`host:port` as its parts, an IPv6 host in brackets.

    Raises AddressError, which says that it is `otherwise`.
    """
    host, separator, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and int(port) <= 65_535
    if not separator or not host or "/" in host or not is_port:  # a slash: http://host:port
        raise AddressError(f"{address!r} is {otherwise}")
    return host, int(port)


def check(address: str, *, with_tls: bool) -> None:
    """Whether `address` is one, and may be listened on. Raises AddressError."""
    if address.startswith("unix:"):
        return
    split_host_port(address, "neither host:port nor unix:PATH")
    if not with_tls and not is_local(address):
        raise AddressError(
            f"{address} can be reached from other machines, so it needs TLS: set tls.cert and "
            "tls.key, or listen on 127.0.0.1 or a unix: socket"
        )


def is_local(address: str) -> bool:
    """Whether only this machine can reach `address`."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
