"""The SlaTokens service: who may call."""

from __future__ import annotations

import asyncio

from slad_client.v1 import tokens_pb2 as rpc

from slad.core.access import Role, Tenants
from slad.core.errors import InvalidField
from slad.core.instants import DAY_MS
from slad.engine.event_codec import set_instants
from slad.engine.giving_way import giving_way
from slad.service.access import caller
from slad.service.fields import Fields, at_most, duration_ms, enum, instant
from slad.service.tokens import MAX_TENANTS, Tokens, tenants_of
from slad.storage.rows import TokenRow

MAX_GRACE_MS = 30 * DAY_MS
"""How long a former secret may be good at the most: rotation is to end some time."""


class SlaTokens:
    """The methods of `slad.v1.SlaTokens`."""

    def __init__(self, fields: Fields, tokens: Tokens) -> None:
        self._fields = fields
        self._tokens = tokens

    async def CreateSlaToken(self, request: rpc.CreateSlaTokenRequest) -> bytes:
        """Makes a token."""
        row, secret = await self._tokens.create(
            caller(),
            self._fields.optional_id("name", request.name),
            enum("role", request.role, Role),
            self._tenants(request),
            instant(request, "expires_at"),
        )
        return rpc.CreateSlaTokenResponse(token=_token(row), secret=secret).SerializeToString()

    async def ListSlaTokens(self, request: rpc.ListSlaTokensRequest) -> bytes:
        """All tokens, without secrets."""
        tokens = self._tokens.listed(caller())
        # Beside the event loop: there may be 10,000, each for 100 tenants.
        return await asyncio.to_thread(
            lambda: rpc.ListSlaTokensResponse(tokens=map(_token, giving_way(tokens))).SerializeToString()
        )

    async def RevokeSlaToken(self, request: rpc.RevokeSlaTokenRequest) -> bytes:
        """Makes a token worthless."""
        row = await self._tokens.revoke(caller(), self._fields.required_id("token_id", request.token_id))
        return rpc.RevokeSlaTokenResponse(token=_token(row)).SerializeToString()

    async def RotateSlaToken(self, request: rpc.RotateSlaTokenRequest) -> bytes:
        """Gives a token a new secret."""
        grace_ms = duration_ms(request, "grace") or 0
        if grace_ms > MAX_GRACE_MS:
            raise InvalidField("grace", "OUT_OF_RANGE", f"at most {MAX_GRACE_MS // DAY_MS} days")
        token_id = self._fields.required_id("token_id", request.token_id)
        row, secret = await self._tokens.rotate(caller(), token_id, grace_ms)
        return rpc.RotateSlaTokenResponse(token=_token(row), secret=secret).SerializeToString()

    def _tenants(self, request: rpc.CreateSlaTokenRequest) -> Tenants:
        if bool(request.tenant_ids) == request.all_tenants:
            raise InvalidField("tenant_ids", "REQUIRED", "give tenant_ids or all_tenants, not both")
        if request.all_tenants:
            return None
        at_most("tenant_ids", request.tenant_ids, MAX_TENANTS)
        return frozenset(
            self._fields.required_id(f"tenant_ids[{place}]", tenant_id)
            for place, tenant_id in enumerate(request.tenant_ids)
        )


def _token(row: TokenRow) -> rpc.SlaToken:
    tenants = tenants_of(row)
    message = rpc.SlaToken(
        token_id=row.token_id,
        name=row.name,
        role=rpc.SlaRole.ValueType(row.role),
        tenant_ids=sorted(tenants or ()),
        all_tenants=tenants is None,
    )
    set_instants(
        message,
        created_at=row.created_at,
        expires_at=row.expires_at,
        rotated_at=row.rotated_at,
        revoked_at=row.revoked_at,
    )
    return message
