"""Which handlers an event goes to, and how often they are tried: what both consumers do alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from slad_client._policy import RetryPolicy
from slad_client.v1 import types_pb2 as pb

log = logging.getLogger("slad_client")

Handler = TypeVar("Handler", bound=Callable[[pb.SlaEvent], Any])
GivingUp = TypeVar("GivingUp", bound=Callable[[pb.SlaEvent, Exception], Any])

HANDLER_RETRY = RetryPolicy(attempts=5, first_delay=0.5, max_delay=30.0)
"""How a handler that fails is tried again."""


class Handlers(Generic[Handler, GivingUp]):
    """The handlers of a consumer; each method is a decorator. There may be several of a kind."""

    def __init__(self) -> None:
        self._kinds: list[tuple[Callable[[pb.SlaEvent], bool], Handler]] = []
        self._giving_up: GivingUp | None = None

    def on_notification(self, handler: Handler) -> Handler:
        """People are to be told of a threshold; not if they are told of a higher one that fired with it."""
        return self._add(is_notification, handler)

    def on_escalation(self, handler: Handler) -> Handler:
        """An escalation begins; its level is `event.threshold.escalation_level`."""
        return self._add(is_escalation, handler)

    def on_breach(self, handler: Handler) -> Handler:
        """A clock reached 100 %; `event.phase` says which."""
        return self._add(is_breach, handler)

    def on_completed(self, handler: Handler) -> Handler:
        """The response was given, or the ticket resolved: once for each phase, `event.met` is the verdict."""
        return self._add(is_completion, handler)

    def on_retracted(self, handler: Handler) -> Handler:
        """A threshold that was announced is not true after all."""
        return self._add(is_retraction, handler)

    def on_any(self, handler: Handler) -> Handler:
        """Every event."""
        return self._add(lambda event: True, handler)

    def on_giving_up(self, handler: GivingUp) -> GivingUp:
        """An event whose handlers kept failing, with the last error.

        It counts as dealt with when this returns, so it has to be as durable as the work itself: a row of the
        PSA's database. Without such a handler `run` raises the error, and the event comes again.
        """
        self._giving_up = handler
        return handler

    def _add(self, applies: Callable[[pb.SlaEvent], bool], handler: Handler) -> Handler:
        self._kinds.append((applies, handler))
        return handler


class Dealing(Generic[Handler, GivingUp]):
    """One event on its way through its handlers, in the order in which they were added.

    A handler that has returned is not called again.
    """

    def __init__(self, event: pb.SlaEvent, handlers: Handlers[Handler, GivingUp], retry: RetryPolicy) -> None:
        self.event = event
        self.giving_up = handlers._giving_up
        self._waiting = [handler for applies, handler in handlers._kinds if applies(event)]
        self._retry = retry
        self._failures = 0

    def handlers(self) -> Iterator[Handler]:
        """Those that are left; each is done with when the next one is asked for."""
        while self._waiting:
            yield self._waiting[0]
            del self._waiting[0]

    def after(self, error: Exception) -> float | None:
        """Seconds until the next attempt; None: there is none, and `giving_up` is to take the event.

        Raises the error when there is nobody to take it.
        """
        self._failures += 1
        event = f"event {self.event.sequence} of ticket {self.event.ticket_id!r}"
        if self._failures >= self._retry.attempts:
            if self.giving_up is None:
                raise error
            log.error("%s is given up: a handler failed %d times: %r", event, self._failures, error)
            return None
        delay = self._retry.delay(self._failures)
        log.warning("a handler of %s failed, again in %.1f s: %r", event, delay, error)
        return delay


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
