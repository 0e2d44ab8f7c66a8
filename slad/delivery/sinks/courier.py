"""The reader behind one sink: a durable consumer of the event log that delivers instead of streaming.

Contract
  - At least once, in order: an event is acknowledged when its target has it, or when it is parked.
  - A target that cannot be reached, or fails, is asked again for as long as it takes; nothing else waits for
    it.
  - An event that the target refuses is parked at once; one that it fails on, after some attempts. What was
    parked gets another chance after the next success, without being asked for, and after that when it is
    replayed.
  - Any error of a sink's code counts as a failed attempt: no sink ends the daemon, or another sink.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refusal, Refused
from slad.core.instants import format_instant
from slad.delivery.consumers import Consumers
from slad.delivery.hub import LoggedEvent
from slad.delivery.sinks.circuit import Circuit, SinkState
from slad.delivery.sinks.parked import ParkedEvents, TicketKey, ticket_of
from slad.delivery.sinks.sink import DeliveryError, Rejected, Sink, Unavailable
from slad.engine.event_codec import decode_event
from slad.engine.time_source import TimeSource
from slad.storage.rows import ParkedEventRow

log = logging.getLogger(__name__)

ACKNOWLEDGE_EVERY_S: Final = 0.1
"""Acknowledgements are written this often at most: each is a row in a commit. After a SIGKILL, what was
delivered in so much time comes again."""

GATHER_S: Final = 0.005
"""Pause between two pages, so that a busy daemon's events go in batches, which cost less. An event that comes
alone does not wait."""

RESTART_S: Final = 1.0
"""Pause before the event log is read again, when reading it or writing down progress failed."""


@dataclass(slots=True)
class Tally:
    """What happened since the daemon started; instants in UTC epoch ms."""

    delivered: int = 0
    failures: int = 0
    last_delivered_at: int | None = None
    last_failed_at: int | None = None
    last_error: str = ""
    next_attempt_at: int | None = None
    """While the sink waits for its next attempt."""


class _Parked(NamedTuple):
    """The first event of a batch is not to be had; why, and after how many attempts."""

    attempts: int
    reason: str


class Courier:
    """Delivers to one sink until it is cancelled, or the daemon stops."""

    def __init__(
        self,
        name: str,
        consumer: str,
        sink: Sink,
        *,
        after: int | None,
        wanted: Callable[[LoggedEvent], bool],
        attempts: int,
        circuit: Circuit,
        parked: ParkedEvents,
        consumers: Consumers,
        clock: TimeSource,
    ) -> None:
        self._name = name
        self._consumer = consumer
        self._sink = sink
        self._after = after
        self._wanted = wanted
        self._attempts = attempts
        self._circuit = circuit
        self._parked = parked
        self._consumers = consumers
        self._clock = clock
        self.tally = Tally()
        self._turn = asyncio.Lock()
        """Held by whoever delivers: new events, or released ones."""
        self._hurry = asyncio.Event()
        self._told = ""
        """The last error that was logged, so that one that lasts is told once."""
        self._second_chance: set[TicketKey] = set()
        self._done = 0
        self._acknowledged = 0
        self._progress = asyncio.Event()

    @property
    def state(self) -> SinkState:
        """How the target stands."""
        return self._circuit.state

    @property
    def is_waiting(self) -> bool:
        """Whether no attempt is under way, as the next one is not yet due."""
        return self.tally.next_attempt_at is not None

    def hurry(self) -> None:
        """Ends a pause: the next attempt is made now."""
        self._hurry.set()

    async def run(self) -> None:
        """Delivers. Returns when the hub is closed; what is delivered is then acknowledged."""
        helpers = [
            asyncio.create_task(self._forever(work), name=f"slad-sink-{self._name}")
            for work in (self._replay, self._acknowledge)
        ]
        try:
            await self._forever(self._follow)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def settle(self) -> None:
        """Writes down what is delivered. Raises Refused."""
        if self._done > self._acknowledged:
            done = self._done
            await self._consumers.acknowledge(self._consumer, done)
            self._acknowledged = done

    # --- the three loops

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Refused as refused:
                if refused.kind is Refusal.UNAVAILABLE and refused.reason == "STOPPING":
                    return
                log.warning("sink %s continues in a moment: %s", self._name, refused)
            except Exception:
                log.exception("sink %s continues in a moment", self._name)
            await asyncio.sleep(RESTART_S)

    async def _follow(self) -> None:
        self._done = self._acknowledged = 0
        async with aclosing(self._consumers.stream(self._consumer, self._after, self._wanted)) as pages:
            async for page in pages:
                events = [event for stored in page if (event := decode_event(stored.body)) is not None]
                if len(events) < len(page):
                    log.error("sink %s leaves out an event that cannot be read", self._name)
                if events:
                    await self._deliver(events)
                await asyncio.sleep(GATHER_S)

    async def _replay(self) -> None:
        self._parked.news.set()  # there may be some left from before
        while True:
            await self._parked.news.wait()
            self._parked.news.clear()
            for ticket in self._parked.released:
                async with self._turn:
                    await self._redeliver(ticket)

    async def _acknowledge(self) -> None:
        self._progress.set()
        while True:
            await self._progress.wait()
            self._progress.clear()
            await self.settle()
            await asyncio.sleep(ACKNOWLEDGE_EVERY_S)

    # --- delivering

    async def _deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        """Delivers or parks every one of `events`."""
        place = 0
        while place < len(events):
            while self._parked.is_full:
                full = Unavailable(f"{self._parked.count} events are parked; replay or discard them")
                self._note(full)
                await self._pause(full)
            async with self._turn:
                place += await self._step(events[place:])
            self._done = events[place - 1].sequence
            self._progress.set()

    async def _step(self, events: Sequence[pb.SlaEvent]) -> int:
        """Delivers or parks some of `events`, at least the first; how many."""
        held = self._parked.holds(events[0])
        alike = list(takewhile(lambda event: self._parked.holds(event) is held, events))
        if held:
            await self._parked.park_behind(alike)
            return len(alike)
        taken, verdict = await self._send(alike)
        if verdict is None:
            return taken
        event = alike[taken]
        await self._parked.park(event, *verdict)
        self._second_chance.add(ticket_of(event))
        log.warning("sink %s parked event %d: %s", self._name, event.sequence, verdict.reason)
        await self._wait(self._circuit.refused())
        return taken + 1

    async def _redeliver(self, ticket: TicketKey) -> None:
        """Delivers what is parked of a ticket, up to the first event that is refused again."""
        while rows := await self._parked.first(ticket):
            decoded = takewhile(lambda event: event is not None, (decode_event(row.body) for row in rows))
            events = [event for event in decoded if event is not None]
            if not events:
                await self._refused_again(rows[0], _Parked(rows[0].attempts, "it cannot be read"))
                return
            taken, verdict = await self._send(events, rows[0].attempts)
            await self._parked.delivered(rows[:taken])
            if verdict is not None:
                await self._refused_again(rows[taken], verdict)
                return

    async def _refused_again(self, row: ParkedEventRow, verdict: _Parked) -> None:
        await self._parked.refused_again(row, *verdict)
        log.warning("sink %s keeps event %d parked: %s", self._name, row.sequence, verdict.reason)
        await self._wait(self._circuit.refused())

    async def _send(self, events: Sequence[pb.SlaEvent], tried: int = 0) -> tuple[int, _Parked | None]:
        """Tries until the target has taken some of `events`, or the first of them is given up.

        How many it took, and why the next one is to be parked, if it is. `tried`: how often the first one was
        tried before.
        """
        while True:
            size = self._sink.batch if self._circuit.state is SinkState.READY else 1
            batch = events[:size]
            error = await self._attempt(batch)
            taken = len(batch) if error is None else error.delivered
            if taken:
                await self._succeeded(taken)
            if error is None:
                return taken, None
            tried = 1 if taken else tried + 1
            self._note(error)
            if isinstance(error, Rejected) or (
                isinstance(error, Unavailable) and error.suspect and tried >= self._attempts
            ):
                return taken, _Parked(tried, error.message)
            await self._pause(error)
            if taken:
                return taken, None

    async def _attempt(self, events: Sequence[pb.SlaEvent]) -> DeliveryError | None:
        try:
            await self._sink.deliver(events)
        except DeliveryError as error:
            return error
        except Exception as error:
            # Its text may hold anything, secrets too; where it came from does not.
            places = "".join(traceback.format_tb(error.__traceback__))
            log.error("sink %s: unexpected %s\n%s", self._name, type(error).__name__, places)  # noqa: TRY400
            return Unavailable(f"unexpected error ({type(error).__name__}); the log says where", suspect=True)
        return None

    async def _succeeded(self, count: int) -> None:
        if self._circuit.state is not SinkState.READY:
            log.info("sink %s delivers again", self._name)
        self._circuit.succeeded()
        self.tally.delivered += count
        self.tally.last_delivered_at = self._clock.now()
        self._told = ""
        if self._second_chance:
            await self._parked.release(self._second_chance)
            self._second_chance.clear()

    def _note(self, error: DeliveryError) -> None:
        self.tally.failures += 1
        self.tally.last_failed_at = self._clock.now()
        self.tally.last_error = error.message
        if error.message != self._told:
            log.warning("sink %s: %s", self._name, error.message)
            self._told = error.message

    async def _pause(self, error: DeliveryError) -> None:
        before = self._circuit.state
        pause = self._circuit.failed(error.retry_after_s if isinstance(error, Unavailable) else None)
        if self._circuit.state is SinkState.OPEN is not before:
            log.warning("sink %s: circuit open; it tries one event at a time", self._name)
        await self._wait(pause)

    async def _wait(self, pause_s: float) -> None:
        if pause_s:
            self._hurry.clear()
            self.tally.next_attempt_at = self._clock.now() + int(pause_s * 1_000)
            log.debug("sink %s: next attempt at %s", self._name, format_instant(self.tally.next_attempt_at))
            try:
                async with asyncio.timeout(pause_s):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            finally:
                self.tally.next_attempt_at = None
