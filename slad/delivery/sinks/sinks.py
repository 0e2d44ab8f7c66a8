"""All sinks of a daemon: started and stopped together, looked at, and what they parked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn

from slad.config.sinks import SinkSettings
from slad.core.errors import Refusal, Refused
from slad.delivery.consumers import SINK_PREFIX, Consumers
from slad.delivery.hub import EventHub, LoggedEvent
from slad.delivery.sinks.circuit import Circuit, SinkState, Tally
from slad.delivery.sinks.courier import Courier
from slad.delivery.sinks.kinds import prepare
from slad.delivery.sinks.parked import ParkedEvents
from slad.delivery.sinks.sink import Sink
from slad.engine.catalog import Catalog
from slad.engine.engine import SlaEngine
from slad.engine.outgoing import Outgoing
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.storage.rows import ParkedEventRow

log = logging.getLogger(__name__)

STOP_GRACE_S: Final = 2.0
"""How long an attempt under way may take to finish when its sink is closed."""


class SinkView(NamedTuple):
    """How a sink stands."""

    name: str
    kind: str
    target: str
    consumer: str
    state: SinkState
    acknowledged: int
    lag: int
    """Events that are there, and neither delivered nor parked."""
    parked: int
    tally: Tally


class _Running(NamedTuple):
    kind: str
    sink: Sink
    parked: ParkedEvents
    courier: Courier


class Sinks:
    """The sinks that are configured. For the event loop's thread."""

    def __init__(
        self,
        settings: Mapping[str, SinkSettings],
        consumers: Consumers,
        hub: EventHub,
        engine: SlaEngine,
        queries: QueryThread,
        catalog: Catalog,
        clock: TimeSource,
        outgoing: Outgoing,
    ) -> None:
        self._settings = settings
        self._consumers = consumers
        self._hub = hub
        self._engine = engine
        self._queries = queries
        self._catalog = catalog
        self._clock = clock
        self._outgoing = outgoing
        self._running: dict[str, _Running] = {}
        self._changing = asyncio.Lock()
        self._is_stopped = False

    async def start(self) -> None:
        """Opens every sink and lets it deliver. To be called once."""
        await self.reload(self._settings)

    async def reload(self, settings: Mapping[str, SinkSettings]) -> None:
        """Opens new sinks, closes those that are gone, and reopens those that have changed.

        Each goes on where its consumer is. Raises SettingError; then nothing has changed.
        """
        async with self._changing:
            if self._is_stopped:
                return
            opened = {
                name: prepare(name, sink)
                for name, sink in settings.items()
                if name not in self._running or self._settings[name] != sink
            }
            await self._close(name for name in [*self._running] if name in opened or name not in settings)
            self._settings = settings
            for name, open_sink in opened.items():
                running = self._open(name, settings[name], open_sink(self._hub.lineage))
                await running.parked.load()
                self._running[name] = running
                running.courier.start()
                log.info("sink %s delivers to %s", name, running.sink.target)

    async def stop(self) -> None:
        """Lets attempts under way finish and notes down what was delivered."""
        async with self._changing:
            self._is_stopped = True
            await self._close([*self._running])

    async def _close(self, names: Iterable[str]) -> None:
        closing = {name: self._running.pop(name) for name in names}
        await asyncio.gather(*(running.courier.stop(STOP_GRACE_S) for running in closing.values()))
        for name, running in closing.items():
            try:
                await running.sink.close()
            except Exception:
                # Others are still to be closed, or to be opened.
                log.exception("sink %s could not be closed", name)

    def standings(self) -> list[tuple[str, SinkState, int, Tally]]:
        """(name, state, parked events, tally) of every sink; without a look at the database."""
        return [
            (name, courier.state, parked.count, courier.tally)
            for name, (_, _, parked, courier) in sorted(self._running.items())
        ]

    async def views(self) -> list[SinkView]:
        """How every sink stands."""
        standing = {view.name: view for view in await self._consumers.views(self._queries.events_owed)}
        found = []
        for name, (kind, sink, parked, courier) in sorted(self._running.items()):
            consumer = standing.get(SINK_PREFIX + name)
            found.append(
                SinkView(
                    name,
                    kind,
                    sink.target,
                    SINK_PREFIX + name,
                    courier.state,
                    consumer.acknowledged if consumer else 0,
                    consumer.lag if consumer else self._hub.owed(0),
                    parked.count,
                    courier.tally,
                )
            )
        return found

    async def parked(self, name: str, after: int, limit: int) -> list[ParkedEventRow]:
        """The next parked events of a sink after a sequence. Raises Refused."""
        return await self._find(name).parked.page(after, limit)

    async def replay(self, name: str, sequences: Iterable[int] | None) -> int:
        """Lets parked events be delivered again, with all that is parked of their tickets; None: all of them.

        Returns how many they are. The next attempt is made at once. Raises Refused.
        """
        running = self._find(name)
        if sequences is None:
            count = await running.parked.release_all()
        else:
            tickets = {running.parked.find(s) or _not_parked(name, s) for s in sequences}
            count = await running.parked.release(tickets)
        running.courier.hurry()
        return count

    async def discard(self, name: str, sequences: Sequence[int] | None) -> int:
        """Gives parked events up, None: all of them; how many they were. Raises Refused."""
        parked = self._find(name).parked
        if sequences is None:
            return await parked.discard_all()
        for sequence in sequences:
            if parked.find(sequence) is None:
                _not_parked(name, sequence)
        return await parked.discard(sequences)

    def _find(self, name: str) -> _Running:
        running = self._running.get(name)
        if running is None:
            text = f"no sink {name!r} is configured"
            raise Refused(Refusal.NOT_FOUND, "SINK_NOT_FOUND", text, field="sink")
        return running

    def _open(self, name: str, settings: SinkSettings, sink: Sink) -> _Running:
        consumer = SINK_PREFIX + name
        parked = ParkedEvents(consumer, self._engine, self._queries, self._clock)
        courier = Courier(
            name,
            consumer,
            sink,
            after=self._hub.head if settings.start == "now" else None,
            wanted=lambda event: self._wanted(settings, event),
            attempts=settings.attempts,
            circuit=Circuit(settings),
            parked=parked,
            consumers=self._consumers,
            clock=self._clock,
            outgoing=self._outgoing,
        )
        return _Running(settings.kind, sink, parked, courier)

    def _wanted(self, settings: SinkSettings, event: LoggedEvent) -> bool:
        if settings.events and event.type not in settings.events:
            return False
        return not settings.tenants or self._catalog.tenant_id(event.tenant_key) in settings.tenants


def _not_parked(name: str, sequence: int) -> NoReturn:
    text = f"sink {name!r} has not parked event {sequence}"
    raise Refused(Refusal.NOT_FOUND, "EVENT_NOT_PARKED", text, field="sequences")
