"""What the pure floor refuses, as values that the service turns into gRPC statuses."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class InvalidField(ValueError):  # noqa: N818 - as it reads where it is raised
    """A value that cannot be accepted, with the path of its field.

    `field` is the path as in the request (`schedule.entries[2].end_time`), empty when it is the request as a
    whole; `reason` a stable UPPER_CASE word for programs, `message` a sentence for people.
    """

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.reason = reason
        self.message = message

    def under(self, prefix: str) -> InvalidField:
        """The same error with its path below `prefix` (`under("schedule")` → `schedule.timezone`)."""
        return InvalidField(f"{prefix}.{self.field}" if self.field else prefix, self.reason, self.message)


class BadTarget(ValueError):  # noqa: N818 - as InvalidField
    """The clock of that name cannot have the target that it is given."""

    def __init__(self, clock: str) -> None:
        super().__init__(clock)
        self.clock = clock


class DeadlineOutOfRange(ArithmeticError):  # noqa: N818 - as the contract calls it
    """A deadline would fall past the end of year 9999 (B6)."""


class Refusal(StrEnum):
    """The kinds of refusal that depend on who asks and on what slad holds, not on the request alone."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    DATA_LOSS = "DATA_LOSS"


class Refused(Exception):  # noqa: N818 - reads as what it is at the places that raise it
    """A command that cannot be carried out as things stand; it has changed nothing.

    `kind` becomes the gRPC code, `reason` is a stable UPPER_CASE word for programs, `message` a sentence
    for people, `details` further facts as strings (such as how and when a tracking ended), `retry_s` the
    seconds after which another try may help; None: as is usual for the kind. `field` is the field of the
    request that names what is not there; empty: none does.
    """

    def __init__(
        self,
        kind: Refusal,
        reason: str,
        message: str,
        details: Mapping[str, str] | None = None,
        *,
        retry_s: int | None = None,
        field: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_s = retry_s
        self.field = field


E = TypeVar("E", bound=BaseException)


def stopping(again: str = "try again") -> Refused:
    """The refusal of a caller that slad can no longer serve."""
    return Refused(Refusal.UNAVAILABLE, "STOPPING", f"slad is stopping; {again}")


def without_frames(error: E) -> E:
    """`error` without the way that it came.

    Whoever keeps an error keeps all that was on the stack, and if that has a place for the error, until the
    garbage collector comes: the request, and the whole turn of the engine.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
