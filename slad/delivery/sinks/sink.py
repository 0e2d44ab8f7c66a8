"""What a kind of sink implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from slad_client.v1 import types_pb2 as pb


class DeliveryError(Exception):
    """An attempt that did not deliver all of its events.

    `message` says why, for people; it is logged and shown, so it must not hold a secret. `delivered` is how
    many of the events, counted from the first, are safe at the target all the same.
    """

    def __init__(self, message: str, *, delivered: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.delivered = delivered


class Unavailable(DeliveryError):  # noqa: N818 - what is the case, not what it is
    """The target takes nothing at present; it is asked again after a while.

    `retry_after_s` is the shortest pause that the target asks for, in seconds. `suspect` says that the event
    itself may be the reason: one that fails again and again is then set aside.
    """

    def __init__(
        self,
        message: str,
        *,
        delivered: int = 0,
        retry_after_s: float | None = None,
        suspect: bool = False,
    ) -> None:
        super().__init__(message, delivered=delivered)
        self.retry_after_s = retry_after_s
        self.suspect = suspect


class Rejected(DeliveryError):  # noqa: N818
    """The target does not take this event: the first that was not delivered. It is set aside at once."""


class Sink(Protocol):
    """One target. Made, used and closed on the event loop.

    Contract
      - Up to `parallel` calls of `deliver` are under way at once, never two with events of the same ticket.
      - `deliver` returns when every event is safe at the target, in order. This acknowledges them.
      - When it raises, at most the first `DeliveryError.delivered` count as delivered; all others come again.
      - Events come again after a failure or a restart, with the same `event_id`.
      - `deliver` ends by itself when the target hangs, and may be cancelled.
    """

    @property
    def target(self) -> str:
        """Where events go, for people and without secrets."""
        ...

    @property
    def batch(self) -> int:
        """How many events `deliver` takes at most."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls of `deliver` may be under way at once. With 1, all events arrive in order."""
        ...

    async def deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        """Hands `events` over. Raises Unavailable, Rejected."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
