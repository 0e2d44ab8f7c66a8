"""The SlaPassThrough service: the operator's side of Temporal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from slad_client.v1 import pass_through_pb2 as rpc

from slad.core.errors import Refusal, Refused
from slad.core.status import TrackingState
from slad.core.tracking import Engine
from slad.engine.event_codec import set_instants, set_ms
from slad.engine.query_thread import QueryThread
from slad.service.fields import Fields, enum, page_key, page_token

if TYPE_CHECKING:  # it imports temporalio, which only those have who use Temporal
    from slad.temporal.passthrough.control import TemporalPassThrough

DEFAULT_PAGE: Final = 200
"""Trackings of one page of a handover; one transaction moves them."""


class SlaPassThrough:
    """The methods of `slad.v1.SlaPassThrough`. `pass_through` is None where slad runs without Temporal."""

    def __init__(
        self, fields: Fields, pass_through: TemporalPassThrough | None, queries: QueryThread
    ) -> None:
        self._fields = fields
        self._pass_through = pass_through
        self._queries = queries

    async def GetSlaPassThrough(self, request: rpc.GetSlaPassThroughRequest) -> bytes:
        """How things stand."""
        reply = rpc.GetSlaPassThroughResponse()
        if self._pass_through is not None:
            view = await self._queries.read(self._pass_through.view)
            reply = rpc.GetSlaPassThroughResponse(
                enabled=True,
                engine=view.mode,
                address=view.address,
                namespace=view.namespace,
                task_queue=view.task_queue,
                reachable=not view.reason,
                reason=view.reason,
                message=view.message,
                waiting=view.waiting,
                carried=view.carried,
                late=view.late,
                parked=view.parked,
            )
            set_instants(reply, oldest_waiting_at=view.oldest_waiting_at)
            for row in view.parked_first:
                parked = reply.parked_workflows.add(workflow_id=row.workflow_id, reason=row.reason)
                set_ms(parked.parked_at, row.parked_at)
        return reply.SerializeToString()

    async def HandOverSlaTrackings(self, request: rpc.HandOverSlaTrackingsRequest) -> bytes:
        """One page of a handover."""
        to = enum("to", request.to, Engine)
        tenant_id = self._fields.optional_id("tenant_id", request.tenant_id)
        size = self._fields.page_size(request.page_size, DEFAULT_PAGE)
        after = page_key(request.page_token)
        pass_through = self._enabled()
        tenants = frozenset({tenant_id}) if tenant_id else None
        keys, next_key = await self._queries.run(
            lambda queries: queries.keys(tenants, TrackingState.ACTIVE, after, size)
        )
        moved, refused = await pass_through.hand_over(to, keys)
        reply = rpc.HandOverSlaTrackingsResponse(moved=moved)
        for tenant, ticket_id, error in refused:
            reply.refused.add(tenant_id=tenant, ticket_id=ticket_id, reason=error.reason)
        reply.next_page_token = page_token(next_key)
        return reply.SerializeToString()

    async def ReleaseSlaWorkflows(self, request: rpc.ReleaseSlaWorkflowsRequest) -> bytes:
        """Goes on with parked workflows."""
        released = await self._enabled().release(request.workflow_id or None)
        return rpc.ReleaseSlaWorkflowsResponse(released=released).SerializeToString()

    def _enabled(self) -> TemporalPassThrough:
        if self._pass_through is None:
            message = "slad runs without Temporal; set `engine` and the `temporal` table of its configuration"
            raise Refused(Refusal.FAILED_PRECONDITION, "TEMPORAL_OFF", message)
        return self._pass_through
