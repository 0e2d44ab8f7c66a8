"""Which addresses a webhook may connect to: public ones, and networks that the operator has named.

The address is looked at when the connection is made, not when a name is resolved: a name that leads to a
private address, now or later, does not get there.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from slad.config.kinds import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""What `getaddrinfo` gives for one address."""

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a NAT64 gateway takes them, in the last four bytes."""


def literal_address(host: str) -> Address | None:
    """The address that the host of a URL is; None for a name.

    Raises ValueError for one that is not written in full, such as 127.1, 0177.0.0.1 or 2130706433: some
    resolvers take these for 127.0.0.1.
    """
    # As host names are normalized before they are looked up: other digits, and other full stops.
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".")
    try:
        return ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        if re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", plain.rpartition(".")[2]):
            raise ValueError(f"{host!r} is neither a name nor an address such as 192.0.2.1") from None
        return None


class ForbiddenAddress(OSError):  # noqa: N818 - what the address is
    """The address is not public, and not in a network that was named."""


class AddressGuard:
    """Makes sockets, if their address may be connected to."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self.forbidden: str | None = None
        """The last address that was not allowed; its reader resets it."""

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for a connection to this address. Raises ForbiddenAddress."""
        family, kind, protocol, _, target = info
        if not self.allows(ipaddress.ip_address(str(target[0]).partition("%")[0])):
            self.forbidden = str(target[0])
            raise ForbiddenAddress(f"{target[0]} is not a public address")
        return socket.socket(family, kind, protocol)

    def allows(self, address: Address) -> bool:
        """Whether this address may be connected to."""
        meant = _meant(address)
        if any(candidate in network for network in self._allowed for candidate in (address, meant)):
            return True
        if meant.is_multicast or meant.is_reserved or _is_of_a_site(meant) or _tunnels(meant):
            return False
        return meant.is_global


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address is another form of, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_of_a_site(address: Address) -> bool:
    """Whether it is as private as fc00::/7, in the way of before 2004."""
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


def _tunnels(address: Address) -> bool:
    """Whether it leads to an IPv4 address through 6to4 or Teredo, where nothing public lives any more."""
    return isinstance(address, ipaddress.IPv6Address) and bool(address.sixtofour or address.teredo)
