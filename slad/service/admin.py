"""The SlaAdmin service: the operator's side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField
from slad.delivery.consumers import Consumers, ConsumerView
from slad.delivery.sinks.sinks import Sinks, SinkView
from slad.engine.event_codec import set_instants, set_ms
from slad.engine.query_thread import QueryThread
from slad.service.access import caller
from slad.service.fields import Fields, at_most, page_size, sequence
from slad.service.limits import DEFAULT_PAGE_SIZE, MAX_REPLY_BYTES
from slad.storage.rows import ParkedEventRow

MAX_PARKED_PAGE: Final = 500
MAX_SEQUENCES: Final = 10_000


class SlaAdmin:
    """The methods of `slad.v1.SlaAdmin`."""

    def __init__(self, fields: Fields, consumers: Consumers, queries: QueryThread, sinks: Sinks) -> None:
        self._fields = fields
        self._consumers = consumers
        self._queries = queries
        self._sinks = sinks

    async def ListSlaConsumers(self, request: rpc.ListSlaConsumersRequest) -> bytes:
        """All consumers, and how far behind they are."""
        who = caller()
        views = await self._consumers.views(self._queries.events_owed)
        own = (view for view in views if who.covers(view.tenants))
        return rpc.ListSlaConsumersResponse(consumers=map(_consumer, own)).SerializeToString()

    async def RemoveSlaConsumer(self, request: rpc.RemoveSlaConsumerRequest) -> bytes:
        """Forgets a consumer."""
        await self._consumers.remove(self._fields.required_id("consumer", request.consumer), caller())
        return b""

    async def ListSlaSinks(self, request: rpc.ListSlaSinksRequest) -> bytes:
        """How every sink stands."""
        return rpc.ListSlaSinksResponse(sinks=map(_sink, await self._sinks.views())).SerializeToString()

    async def ListParkedSlaEvents(self, request: rpc.ListParkedSlaEventsRequest) -> bytes:
        """Page by page, in order."""
        name = self._fields.required_id("sink", request.sink)
        after = sequence("after_sequence", request.after_sequence)
        size = page_size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PARKED_PAGE)
        rows = await self._sinks.parked(name, after, size + 1)
        reply, length = rpc.ListParkedSlaEventsResponse(), 0
        for row in rows[:size]:
            length += len(row.body) + len(row.reason)
            if length > MAX_REPLY_BYTES and reply.events:
                break
            reply.events.append(_parked(row))
        reply.more = len(rows) > len(reply.events)
        return reply.SerializeToString()

    async def ReplayParkedSlaEvents(self, request: rpc.ReplayParkedSlaEventsRequest) -> bytes:
        """Notes down that they are to be delivered again."""
        count = await self._sinks.replay(self._fields.required_id("sink", request.sink), _chosen(request))
        return rpc.ReplayParkedSlaEventsResponse(events=count).SerializeToString()

    async def DiscardParkedSlaEvents(self, request: rpc.DiscardParkedSlaEventsRequest) -> bytes:
        """Gives them up."""
        count = await self._sinks.discard(self._fields.required_id("sink", request.sink), _chosen(request))
        return rpc.DiscardParkedSlaEventsResponse(events=count).SerializeToString()


def _chosen(
    request: rpc.ReplayParkedSlaEventsRequest | rpc.DiscardParkedSlaEventsRequest,
) -> Sequence[int] | None:
    """The sequences that are meant; None: all."""
    if request.all and request.sequences:
        raise InvalidField("sequences", "CONTRADICTORY", "give either all or sequences")
    if not request.all and not request.sequences:
        raise InvalidField("sequences", "REQUIRED", "give sequences, or all")
    at_most("sequences", request.sequences, MAX_SEQUENCES)
    return None if request.all else tuple(dict.fromkeys(request.sequences))


def _consumer(view: ConsumerView) -> rpc.SlaConsumer:
    message = rpc.SlaConsumer(
        consumer=view.name,
        acknowledged_sequence=view.acknowledged,
        head_sequence=view.head,
        lag=view.lag,
        streams=view.streams,
    )
    set_instants(
        message,
        created_at=view.created_at,
        acknowledged_at=view.acknowledged_at,
        behind_since=view.behind_since,
    )
    return message


def _sink(view: SinkView) -> rpc.SlaSink:
    tally = view.tally
    message = rpc.SlaSink(
        sink=view.name,
        type=view.kind,
        target=view.target,
        consumer=view.consumer,
        state=rpc.SlaSinkState.ValueType(view.state),
        acknowledged_sequence=view.acknowledged,
        lag=view.lag,
        delivered=tally.delivered,
        failures=tally.failures,
        parked=view.parked,
        last_error=tally.last_error,
    )
    set_instants(
        message,
        last_failed_at=tally.last_failed_at,
        last_delivered_at=tally.last_delivered_at,
        next_attempt_at=tally.next_attempt_at,
    )
    return message


def _parked(row: ParkedEventRow) -> rpc.ParkedSlaEvent:
    message = rpc.ParkedSlaEvent(
        event=pb.SlaEvent.FromString(row.body),
        attempts=row.attempts,
        reason=row.reason,
        replaying=bool(row.released),
    )
    set_ms(message.parked_at, row.parked_at)
    return message
