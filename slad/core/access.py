"""Who may do what, as values: roles, and the tenants that a caller may touch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

Tenants = frozenset[str] | None
"""Tenants by id; None: every tenant, also those to come."""


class Role(IntEnum):
    """What a caller may do; each role includes those before it. Numbers of the wire contract."""

    READ = 1
    """Queries and events, as a consumer too."""
    WRITE = 2
    """Commands."""
    ADMIN = 3
    """Tokens, consumers, and what else is the operator's."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call."""

    role: Role
    tenants: Tenants
    token_id: str = ""
    """Empty: admitted without a token."""
    digest: bytes = b""
    """Of the token's secret."""
    expires_at: int | None = None
    """UTC epoch ms from which on the secret is good for nothing."""

    def covers(self, tenants: Tenants) -> bool:
        """Whether all of `tenants` are the caller's."""
        return self.tenants is None or (tenants is not None and tenants <= self.tenants)

    def may_touch(self, tenant_id: str) -> bool:
        """Whether that tenant is the caller's."""
        return self.tenants is None or tenant_id in self.tenants

    def narrowed(self, tenant_id: str) -> Tenants:
        """The tenants that a filter leaves of the caller's; an empty `tenant_id` filters nothing."""
        if not tenant_id:
            return self.tenants
        return frozenset({tenant_id}) if self.may_touch(tenant_id) else frozenset()


TRUSTED: Final = Caller(Role.ADMIN, None)
"""One who needs no token: over a Unix socket, or while there are no tokens."""

STRANGER: Final = Caller(Role.READ, frozenset())
"""Whoever calls what everybody may call."""
