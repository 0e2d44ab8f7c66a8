"""The SlaBackend service: each RPC as request → command or query → reply.

Commands go to the engine; queries read what is committed. Replies of commands are made before the commit and
sent after it (see `SlaEngine`), so the methods return serialized messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from slad_client.v1 import attainment_pb2
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.errors import InvalidField, Refusal, Refused
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub, LoggedEvent
from slad.engine.catalog import Catalog
from slad.engine.commands import Command, Render
from slad.engine.engine import SlaEngine
from slad.engine.outgoing import Outgoing
from slad.engine.queries import LoopQueries, Queries, StatusPage
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service import replies
from slad.service.access import attributed, caller, holder
from slad.service.attainment import AttainmentCalls
from slad.service.bulk import Bulk
from slad.service.bulk_retarget import retarget_trackings
from slad.service.calls import CallMeters
from slad.service.execution import Execution
from slad.service.export import export
from slad.service.fields import instant, sequence
from slad.service.heavy_steps import HEAVY_BYTES, HeavySteps
from slad.service.limits import MAX_REPLY_BYTES, MIB
from slad.service.preview import PreviewedTicket
from slad.service.requests import RequestReader, WatchQuery

T = TypeVar("T")

STATUSES_AT_ONCE: Final = 128
"""Statuses that are made without a turn for other callers' queries: some 8 ms, of tickets with few facts."""


def _statuses(
    tenant_id: str, ticket_ids: list[str], now: int, queries: Queries
) -> tuple[StatusPage, list[bytes]]:
    """How some tickets of a tenant stand, and the serialized SlaStatus of each of the answers."""
    page = queries.statuses(tenant_id, ticket_ids, now)
    return page, list(map(replies.sla_status, page.answers))


class SlaBackend:
    """The methods of `slad.v1.SlaBackend`. They raise InvalidField and Refused; `server` makes statuses."""

    def __init__(
        self,
        requests: RequestReader,
        engine: SlaEngine,
        queries: LoopQueries,
        slow_queries: QueryThread,
        hub: EventHub,
        consumers: Consumers,
        bulk: Bulk,
        attainment: AttainmentCalls,
        execution: Execution,
        catalog: Catalog,
        clock: TimeSource,
        meters: CallMeters,
        outgoing: Outgoing,
        steps: HeavySteps,
    ) -> None:
        self._requests = requests
        self._engine = engine
        self._queries = queries
        self._slow_queries = slow_queries
        self._hub = hub
        self._consumers = consumers
        self._bulk = bulk
        self._attainment = attainment
        self._execution = execution
        self._catalog = catalog
        self._clock = clock
        self._meters = meters
        self._steps = steps
        self._outgoing = outgoing

    # --- commands

    async def StartSlaTracking(self, request: rpc.StartSlaTrackingRequest) -> bytes:
        """Starts the clocks of a ticket, unless it has some (M1)."""
        command = await self._read(self._requests.start, request, self._clock.now())
        return await self._submit(command, replies.STARTED.whole)

    async def PauseSla(self, request: rpc.PauseSlaRequest) -> bytes:
        """Stops both clocks of a ticket (M2)."""
        return await self._submit(self._requests.pause(request), replies.PAUSED.whole)

    async def ResumeSla(self, request: rpc.ResumeSlaRequest) -> bytes:
        """Lets them count on (M2)."""
        return await self._submit(self._requests.resume(request), replies.RESUMED.whole)

    async def CompleteSla(self, request: rpc.CompleteSlaRequest) -> bytes:
        """Closes the response clock, or both and the tracking; says whether the target was met (M3)."""
        command = self._requests.complete(request)
        completed = replies.Completed(command)
        body = await self._submit(command, completed)
        if completed.differs_on:
            self._meters.verdict_differed(completed.differs_on)
        return body

    async def RecordSlaMessage(self, request: rpc.RecordSlaMessageRequest) -> bytes:
        """Records that the customer or an agent wrote (K2)."""
        return await self._submit(self._requests.message(request), replies.RECORDED.whole)

    async def AssignSla(self, request: rpc.AssignSlaRequest) -> bytes:
        """Records who has the ticket from now on (K2)."""
        return await self._submit(self._requests.assign(request), replies.ASSIGNED.whole)

    async def CancelSla(self, request: rpc.CancelSlaRequest) -> bytes:
        """Ends a tracking without a verdict (M4)."""
        return await self._submit(self._requests.cancel(request), replies.CANCELLED.whole)

    async def RetargetSla(self, request: rpc.RetargetSlaRequest) -> bytes:
        """Puts a live tracking under new terms (M5)."""
        command = await self._read(self._requests.retarget, request, self._clock.now())
        return await self._submit(command, replies.RETARGETED.whole)

    async def ReopenSla(self, request: rpc.ReopenSlaRequest) -> bytes:
        """Lets an ended ticket run again, as its next generation (M5)."""
        return await self._submit(self._requests.reopen(request), replies.REOPENED.whole)

    async def ExecuteSla(
        self, stream: AsyncIterator[rpc.ExecuteSlaRequest], _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """Many commands, each as if it were sent alone (X1)."""
        async with aclosing(self._execution.replies(stream, caller())) as bodies:
            async for reply in bodies:
                yield reply

    async def AnnotateSla(self, request: attainment_pb2.AnnotateSlaRequest) -> bytes:
        """Says why a cycle was missed, and whether it is to count (A3)."""
        command = self._attainment.annotation(request)
        return await self._submit(command, replies.annotated)

    async def _read(self, read: Callable[..., T], request: Message, *arguments: Any) -> T:
        """What a request asks for. A large one is read beside the loop: it may state 10,000 holidays."""
        is_large = request.ByteSize() >= HEAVY_BYTES
        return await self._steps.beside(read, request, *arguments) if is_large else read(request, *arguments)

    async def _submit(self, command: Command, render: Render) -> bytes:
        return await self._engine.submit(attributed(command), render)

    # --- queries

    async def GetSlaStatus(self, request: rpc.GetSlaStatusRequest) -> bytes:
        """How a ticket stands now (T1, T2)."""
        query = self._requests.ticket_query(request)
        now = self._clock.now()
        if (answer := self._queries.status(*query, now)) is not None:
            return replies.with_status(rpc.GetSlaStatusResponse(), answer)
        return await self._dear(
            lambda queries: replies.with_status(rpc.GetSlaStatusResponse(), queries.status(*query, now))
        )

    async def BatchGetSlaStatus(self, request: rpc.BatchGetSlaStatusRequest) -> bytes:
        """How some tickets of a tenant stand now (X5)."""
        tenant_id, ticket_ids = self._requests.batch_query(request)
        rest, statuses, size = rpc.BatchGetSlaStatusResponse(), list[bytes](), 0
        for begin in range(0, len(ticket_ids), STATUSES_AT_ONCE):
            some, now = ticket_ids[begin : begin + STATUSES_AT_ONCE], self._clock.now()
            # Beside the event loop: each ticket may have thousands of facts.
            page, bodies = await self._slow_queries.run(partial(_statuses, tenant_id, some, now), holder())
            size += sum(map(len, bodies))
            if size > MAX_REPLY_BYTES:
                text = f"more than {MAX_REPLY_BYTES // MIB} MiB of statuses; ask for fewer tickets at once"
                raise Refused(Refusal.RESOURCE_EXHAUSTED, "REPLY_TOO_LARGE", text)
            statuses += bodies
            rest.not_found.extend(page.not_found)
            rest.unreadable.extend(page.unreadable)
        return replies.listed(type(rest), "statuses", statuses) + rest.SerializeToString()

    async def ListSlaTrackings(self, request: rpc.ListSlaTrackingsRequest) -> bytes:
        """The trackings that match, page by page, in the order of their creation."""
        query, now = self._requests.list_query(request, caller()), self._clock.now()
        return await self._dear(lambda queries: replies.page(queries.page(*query, now)))

    async def GetSlaTimeline(self, request: rpc.GetSlaTimelineRequest) -> bytes:
        """Why a ticket stands as it does: the stretches of its life, its events, and on demand its audit."""
        query, now = self._requests.ticket_query(request), self._clock.now()
        until, with_audit = instant(request, "until"), request.include_audit
        clock = self._requests.fields.optional_id("clock", request.clock)
        return await self._dear(
            lambda queries: replies.life(
                queries.timeline(*query, now, until, clock=clock, with_audit=with_audit)
            )
        )

    async def PreviewSla(self, request: rpc.PreviewSlaRequest) -> bytes:
        """What the clocks of such a ticket would say. Nothing is stored."""
        asked = await self._read(self._requests.preview, request, self._clock.now())
        return await self._dear(lambda _: PreviewedTicket(asked).reply().SerializeToString())

    async def _dear(self, query: Callable[[Queries], bytes]) -> bytes:
        """What may take long, its reply included: beside the event loop, in the caller's own line."""
        return await self._slow_queries.run(query, holder())

    # --- attainment

    async def ReportSla(self, request: attainment_pb2.ReportSlaRequest) -> bytes:
        """What share of a tenant's promises was kept in a period (A4, A5)."""
        return await self._attainment.report(request)

    async def UnfoldSlaReport(
        self, request: attainment_pb2.UnfoldSlaReportRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """The cycles that a report counts (A4)."""
        async for reply in self._attainment.unfold(request):
            yield reply

    async def ForecastSla(self, request: attainment_pb2.ForecastSlaRequest) -> bytes:
        """What is overdue, and what will be if nothing changes (A6)."""
        return await self._attainment.forecast(request)

    # --- bulk

    async def ImportSlaTrackings(
        self, stream: AsyncIterator[rpc.ImportSlaTrackingsRequest], _: grpc.aio.ServicerContext[Any, Any]
    ) -> bytes:
        """Takes over the open tickets of another system."""
        return (await self._bulk.take(stream, caller())).SerializeToString()

    async def ExportSlaTrackings(
        self, request: rpc.ExportSlaTrackingsRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """The live trackings, as an import takes them."""
        tenants = caller().narrowed(self._requests.fields.optional_id("tenant_id", request.tenant_id))
        async for reply in export(self._slow_queries, tenants):
            yield reply

    async def RetargetSlaTrackings(
        self, request: rpc.RetargetSlaTrackingsRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """Changes terms of many live trackings, each on its own, or tells what would become of them (M9)."""
        asked = await self._read(self._requests.retarget_trackings, request)
        async for reply in retarget_trackings(asked, self._engine, self._slow_queries, self._clock):
            yield reply

    async def ReconcileSlaTrackings(
        self,
        stream: AsyncIterator[rpc.ReconcileSlaTrackingsRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> bytes:
        """Compares a PSA's list of open tickets with slad's."""

        async def viewed() -> None:
            await context.send_initial_metadata(())

        return (await self._bulk.reconcile(stream, viewed)).SerializeToString()

    # --- events

    async def WatchSlaEvents(
        self, request: rpc.WatchSlaEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """The events from a place on, old ones first and then as they are committed (E2)."""
        who, require = caller(), self._outgoing.require
        require()
        watch = self._requests.watch(request, who)

        def wanted(event: LoggedEvent) -> bool:
            return self._wanted(watch, event)

        if watch.after is not None and watch.after > self._hub.head:
            raise InvalidField("after_sequence", "BEYOND_HEAD", f"the newest event is {self._hub.head}")
        if watch.consumer:
            pages = self._consumers.stream(watch.consumer, watch.after, wanted, who.tenants, require)
        else:
            pages = self._hub.follow(self._hub.head if watch.after is None else watch.after, require)
        # The caller learns that it is heard, and from where, before there is anything to hear.
        lineage = self._hub.lineage
        await context.send_initial_metadata(
            (
                ("slad-head-sequence", str(self._hub.head)),
                ("slad-instance", lineage.instance),
                ("slad-epoch", str(lineage.epoch)),
            )
        )
        async with aclosing(pages):
            async for events in pages:
                bodies = [event.body for event in events if watch.consumer or wanted(event)]
                for reply in replies.frame_events(bodies):
                    require()
                    yield reply

    async def AckSlaEvents(self, request: rpc.AckSlaEventsRequest) -> bytes:
        """Notes that a consumer has done with all events up to a sequence (E2)."""
        fields = self._requests.fields
        consumer = fields.consumer(fields.required_id("consumer", request.consumer))
        await self._consumers.acknowledge(consumer, sequence("sequence", request.sequence), caller().tenants)
        return b""

    def _wanted(self, watch: WatchQuery, event: LoggedEvent) -> bool:
        if watch.types and event.type not in watch.types:
            return False
        return watch.tenants is None or self._catalog.tenant_id(event.tenant_key) in watch.tenants
