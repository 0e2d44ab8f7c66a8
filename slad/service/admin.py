"""The SlaAdmin service: the operator's side."""

from __future__ import annotations

from slad_client.v1 import admin_pb2 as rpc

from slad.delivery.consumers import Consumers, ConsumerView
from slad.engines.queries import QueryThread
from slad.service import requests
from slad.service.access import caller


class SlaAdmin:
    """The methods of `slad.v1.SlaAdmin`."""

    def __init__(self, consumers: Consumers, queries: QueryThread) -> None:
        self._consumers = consumers
        self._queries = queries

    async def ListSlaConsumers(self, request: rpc.ListSlaConsumersRequest) -> bytes:
        """All consumers, and how far behind they are."""
        who = caller()
        views = await self._consumers.views(self._queries.events_owed)
        own = (view for view in views if who.covers(view.tenants))
        return rpc.ListSlaConsumersResponse(consumers=map(_consumer, own)).SerializeToString()

    async def RemoveSlaConsumer(self, request: rpc.RemoveSlaConsumerRequest) -> bytes:
        """Forgets a consumer."""
        await self._consumers.remove(requests.required_id("consumer", request.consumer), caller())
        return b""


def _consumer(view: ConsumerView) -> rpc.SlaConsumer:
    message = rpc.SlaConsumer(
        consumer=view.name,
        acknowledged_sequence=view.acknowledged,
        head_sequence=view.head,
        lag=view.lag,
        streams=view.streams,
    )
    message.created_at.FromMilliseconds(view.created_at)
    if view.acknowledged_at is not None:
        message.acknowledged_at.FromMilliseconds(view.acknowledged_at)
    return message
