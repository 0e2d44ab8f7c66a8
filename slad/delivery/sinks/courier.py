"""The reader behind one sink: a durable consumer of the event log that delivers instead of streaming.

Contract
  - At least once: an event is acknowledged when its target has it, or when it is parked, and so is every one
    before it.
  - The events of a ticket go in order. Different tickets go side by side, where the sink takes that.
  - A target that cannot be reached, or fails, is asked again for as long as it takes, with one event at a
    time; nothing else waits for it.
  - An event that the target refuses is parked at once; one that it fails on, after some attempts. What was
    parked gets another chance after the next success, without being asked for, and after that when it is
    replayed.
  - While this slad may not serve no attempt begins (see `Outgoing`).
  - Any error of a sink's code counts as a failed attempt: no sink ends the daemon, or another sink.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refusal, Refused
from slad.core.instants import format_instant
from slad.delivery.consumers import Consumers
from slad.delivery.hub import LoggedEvent
from slad.delivery.sinks.backlog import Backlog, Delivery
from slad.delivery.sinks.circuit import MAX_RETRY_AFTER_S, Circuit, SinkState, Tally
from slad.delivery.sinks.parked import ParkedEvents, TicketKey
from slad.delivery.sinks.sink import DeliveryError, Rejected, Sink, Unavailable
from slad.engine.event_codec import decode_event
from slad.engine.outgoing import Outgoing
from slad.engine.time_source import TimeSource

log = logging.getLogger(__name__)

ACKNOWLEDGE_EVERY_S: Final = 0.1
"""Acknowledgements are written this often at most: each is a row in a commit. After a SIGKILL, what was
delivered in so much time comes again."""

GATHER_S: Final = 0.005
"""Pause between two pages, so that a busy daemon's events go in batches, which cost less. An event that comes
alone does not wait."""

RESTART_S: Final = 1.0
"""Pause after reading the event log, or writing down progress, has failed."""

MIN_WINDOW: Final = 256
"""So many events wait in memory, or more where requests are large. One that is tried again and again holds
back the acknowledgement of those behind it, which are at most so many: after a SIGKILL they come again."""


class Courier:
    """Delivers to one sink, from `start` to `stop`. For the event loop's thread."""

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
        outgoing: Outgoing,
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
        self._outgoing = outgoing
        self.tally = Tally()
        self._backlog = Backlog()
        self._window = max(MIN_WINDOW, 4 * sink.batch * sink.parallel)
        self._loops: list[asyncio.Task[None]] = []
        self._lanes: set[asyncio.Task[None]] = set()
        """One task for each call of the sink that may be under way."""
        self._pause: asyncio.TimerHandle | None = None
        """While it runs, no attempt begins."""
        self._changed = asyncio.Event()
        """Set when something may be sent that could not be sent before."""
        self._room = asyncio.Event()
        """Set when deliveries are finished."""
        self._progress = asyncio.Event()
        self._told = ""
        """The last error that was logged, so that one that lasts is told once."""
        self._second_chance: set[TicketKey] = set()
        self._acknowledged = 0
        self._is_stopping = False

    @property
    def state(self) -> SinkState:
        """How the target stands."""
        return self._circuit.state

    def start(self) -> None:
        """Begins to deliver. To be called once."""
        works = (self._follow, self._load_again, self._dispatch, self._acknowledge)
        self._loops = [
            asyncio.create_task(self._forever(work), name=f"slad-sink-{self._name}") for work in works
        ]

    async def stop(self, grace_s: float) -> None:
        """Lets attempts under way finish for so long, and writes down what is delivered."""
        await _cancelled(self._loops)
        if self._pause is not None:
            self._pause.cancel()
        self._is_stopping = True
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=grace_s)
            await _cancelled(self._lanes)
        try:
            await self._settle()
        except Refused as refused:
            log.warning("sink %s will deliver again what it delivered last: %s", self._name, refused)

    def hurry(self) -> None:
        """Ends a pause: the next attempt is made now."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause = self.tally.next_attempt_at = None
        self._changed.set()

    # --- the loops

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._outgoing.allowed()
            try:
                await work()
            except Refused as refused:
                if refused.kind is Refusal.UNAVAILABLE and refused.reason == "STOPPING":
                    return
                log.warning("sink %s continues shortly: %s", self._name, refused)
            except Exception:
                log.exception("sink %s continues shortly", self._name)
            await asyncio.sleep(RESTART_S)

    async def _follow(self) -> None:
        """Reads new events, as long as there is room for them."""
        self._acknowledged = 0
        self._backlog.restart()
        async with aclosing(self._consumers.stream(self._consumer, self._after, self._wanted)) as pages:
            async for page in pages:
                await self._wait_for_room(lambda: self._backlog.new)
                events = [event for stored in page if (event := decode_event(stored.body)) is not None]
                if len(events) < len(page):
                    log.error("sink %s leaves out an event that cannot be read", self._name)
                self._backlog.add(events, up_to=page[-1].sequence)
                self._changed.set()
                await asyncio.sleep(GATHER_S)

    async def _load_again(self) -> None:
        """Takes up released tickets."""
        self._parked.news.set()  # there may be some left from before
        while True:
            await self._parked.news.wait()
            self._parked.news.clear()
            for ticket in self._parked.released:
                await self._wait_for_room(lambda: self._backlog.again)
                if not self._backlog.is_again(ticket):
                    await self._take_up(ticket)

    async def _take_up(self, ticket: TicketKey) -> None:
        """Puts what is parked of a ticket into the backlog, up to an event that cannot be read."""
        rows = await self._parked.first(ticket)
        for row in rows:
            if (event := decode_event(row.body)) is None:
                break
            self._backlog.add_again(row, event)
            self._changed.set()
        else:
            return
        if row is rows[0]:
            reason = "it cannot be read"
            await self._parked.refused_again(row, row.attempts, reason)
            log.warning("sink %s keeps event %d parked: %s", self._name, row.sequence, reason)

    async def _wait_for_room(self, size: Callable[[], int]) -> None:
        while size() >= self._window:
            self._room.clear()
            await self._room.wait()

    async def _dispatch(self) -> None:
        """Begins lanes, as many as may be under way."""
        while True:
            await self._outgoing.allowed()
            self._changed.clear()
            while deliveries := self._next(len(self._lanes)):
                lane = asyncio.create_task(self._lane(deliveries))
                self._lanes.add(lane)
                lane.add_done_callback(self._ended)
            await self._changed.wait()

    async def _acknowledge(self) -> None:
        self._progress.set()
        while True:
            await self._progress.wait()
            self._progress.clear()
            await self._settle()
            await asyncio.sleep(ACKNOWLEDGE_EVERY_S)

    async def _settle(self) -> None:
        """Writes down what is delivered. Raises Refused."""
        if (done := self._backlog.done) > self._acknowledged:
            await self._consumers.acknowledge(self._consumer, done)
            self._acknowledged = done

    # --- attempts

    def _next(self, under_way: int) -> list[Delivery]:
        """What is to be sent now; nothing while there is a pause, or so many calls under way are enough."""
        is_ready = self._circuit.state is SinkState.READY
        if self._is_stopping or self._pause is not None:
            return []
        if under_way >= (self._sink.parallel if is_ready else 1):
            return []
        now_s, full = asyncio.get_running_loop().time(), self._parked.is_full
        if is_ready or self._sink.parallel == 1:
            found = self._backlog.take(now_s, self._sink.batch if is_ready else 1, again_only=full)
        else:
            found = self._backlog.take_fairly(now_s, again_only=full)
        if full and not found and not under_way and self._backlog.new:
            self._note(f"{self._parked.count} events are parked; replay or discard them")
            self._fail()
        return found

    async def _lane(self, deliveries: Sequence[Delivery]) -> None:
        """One attempt after the other, without a wait between them: as long as there is what may leave."""
        while deliveries:
            await self._carry_out(deliveries)
            self._changed.set()
            deliveries = self._next(len(self._lanes) - 1) if self._outgoing.is_open else []

    def _ended(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        self._changed.set()

    async def _carry_out(self, deliveries: Sequence[Delivery]) -> None:
        """Delivers or parks `deliveries`, or leaves them for another attempt."""
        try:
            behind = [d for d in deliveries if d.row is None and self._parked.holds(d.event)]
            if behind:
                await self._parked.park_behind([delivery.event for delivery in behind])
                self._finish(behind)
            rest = [delivery for delivery in deliveries if delivery not in behind]
            if rest:
                await self._attempt(rest)
        except Refused as refused:
            log.warning("sink %s continues shortly: %s", self._name, refused)
            await asyncio.sleep(RESTART_S)
        except Exception:
            log.exception("sink %s continues shortly", self._name)
            await asyncio.sleep(RESTART_S)
        finally:
            self._backlog.give_back(deliveries)

    async def _attempt(self, deliveries: Sequence[Delivery]) -> None:
        failures, delivered = self.tally.failures, self.tally.delivered
        error = await self._deliver([delivery.event for delivery in deliveries])
        others = self.tally.delivered - delivered
        taken = len(deliveries) if error is None else error.delivered
        if taken:
            await self._succeeded(deliveries[:taken])
        if error is not None:
            is_news = failures == self.tally.failures
            self._note(error.message)
            await self._failed(deliveries[taken:], error, is_news=is_news, is_alone_in_it=others > 0)

    async def _deliver(self, events: Sequence[pb.SlaEvent]) -> DeliveryError | None:
        try:
            await self._sink.deliver(events)
        except DeliveryError as error:
            return error
        except Exception as error:
            # Its text may hold anything, secrets too; where it came from does not.
            places = "".join(traceback.format_tb(error.__traceback__))
            log.error("sink %s: unexpected %s\n%s", self._name, type(error).__name__, places)  # noqa: TRY400
            message = f"unexpected error ({type(error).__name__}); the log says where"
            return Unavailable(message, suspect=True)
        return None

    async def _succeeded(self, deliveries: Sequence[Delivery]) -> None:
        if self._circuit.state is not SinkState.READY:
            log.info("sink %s delivers again", self._name)
        self._circuit.succeeded()
        self.tally.delivered += len(deliveries)
        self.tally.last_delivered_at = self._clock.now()
        self._told = ""
        if self._second_chance:
            chance, self._second_chance = self._second_chance, set()
            try:
                await self._parked.release(chance)
            except Refused:
                self._second_chance |= chance
                raise
        if rows := [delivery.row for delivery in deliveries if delivery.row is not None]:
            await self._parked.delivered(rows)
        self._finish(deliveries)

    async def _failed(
        self, deliveries: Sequence[Delivery], error: DeliveryError, *, is_news: bool, is_alone_in_it: bool
    ) -> None:
        """The first of `deliveries` was not taken.

        `is_news`: no other attempt has failed since this one began. `is_alone_in_it`: others were taken
        meanwhile.
        """
        first = deliveries[0]
        first.attempts += 1
        retry_after_s, suspect = (
            (error.retry_after_s, error.suspect) if isinstance(error, Unavailable) else (None, False)
        )
        if suspect and len(deliveries) > 1:
            for delivery in deliveries:
                delivery.is_alone = True
        is_spent = suspect and first.attempts >= self._attempts and len(deliveries) == 1
        if isinstance(error, Rejected) or is_spent:
            await self._set_aside(first, error.message)
            self._begin_pause(self._circuit.refused())
        elif suspect and is_alone_in_it:
            # The target is well, so only this event waits.
            pause_s, loop = self._circuit.pause_s(first.attempts), asyncio.get_running_loop()
            first.not_before_s = loop.time() + pause_s
            loop.call_later(pause_s, self._changed.set)
        elif is_news:
            self._fail(retry_after_s)
        else:
            self._begin_pause(min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        sequence = delivery.event.sequence
        if delivery.row is None:
            await self._parked.park(delivery.event, delivery.attempts, reason)
            self._second_chance.add(delivery.ticket)
            self._finish([delivery])
            log.warning("sink %s parked event %d: %s", self._name, sequence, reason)
        else:
            await self._parked.refused_again(delivery.row, delivery.attempts, reason)
            self._backlog.drop_again(delivery.ticket)
            self._room.set()
            log.warning("sink %s keeps event %d parked: %s", self._name, sequence, reason)

    def _finish(self, deliveries: Sequence[Delivery]) -> None:
        self._backlog.finish(deliveries)
        self._progress.set()
        self._room.set()
        if self._parked.has_released:
            self._parked.news.set()  # there may be more of a ticket than was loaded at once

    # --- pauses

    def _note(self, message: str) -> None:
        self.tally.failures += 1
        self.tally.last_failed_at = self._clock.now()
        self.tally.last_error = message
        if message != self._told:
            log.warning("sink %s: %s", self._name, message)
            self._told = message

    def _fail(self, retry_after_s: float | None = None) -> None:
        before = self._circuit.state
        pause_s = self._circuit.failed(retry_after_s)
        if self._circuit.state is SinkState.OPEN is not before:
            log.warning("sink %s: circuit open; one event is tried now and then", self._name)
        self._begin_pause(pause_s)

    def _begin_pause(self, pause_s: float) -> None:
        """No attempt begins for so long, or as long as was said before."""
        loop = asyncio.get_running_loop()
        if not pause_s or (self._pause is not None and self._pause.when() >= loop.time() + pause_s):
            return
        if self._pause is not None:
            self._pause.cancel()
        self._pause = loop.call_later(pause_s, self.hurry)
        self.tally.next_attempt_at = self._clock.now() + int(pause_s * 1_000)
        log.debug("sink %s: next attempt at %s", self._name, format_instant(self.tally.next_attempt_at))


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels `tasks`, and waits until they are over."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
