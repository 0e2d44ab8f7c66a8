"""A durable consumer that calls handlers: the one that blocks."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from slad_client import _calls
from slad_client._handlers import HANDLER_RETRY, Dealing, Handlers, log
from slad_client._parking import Parked, ParkedEvent, ParkingLot, by_ticket
from slad_client._policy import RetryPolicy
from slad_client.v1 import types_pb2 as pb

if TYPE_CHECKING:
    from slad_client.sync import SladClient

Result = TypeVar("Result")
Handler = Callable[[pb.SlaEvent], Any]


class SlaEventConsumer(Handlers[Handler]):
    """A durable consumer that calls handlers, and acknowledges an event when all of them have returned.

    Events are dealt with one by one, in order. A handler that raises is tried again, and with it those that
    have not been called yet. An event whose handlers keep failing is parked, and with it all that follows on
    its ticket; other tickets go on. After a crash an event may come again, so handlers should know an
    `event_id` that they have seen.

        consumer = SlaEventConsumer(slad, "psa", parking_lot=lot)

        @consumer.on_breach
        def tell(event): ...

        consumer.run()

    Args:
        client: What it watches with.
        consumer: The name under which slad remembers it. Replicas share it; one is served at a time.
        tenant_id: Only this tenant's events.
        after_sequence: Where a consumer that slad does not know begins; by default with the oldest event.
        retry: How a handler that fails is tried again.
        parking_lot: Where events are kept whose handlers keep failing. Without one, `run` raises the error,
            and the event comes again at the next `run`.
        sleep: Waits before a handler, or the parking lot, is tried again; for tests.
    """

    def __init__(
        self,
        client: SladClient,
        consumer: str,
        *,
        tenant_id: str = "",
        after_sequence: int | None = None,
        retry: RetryPolicy = HANDLER_RETRY,
        parking_lot: ParkingLot | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__()
        self._client = client
        self._name = consumer
        self._watch = _calls.watch_sla_events(
            consumer=consumer, tenant_id=tenant_id, after_sequence=after_sequence, acknowledge=True
        )
        self._retry = retry
        self._parking_lot = parking_lot
        self._sleep = sleep
        self._parked = Parked()
        self._dealing = threading.Lock()
        """Held while an event is dealt with: what comes, and what is tried again, go one by one."""

    def run(self) -> None:
        """Consumes, over all breaks of the connection. Ends when the client is closed, by another thread or
        the handler of a signal.

        A parking lot that fails is tried again for as long as it takes. Raises what `watch_sla_events`
        raises, and without a parking lot the error of a handler that kept failing.
        """
        watching = self._client._watch(self._watch, self._parked.forget)
        with contextlib.closing(watching) as events:
            for event in events:
                with self._dealing:
                    self._deal(event)

    def parked(self) -> list[ParkedEvent]:
        """The parked events, in order. Raises ValueError without a parking lot, as do the next two."""
        return sorted(self._lot().list(), key=lambda parked: parked.event.sequence)

    def retry_parked(self, event_id: str | None = None) -> int:
        """Tries parked events again, those of each ticket in order up to one that fails.

        All of them, or those of the ticket of `event_id`. Returns how many went through. A ticket of which
        none is left goes on. Also for another thread, or a process that does not `run`; not for a handler.
        """
        through = 0
        for ticket in by_ticket(self._lot().list(), event_id):
            with self._dealing:
                through += self._retry_ticket(ticket)
        return through

    def discard_parked(self, event_id: str) -> None:
        """Gives a parked event up. Events that wait behind it stay parked until `retry_parked`."""
        self._lot().remove(event_id)

    def _add(self, kind: str, applies: Callable[[pb.SlaEvent], bool], handler: Handler) -> Handler:
        # Called, it would do nothing, and the event would be acknowledged.
        if inspect.iscoroutinefunction(handler):
            raise TypeError(f"{kind}: {handler!r} has to be awaited; that is for slad_client.aio")
        return super()._add(kind, applies, handler)

    def _deal(self, event: pb.SlaEvent) -> None:
        lot = self._parking_lot
        if lot is not None and self._parked.is_unsure(event):
            self._parked.found(self._persist(lot.list))
        if self._parked.holds(event):
            return
        dealing = Dealing(event, self, self._retry)
        if not self._parked.holds_back(event):
            error = self._try(dealing)
            if error is None:
                return
            if lot is None:
                raise error
        if lot is not None:
            parked = dealing.parked()
            self._persist(lambda: lot.put(parked))
            self._parked.add(event)

    def _try(self, dealing: Dealing[Handler]) -> Exception | None:
        """Calls the handlers until they have returned; what one of them failed with in the end."""
        while (error := self._attempt(dealing)) is not None:
            delay = dealing.after(error)
            if delay is None:
                return error
            self._sleep(delay)
        return None

    def _attempt(self, dealing: Dealing[Handler]) -> Exception | None:
        """Calls the handlers that are left; what one of them failed with."""
        try:
            for handler in dealing.handlers():
                handler(dealing.event)
        except Exception as error:
            return error
        return None

    def _retry_ticket(self, ticket: tuple[str, str]) -> int:
        lot, through = self._lot(), 0
        for parked in by_ticket(lot.list()).get(ticket, ()):
            dealing = Dealing(parked.event, self, self._retry, parked)
            error = self._attempt(dealing)
            if error is not None:
                dealing.after(error)
                lot.put(dealing.parked())
                break
            lot.remove(parked.event.event_id)
            through += 1
        return through

    def _persist(self, work: Callable[[], Result]) -> Result:
        """Does what the parking lot must have done, however long it takes, unless the client is closed."""
        failures = 0
        while True:
            try:
                return work()
            except Exception as error:
                if self._client._closed:
                    raise
                failures += 1
                delay = self._retry.delay(failures)
                log.warning("the parking lot of %r failed, again in %.1f s: %r", self._name, delay, error)
            self._sleep(delay)

    def _lot(self) -> ParkingLot:
        if self._parking_lot is None:
            raise ValueError(f"consumer {self._name!r} has no parking lot")
        return self._parking_lot
