"""Who is let in without a token, by where they call from."""

from __future__ import annotations

from typing import Any

import pytest

from slad.core.access import TRUSTED, Caller, Role
from slad.core.errors import Refused
from slad.service.access import Gate, Reach, Rule
from slad.service.tokens import Tokens

RULE = Rule(Role.ADMIN, Reach.EVERYTHING)
UNIX, LOOPBACK, LOOPBACK_6 = "unix:", "ipv4:127.0.0.1:41234", "ipv6:%5B::1%5D:41234"
STRANGERS = (
    "ipv4:192.0.2.7:41234",
    "ipv6:%5B2001:db8::7%5D:41234",
    "ipv4:1.127.0.1:9",
    "ipv6:%5B::1:2%5D:3",
    "",
)


class Context:
    def __init__(self, peer: str, certificate: bool = False) -> None:
        self._peer = peer
        self._certificate = certificate

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("user-agent", "test"),)

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [b"-----BEGIN"]} if self._certificate else {}


async def _nowhere(row: Any) -> None: ...


async def gate(*, exposed: bool, with_token: bool) -> Gate:
    tokens = Tokens((), _nowhere, lambda: 0)
    if with_token:
        await tokens.create(TRUSTED, "", Role.READ, None, None)
    return Gate(tokens, lambda ticket, tenants: "", is_exposed=exposed)


def is_let_in(gate: Gate, peer: str, certificate: bool = False) -> bool:
    context: Any = Context(peer, certificate)
    try:
        return gate.admit(RULE, context) is TRUSTED
    except Refused as refused:
        return refused.reason != "TOKEN_REQUIRED"


async def test_before_the_first_token_this_machine_is_let_in_and_strangers_are_not() -> None:
    exposed = await gate(exposed=True, with_token=False)
    assert [is_let_in(exposed, peer) for peer in (UNIX, LOOPBACK, LOOPBACK_6)] == [True, True, True]
    assert not any(is_let_in(exposed, peer) for peer in STRANGERS)
    assert all(is_let_in(exposed, peer, certificate=True) for peer in STRANGERS), "its CA has been checked"


async def test_with_a_token_everyone_over_tcp_needs_one() -> None:
    for exposed in (False, True):
        closed = await gate(exposed=exposed, with_token=True)
        assert is_let_in(closed, UNIX)
        for peer in (LOOPBACK, LOOPBACK_6, *STRANGERS):
            assert not is_let_in(closed, peer)
            assert not is_let_in(closed, peer, certificate=True)


@pytest.mark.parametrize(
    ("tenants", "asked", "covered"),
    [
        (None, None, True),
        (None, {"a"}, True),
        ({"a", "b"}, {"a"}, True),
        ({"a"}, {"a", "b"}, False),
        ({"a"}, None, False),
        ({"a"}, set(), True),
    ],
)
def test_a_caller_covers_what_is_within_its_tenants(
    tenants: set[str] | None, asked: set[str] | None, covered: bool
) -> None:
    def frozen(items: set[str] | None) -> frozenset[str] | None:
        return None if items is None else frozenset(items)

    caller = Caller(Role.ADMIN, frozen(tenants))
    assert caller.covers(frozen(asked)) is covered
    for tenant in ("a", "c"):
        narrowed = caller.narrowed(tenant)
        assert narrowed == (frozenset({tenant}) if caller.may_touch(tenant) else frozenset())
    assert caller.narrowed("") == caller.tenants
