"""Which handlers an event goes to, and how often they are tried: what both consumers do alike."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from slad_client._parking import ParkedEvent
from slad_client._policy import RetryPolicy
from slad_client.v1 import types_pb2 as pb

log = logging.getLogger("slad_client")

Handler = TypeVar("Handler", bound=Callable[[pb.SlaEvent], Any])

HANDLER_RETRY = RetryPolicy(attempts=5, first_delay=0.5, max_delay=30.0)
"""How a handler that fails is tried again."""


class Handlers(Generic[Handler]):
    """The handlers of a consumer; each method is a decorator. There may be several of a kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[Callable[[pb.SlaEvent], bool], Handler]] = {}
        """By a name that a parked event remembers, also over a restart."""

    def on_notification(self, handler: Handler) -> Handler:
        """People are to be told of a threshold; not if they are told of a higher one that fired with it."""
        return self._add("on_notification", is_notification, handler)

    def on_escalation(self, handler: Handler) -> Handler:
        """An escalation begins; its level is `event.threshold.escalation_level`."""
        return self._add("on_escalation", is_escalation, handler)

    def on_breach(self, handler: Handler) -> Handler:
        """A clock reached 100 %; `event.clock` says which."""
        return self._add("on_breach", is_breach, handler)

    def on_completed(self, handler: Handler) -> Handler:
        """The response was given, or the ticket resolved: once for each phase, `event.met` is the verdict."""
        return self._add("on_completed", is_completion, handler)

    def on_retracted(self, handler: Handler) -> Handler:
        """A threshold that was announced is not true after all."""
        return self._add("on_retracted", is_retraction, handler)

    def on_any(self, handler: Handler) -> Handler:
        """Every event."""
        return self._add("on_any", lambda event: True, handler)

    def _add(self, kind: str, applies: Callable[[pb.SlaEvent], bool], handler: Handler) -> Handler:
        name = whole = f"{kind} {getattr(handler, '__qualname__', type(handler).__qualname__)}"
        number = 1
        while name in self._kinds:
            number += 1
            name = f"{whole} {number}"
        self._kinds[name] = applies, handler
        return handler


class Dealing(Generic[Handler]):
    """One event on its way through its handlers, in the order in which they were added.

    A handler that has returned is not called again. `parked`: as it was parked before.
    """

    def __init__(
        self,
        event: pb.SlaEvent,
        handlers: Handlers[Handler],
        retry: RetryPolicy,
        parked: ParkedEvent | None = None,
    ) -> None:
        self.event = event
        self._retry = retry
        self._error = ""
        self._attempts = parked.attempts if parked else 0
        self._parked_at = parked.parked_at if parked else None
        self._resolved = [*parked.resolved] if parked else []
        self._waiting = {
            name: handler
            for name, (applies, handler) in handlers._kinds.items()
            if applies(event) and name not in self._resolved
        }

    def handlers(self) -> Iterator[Handler]:
        """Those that are left; each is done with when the next one is asked for."""
        for name, handler in [*self._waiting.items()]:
            yield handler
            del self._waiting[name]
            self._resolved.append(name)

    def after(self, error: Exception) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        self._attempts += 1
        self._error = "".join(traceback.format_exception(error))
        event = f"event {self.event.sequence} of ticket {self.event.ticket_id!r}"
        if self._attempts >= self._retry.attempts:
            log.error("a handler of %s failed %d times: %r", event, self._attempts, error)
            return None
        delay = self._retry.delay(self._attempts)
        log.warning("a handler of %s failed, again in %.1f s: %r", event, delay, error)
        return delay

    def parked(self) -> ParkedEvent:
        """How it is to be parked."""
        parked_at = self._parked_at or datetime.now(UTC)
        return ParkedEvent(self.event, self._attempts, self._error, parked_at, tuple(self._resolved))


def is_notification(event: pb.SlaEvent) -> bool:
    """Whether people are to be told of a threshold."""
    threshold = event.threshold
    return _reached(event) and threshold.notification and not threshold.notification_superseded


def is_escalation(event: pb.SlaEvent) -> bool:
    """Whether an escalation level begins."""
    return _reached(event) and event.threshold.escalation_level > 0


def is_breach(event: pb.SlaEvent) -> bool:
    """Whether a clock has reached 100 %."""
    return _reached(event) and event.threshold.breach


def is_retraction(event: pb.SlaEvent) -> bool:
    """Whether a threshold is taken back."""
    return event.type == pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED


def is_completion(event: pb.SlaEvent) -> bool:
    """Whether a phase ends. The resolution's own PHASE_COMPLETED is left out, as COMPLETED always follows."""
    return event.type == pb.SLA_EVENT_TYPE_COMPLETED or (
        event.type == pb.SLA_EVENT_TYPE_PHASE_COMPLETED and event.phase == pb.SLA_PHASE_RESPONSE
    )


def _reached(event: pb.SlaEvent) -> bool:
    return event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED
