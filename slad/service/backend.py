"""The SlaBackend service: each RPC as request → command or query → reply.

Commands go to the engine; queries read what is committed. Replies of commands are made before the commit and
sent after it (see `SlaEngine`), so the methods return serialized messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Protocol

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.calendar import compile_calendar
from slad.core.errors import InvalidField, Refusal, Refused
from slad.core.facts import fold
from slad.core.reading import read
from slad.core.tracking import Tracking
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub
from slad.engines.commands import Answer
from slad.engines.directory import EVERY_HOUR, Directory
from slad.engines.protocol import SlaEngine
from slad.engines.queries import Queries, QueryThread
from slad.engines.time_source import TimeSource
from slad.service import replies, requests


class SlaBackend:
    """The methods of `slad.v1.SlaBackend`. They raise InvalidField and Refused; `server` makes statuses."""

    def __init__(
        self,
        engine: SlaEngine,
        queries: Queries,
        slow_queries: QueryThread,
        hub: EventHub,
        consumers: Consumers,
        directory: Directory,
        clock: TimeSource,
    ) -> None:
        self._engine = engine
        self._queries = queries
        self._slow_queries = slow_queries
        self._hub = hub
        self._consumers = consumers
        self._directory = directory
        self._clock = clock

    # --- commands

    async def StartSlaTracking(self, request: rpc.StartSlaTrackingRequest) -> bytes:
        """M1."""
        command = requests.start(request, self._clock.now())
        return await self._engine.submit(command, _started)

    async def PauseSla(self, request: rpc.PauseSlaRequest) -> bytes:
        """M2."""
        return await self._engine.submit(requests.pause(request), _changed(rpc.PauseSlaResponse))

    async def ResumeSla(self, request: rpc.ResumeSlaRequest) -> bytes:
        """M2."""
        return await self._engine.submit(requests.resume(request), _changed(rpc.ResumeSlaResponse))

    async def CompleteSla(self, request: rpc.CompleteSlaRequest) -> bytes:
        """M3."""
        command = requests.complete(request)

        def completed(answer: Answer) -> bytes:
            clock = answer.reading.clock(command.phase)
            met = clock.met if clock else None
            reply = rpc.CompleteSlaResponse(
                changed=answer.changed, met=met is not False, status=replies.sla_status(answer)
            )
            reply.met_differs = met is not None and command.reported_met not in (None, met)
            return reply.SerializeToString()

        return await self._engine.submit(command, completed)

    async def CancelSla(self, request: rpc.CancelSlaRequest) -> bytes:
        """M4."""
        return await self._engine.submit(requests.cancel(request), _changed(rpc.CancelSlaResponse))

    async def RetargetSla(self, request: rpc.RetargetSlaRequest) -> bytes:
        """M5."""
        return await self._engine.submit(requests.retarget(request), _changed(rpc.RetargetSlaResponse))

    async def ReopenSla(self, request: rpc.ReopenSlaRequest) -> bytes:
        """M5."""
        return await self._engine.submit(requests.reopen(request), _changed(rpc.ReopenSlaResponse))

    # --- queries

    async def GetSlaStatus(self, request: rpc.GetSlaStatusRequest) -> bytes:
        """T1, T2."""
        query = requests.ticket_query(request)
        answer = self._queries.status(*query, self._clock.now())
        return rpc.GetSlaStatusResponse(status=replies.sla_status(answer)).SerializeToString()

    async def ListSlaTrackings(self, request: rpc.ListSlaTrackingsRequest) -> bytes:
        """Page by page, in the order of creation."""
        query, now = requests.list_query(request), self._clock.now()
        page = await self._slow_queries.run(lambda queries: queries.page(*query, now))
        return rpc.ListSlaTrackingsResponse(
            trackings=[replies.sla_status(answer) for answer in page.trackings],
            next_page_token="" if page.next_key is None else requests.page_token(page.next_key),
        ).SerializeToString()

    async def GetSlaTimeline(self, request: rpc.GetSlaTimelineRequest) -> bytes:
        """Why a ticket stands as it does."""
        query, now = requests.ticket_query(request), self._clock.now()
        life = await self._slow_queries.run(lambda queries: queries.timeline(*query, now))
        return rpc.GetSlaTimelineResponse(
            status=replies.sla_status(life.answer),
            segments=map(replies.timeline_segment, life.segments),
            events=(pb.SlaEvent.FromString(event.body) for event in life.events),
        ).SerializeToString()

    async def PreviewSla(self, request: rpc.PreviewSlaRequest) -> bytes:
        """What the clocks of such a ticket would say."""
        asked = requests.preview(request, self._clock.now())
        offer = asked.terms
        if offer.schedule is None:
            calendar = self._directory.calendar(EVERY_HOUR)
        else:
            calendar = compile_calendar(offer.schedule.schedule)
        terms = offer.under(EVERY_HOUR)
        tracking = Tracking(terms, asked.started_at, asked.facts, accounting=asked.accounting.value)
        reading = read(tracking, fold(asked.facts), calendar, asked.as_of)
        for clock in reading.clocks:
            if clock.due_at is None:
                raise offer.out_of_range(clock.phase)
        response, resolution = replies.preview(reading, tracking)
        return rpc.PreviewSlaResponse(response=response, resolution=resolution).SerializeToString()

    # --- bulk

    async def ImportSlaTrackings(
        self, requests_in: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> bytes:
        """Not yet."""
        raise _not_yet("ImportSlaTrackings")

    async def ReconcileSlaTrackings(
        self, requests_in: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> bytes:
        """Not yet."""
        raise _not_yet("ReconcileSlaTrackings")

    # --- events

    async def WatchSlaEvents(
        self, request: rpc.WatchSlaEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """E2."""
        watch = requests.watch(request)
        # The caller learns that it is heard before there is anything to hear.
        await context.send_initial_metadata(())
        if watch.consumer:
            pages = self._consumers.stream(watch.consumer, watch.after)
        else:
            pages = self._hub.follow(self._hub.head if watch.after is None else watch.after)
        async with aclosing(pages):
            async for events in pages:
                bodies = [event.body for event in events if self._wanted(watch, event.type, event.tenant_key)]
                if bodies:
                    yield replies.frame_events(bodies)

    async def AckSlaEvents(self, request: rpc.AckSlaEventsRequest) -> bytes:
        """E2."""
        consumer = requests.required_id("consumer", request.consumer)
        if request.sequence < 0:
            raise InvalidField("sequence", "NEGATIVE", "sequences are counted from 1")
        await self._consumers.acknowledge(consumer, request.sequence)
        return b""

    def _wanted(self, watch: requests.Watch, event_type: int, tenant_key: int) -> bool:
        if watch.types and event_type not in watch.types:
            return False
        return not watch.tenant_id or self._directory.tenant_id(tenant_key) == watch.tenant_id


class _ChangeReply(Protocol):
    """The replies that say whether anything changed, and how the ticket stands."""

    def __init__(self, *, changed: bool, status: pb.SlaStatus) -> None: ...
    def SerializeToString(self) -> bytes: ...


def _changed(reply: type[_ChangeReply]) -> Callable[[Answer], bytes]:
    return lambda answer: reply(changed=answer.changed, status=replies.sla_status(answer)).SerializeToString()


def _not_yet(name: str) -> Refused:
    return Refused(Refusal.UNIMPLEMENTED, "NOT_IMPLEMENTED", f"{name} is not implemented yet")


def _started(answer: Answer) -> bytes:
    return rpc.StartSlaTrackingResponse(
        created=answer.changed, status=replies.sla_status(answer)
    ).SerializeToString()
