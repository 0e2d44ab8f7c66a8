"""What a daemon is made of: every floor put together, before anything of it runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.descriptor import ServiceDescriptor

from slad.config.addresses import is_local
from slad.config.settings import Settings
from slad.core.metrics import ClockLabels, MetricSource
from slad.daemon.descriptors import within_descriptors
from slad.daemon.fence.lease import Lease
from slad.delivery.consumers import Consumers
from slad.delivery.delivery_metrics import DeliveryMetrics
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.delivery.sinks.sink_metrics import SinkMetrics
from slad.delivery.sinks.sinks import Sinks
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.census import Census
from slad.engine.engine import SlaEngine
from slad.engine.engine_metrics import EngineMetrics
from slad.engine.ledger_fill import fill_ledger
from slad.engine.listeners import Listeners
from slad.engine.outgoing import Outgoing
from slad.engine.overdue_metrics import OverdueMetrics
from slad.engine.queries import LoopQueries, Queries
from slad.engine.query_thread import QueryThread
from slad.engine.storage_metrics import StorageMetrics
from slad.engine.ticket_metrics import COUNTED_EVERY_S, TicketMetrics
from slad.engine.time_source import TimeSource
from slad.service.access import Gate
from slad.service.admin import SlaAdmin
from slad.service.attainment import AttainmentCalls
from slad.service.backend import SlaBackend
from slad.service.bulk import Bulk
from slad.service.calls import CallLog, CallMeters
from slad.service.channelz import CHANNELZ, Channelz
from slad.service.debug import SlaDebug
from slad.service.execution import Execution
from slad.service.fields import Fields
from slad.service.guard import Bounds
from slad.service.pass_through import SlaPassThrough
from slad.service.requests import RequestReader
from slad.service.server import (
    SLA_ADMIN,
    SLA_BACKEND,
    SLA_DEBUG,
    SLA_PASS_THROUGH,
    SLA_TOKENS,
    SLA_WORKER,
    TEST_CLOCK,
    SladServer,
)
from slad.service.test_clock import TestClock
from slad.service.token_admin import SlaTokens
from slad.service.token_metrics import TokenMetrics
from slad.service.tokens import Tokens
from slad.service.views import Views
from slad.service.worker import SlaWorker
from slad.storage.checkpoint import Checkpointer
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.open_files import OpenFiles
from slad.storage.rows import TokenRow
from slad.storage.store import Store
from slad.storage.unreadable import UnreadableValues
from slad.temporal.passthrough.lifecycle import reach_temporal
from slad.temporal.passthrough.temporal_metrics import TemporalMetrics

if TYPE_CHECKING:  # they load what only those have who ask for it
    from slad.console.server import Console
    from slad.service.tracing import Tracing
    from slad.temporal.passthrough.control import TemporalPassThrough, TemporalSide


class Connections:
    """The connections to the database: the one that writes, and one for each who must not wait for another.

    While `lease`, if there is one, is not held, the writer writes nothing and `outgoing` lets nothing out.

    Raises StorageError.
    """

    def __init__(self, data: DataDirectory, lease: Lease | None) -> None:
        self.data = data
        self.unreadable = UnreadableValues()
        writer = data.writer()
        checkpointer = None if data.external_checkpoints else Checkpointer(writer, data.checkpointer())
        self.outgoing = Outgoing(lease.check) if lease is not None else Outgoing()
        checks = [*([lease.check] if lease is not None else []), OpenFiles(data.database).check]
        self.journal = Journal(writer, checkpointer, checks, self.unreadable)
        self.catalog_connection = self.store()
        self.status_connection = self.store()
        self.outbox_connection = self.store().temporal()
        self.slow_queries = QueryThread(self.store())

    def store(self) -> Store:
        """A further connection that reads."""
        return Store(self.data.reader(), self.unreadable)

    def close(self) -> None:
        """Closes them, the writer last: it folds the WAL into the database."""
        self.slow_queries.close()
        self.outbox_connection.close()
        self.status_connection.close()
        self.catalog_connection.close()
        self.journal.close()


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is to be started, told of, and stopped."""

    engine: SlaEngine
    hub: EventHub
    execution: Execution
    sinks: Sinks
    pass_through: TemporalPassThrough | None
    """None: no ticket is Temporal's."""
    retention: Retention
    fill_ledger: Callable[[], Coroutine[None, None, None]]
    """Fills the ledger for trackings from before it; to be run beside everything else."""
    server: SladServer
    console: Console | None
    """None: there is none."""
    metrics: list[MetricSource]
    census: Census
    """Counts for the metrics."""
    reload_tokens: Callable[[], None]


async def assemble(
    settings: Settings,
    connections: Connections,
    clock: TimeSource,
    tracing: Tracing | None,
    notice: Callable[[Exception], None],
    turn_begins: Callable[[], None],
) -> Assembly:
    """Puts a daemon together. `notice` is told of errors that nobody foresaw, `turn_begins` of every turn.

    Raises PassThroughError, StorageError.
    """
    data, journal, outgoing = connections.data, connections.journal, connections.outgoing
    addresses = [*settings.listen, *filter(None, [settings.console.listen])]
    limits = within_descriptors(settings.limits, len(addresses))
    names, slow = connections.catalog_connection, connections.slow_queries
    catalog = Catalog(names)
    lineage = names.lineage()
    hub = EventHub(journal.counters().sequence, slow.events_after, names.sequence_gap(), lineage)
    outbox = connections.outbox_connection
    temporal = await reach_temporal(settings.temporal, journal.store.temporal(), outbox, lineage, outgoing)
    clock_labels = ClockLabels(settings.metrics.clocks)

    def writable_changes(writable: bool) -> None:
        server.set_writable(writable)
        hub.look_up()  # those who watch one that may not serve have to hear it

    engine = SlaEngine(
        journal,
        catalog,
        clock,
        temporal.carrier if temporal else LocalCarrier(),
        Listeners(
            events_committed=hub.publish,
            turn_begins=turn_begins,
            writable_changes=writable_changes,
            observer=tracing,
        ),
        max_waiting=limits.waiting_commands,
        ledger_attributes=settings.ledger.attributes,
        clock_labels=clock_labels,
    )
    pass_through = _pass_through(temporal, engine, names, clock) if temporal else None
    consumers = Consumers(names.consumers(), engine, hub, clock, limits.consumer_streams)
    sinks = Sinks(settings.sinks, consumers, hub, engine, slow, catalog, clock, outgoing)

    def secrets_changed() -> None:
        gate.end_streams()

    tokens = _tokens(names, engine, clock, secrets_changed)
    gate = Gate(tokens, Queries(names, catalog).tenant_of, is_exposed=_is_exposed(settings))
    bounds, fields = Bounds(limits), Fields(limits.requests)
    views = Views(connections.store, lambda: data.usage().wal, limits.wal_bytes)
    requests = RequestReader(fields)
    meters, calls = CallMeters(clock_labels), CallLog(settings.log.slow_calls_ms)
    execution = Execution(requests, engine, clock, gate, meters, calls, bounds.steps, notice, tracing)
    services: dict[ServiceDescriptor, object] = {
        SLA_BACKEND: SlaBackend(
            requests,
            engine,
            LoopQueries(connections.status_connection, catalog),
            slow,
            hub,
            consumers,
            Bulk(requests, engine, views, bounds.steps, clock),
            AttainmentCalls(fields, engine, slow, clock),
            execution,
            catalog,
            clock,
            meters,
            outgoing,
            bounds.steps,
        ),
        SLA_ADMIN: SlaAdmin(fields, consumers, slow, sinks),
        SLA_DEBUG: SlaDebug(engine, hub, consumers, slow, data, clock, meters),
        SLA_TOKENS: SlaTokens(fields, tokens),
        SLA_WORKER: SlaWorker(fields, engine),
        SLA_PASS_THROUGH: SlaPassThrough(fields, pass_through, slow),
        CHANNELZ: Channelz(),
    }
    if clock.is_virtual:
        services[TEST_CLOCK] = TestClock(pass_through or engine, clock)
    census = Census(slow, None, clock.now, every_s=COUNTED_EVERY_S)
    server = SladServer(services, gate, bounds, notice, meters, calls, tracing)
    return Assembly(
        engine,
        hub,
        execution,
        sinks,
        pass_through,
        Retention(settings.retention, engine, slow, consumers, clock),
        partial(fill_ledger, engine, names, settings.retention.ledger_ms),
        server,
        _console(gate, services, connections, hub, clock, limits.connections, notice)
        if settings.console.listen
        else None,
        [
            meters,
            EngineMetrics(engine, clock.now),
            DeliveryMetrics(consumers, hub, clock.now),
            SinkMetrics(sinks),
            TemporalMetrics(temporal.carrier.routing if temporal else None, slow, clock.now),
            TicketMetrics(slow, census),
            OverdueMetrics(engine.counts.overdue, slow, clock),
            TokenMetrics(tokens),
            StorageMetrics(data, slow, connections.unreadable, clock.now),
        ],
        census,
        lambda: tokens.load(names.tokens()),
    )


def _console(
    gate: Gate,
    services: dict[ServiceDescriptor, object],
    connections: Connections,
    hub: EventHub,
    clock: TimeSource,
    most_connections: int,
    notice: Callable[[Exception], None],
) -> Console:
    # Only now, as they import aiohttp.
    from slad.console.calls import Calls  # noqa: PLC0415
    from slad.console.pages import Parts  # noqa: PLC0415
    from slad.console.server import Console  # noqa: PLC0415

    queries = QueryThread(connections.store())
    return Console(Parts(Calls(gate, services), queries, hub, clock), most_connections, notice)


def _pass_through(
    temporal: TemporalSide, engine: SlaEngine, store: Store, clock: TimeSource
) -> TemporalPassThrough:
    # Only now, as it imports temporalio.
    from slad.temporal.passthrough.control import TemporalPassThrough  # noqa: PLC0415

    return TemporalPassThrough(temporal, engine, store, clock)


def _tokens(store: Store, engine: SlaEngine, clock: TimeSource, changed: Callable[[], None]) -> Tokens:
    async def save(row: TokenRow) -> None:
        await engine.write(lambda work: work.rows.tokens.append(row))

    return Tokens(store.tokens(), save, clock.now, changed)


def _is_exposed(settings: Settings) -> bool:
    """Whether strangers can reach it without a certificate of their own."""
    addresses = filter(None, [*settings.listen, settings.console.listen])
    return settings.tls.client_ca is None and not all(map(is_local, addresses))
