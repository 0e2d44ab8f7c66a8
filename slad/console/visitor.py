"""Who looks at a page: the token that the browser holds, and from where it comes."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from aiohttp import web

from slad.console.calls import Calls
from slad.core.access import TRUSTED, Caller
from slad.core.errors import Refusal, Refused
from slad.service.access import Approach

COOKIE: Final = "slad_token"
"""Holds the token of a browser, until it is closed."""

ZONE_COOKIE: Final = "slad_zone"
"""Holds the time zone of a browser, which only a script can find out."""


def visitor(request: web.Request, calls: Calls) -> Caller:
    """Who makes a request. Raises Refused."""
    approach = _approach(request)
    who = calls.recognize(approach)
    by_nothing = who is TRUSTED and not approach.has_certificate and not approach.peer.startswith("unix:")
    if by_nothing and not _is_this_machine(request.host):
        raise Refused(
            Refusal.PERMISSION_DENIED,
            "HOST_NOT_LOCAL",
            "without a token the console is for this machine, under its own name",
        )
    return who


def knows(token: str, request: web.Request, calls: Calls) -> Caller:
    """Whose token somebody has typed. Raises Refused (UNAUTHENTICATED)."""
    return calls.recognize(_approach(request)._replace(authorization=f"Bearer {token}"))


def sign_in(response: web.Response, request: web.Request, token: str) -> None:
    """Lets the browser show `token` from now on."""
    response.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=request.secure, path="/")


def comes_from_elsewhere(request: web.Request) -> bool:
    """Whether a page of another site sent a form."""
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def local_path(text: str) -> str:
    """`text` if it is the path of a page of this console, else that of the first."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_path else "/"


def _approach(request: web.Request) -> Approach:
    authorization = request.headers.get("Authorization")
    if authorization is None and (token := request.cookies.get(COOKIE)):
        authorization = f"Bearer {token}"
    peer = request.transport.get_extra_info("peername") if request.transport else None
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    return Approach(authorization, _told(peer), bool(certificate))


def _told(peer: Any) -> str:
    """An address as gRPC tells it; nothing of one who is gone."""
    if not isinstance(peer, tuple):
        return "" if peer is None else "unix:"
    host, port = peer[:2]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _is_this_machine(host: str) -> bool:
    """Whether a Host header names this machine: another name may be made to lead here by its owner."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
