"""Tokens: making them, knowing them, ending them.

A token is `slad_ID_SECRET`. What is stored is its SHA-256: the secret is 256 random bits, so that nothing
slower is needed, and a look-up by digest gives no hint by its duration.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from hashlib import sha256
from typing import Final

from slad.core.access import Caller, Role, Tenants
from slad.core.errors import InvalidField, Refusal, Refused
from slad.storage.codec import decode_tenants, encode_tenants
from slad.storage.rows import TokenRow

MAX_TENANTS: Final = 100
"""Tenants of one token; one for more is for all."""

MAX_TOKENS: Final = 10_000
"""Tokens that are kept, revoked ones included."""

MAX_TOKENS_WITHIN: Final = 1_000
"""Of those, what an admin for some tenants may have within them, so that some are left for others."""

MAX_SHOWN: Final = 200
"""Characters of an id that is told back."""

ID_BYTES: Final = 5
SECRET_BYTES: Final = 32

_TOKEN: Final = re.compile(r"slad_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", re.ASCII)


class Tokens:
    """All tokens, in memory as stored. For the event loop's thread.

    `save` makes a row durable. `changed` is told when secrets have come or gone.
    Raises InvalidField, Refused; then nothing has changed.
    """

    def __init__(
        self,
        rows: Iterable[TokenRow],
        save: Callable[[TokenRow], Awaitable[None]],
        now: Callable[[], int],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._save = save
        self.now = now
        self._rows: dict[str, TokenRow] = {}
        self._tenants: dict[str, Tenants] = {}
        self._callers: dict[bytes, Caller] = {}
        self._changing = asyncio.Lock()
        self._changed = changed
        self._take(rows)

    @property
    def exist(self) -> bool:
        """Whether there is one, or ever was."""
        return bool(self._rows)

    def load(self, rows: Iterable[TokenRow]) -> None:
        """Takes what is stored in place of what is known."""
        self._take(rows)
        self._changed()

    def caller(self, secret: str) -> Caller:
        """Whose secret this is. Raises Refused (UNAUTHENTICATED)."""
        caller = self._callers.get(_digest(secret)) if _TOKEN.fullmatch(secret) else None
        if caller is None:
            raise Refused(Refusal.UNAUTHENTICATED, "TOKEN_INVALID", "the token is not known, or was revoked")
        if self.now() >= self.good_until(caller):
            raise Refused(Refusal.UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired")
        return caller

    def good_until(self, caller: Caller) -> float:
        """Up to which instant (UTC epoch ms) what `caller` was admitted by still admits."""
        if not caller.token_id:
            return math.inf
        known = self._callers.get(caller.digest)
        if known is None:
            return -math.inf
        return math.inf if known.expires_at is None else known.expires_at

    def listed(self, to: Caller) -> Iterator[TokenRow]:
        """The tokens that `to` may see, in the order of their creation."""
        tenants = self._tenants
        return (row for row in list(self._rows.values()) if to.covers(tenants[row.token_id]))

    async def create(
        self, by: Caller, name: str, role: Role, tenants: Tenants, expires_at: int | None
    ) -> tuple[TokenRow, str]:
        """A new token and its secret."""
        if not by.covers(tenants):
            raise Refused(
                Refusal.PERMISSION_DENIED,
                "TENANT_NOT_ALLOWED",
                "you can create tokens for your own tenants only",
            )
        most = MAX_TOKENS if by.tenants is None else MAX_TOKENS_WITHIN
        own = sum(map(by.covers, self._tenants.values())) if by.tenants is not None else 0
        if len(self._rows) >= MAX_TOKENS or own >= most:
            message = f"there are {MAX_TOKENS} already, or {most} for your tenants"
            raise Refused(Refusal.RESOURCE_EXHAUSTED, "TOO_MANY_TOKENS", message)
        now = self.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidField("expires_at", "IN_THE_PAST", "a token must be valid for some time")
        token_id = secrets.token_hex(ID_BYTES)
        while token_id in self._rows:
            token_id = secrets.token_hex(ID_BYTES)
        secret = _secret(token_id)
        row = TokenRow(
            token_id,
            name,
            role,
            encode_tenants(tenants),
            _digest(secret),
            former_digest=None,
            former_until=None,
            created_at=now,
            expires_at=expires_at,
            rotated_at=None,
            revoked_at=None,
        )
        await self._put(row)
        return row, secret

    async def revoke(self, by: Caller, token_id: str) -> TokenRow:
        """The token, worthless from now on."""
        async with self._changing:
            row = self._find(by, token_id)
            if row.revoked_at is None:
                row = row._replace(revoked_at=self.now())
                await self._put(row)
            return row

    async def rotate(self, by: Caller, token_id: str, grace_ms: int) -> tuple[TokenRow, str]:
        """The token with a new secret; the old one is good for another `grace_ms`."""
        async with self._changing:
            row = self._find(by, token_id)
            if row.revoked_at is not None:
                raise Refused(Refusal.FAILED_PRECONDITION, "TOKEN_REVOKED", f"token {token_id} was revoked")
            secret, now = _secret(token_id), self.now()
            row = row._replace(
                digest=_digest(secret),
                former_digest=row.digest if grace_ms else None,
                former_until=now + grace_ms if grace_ms else None,
                rotated_at=now,
            )
            await self._put(row)
            return row, secret

    def _find(self, by: Caller, token_id: str) -> TokenRow:
        row = self._rows.get(token_id)
        if row is None or not by.covers(self._tenants[token_id]):
            text = f"no token {token_id[:MAX_SHOWN]!r}"
            raise Refused(Refusal.NOT_FOUND, "TOKEN_NOT_FOUND", text, field="token_id")
        return row

    async def _put(self, row: TokenRow) -> None:
        await self._save(row)
        former = self._rows.get(row.token_id)
        if former is not None:
            for digest in (former.digest, former.former_digest):
                self._callers.pop(digest or b"", None)
        self._add(row)
        self._changed()

    def _take(self, rows: Iterable[TokenRow]) -> None:
        self._rows, self._tenants, self._callers = {}, {}, {}
        for row in rows:
            self._add(row)

    def _add(self, row: TokenRow) -> None:
        tenants = tenants_of(row)
        self._rows[row.token_id], self._tenants[row.token_id] = row, tenants
        self._callers |= {caller.digest: caller for caller in _callers(row, tenants)}


def tenants_of(row: TokenRow) -> Tenants:
    """The tenants that a token is for."""
    return decode_tenants(row.tenants)


def _callers(row: TokenRow, tenants: Tenants) -> Iterator[Caller]:
    if row.revoked_at is not None:
        return
    role = Role(row.role)
    yield Caller(role, tenants, row.token_id, row.digest, row.expires_at)
    if row.former_digest is not None and row.former_until is not None:
        until = row.former_until if row.expires_at is None else min(row.former_until, row.expires_at)
        yield Caller(role, tenants, row.token_id, row.former_digest, until)


def _secret(token_id: str) -> str:
    return f"slad_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
