"""Enum values by name, with or without the prefix that the contract gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

Value = TypeVar("Value", bound=int)

Named: TypeAlias = Value | str
"""A constant of `slad_client.v1.types_pb2`, or its name: "SLA_PHASE_RESPONSE", or "RESPONSE" for short."""


def number(argument: str, enum: Any, value: Named[Value]) -> Value:
    """The constant that `value` means. Raises ValueError, which names the argument and what there is."""
    if not isinstance(value, str):
        return value
    for name in (value, f"{_prefix(enum)}{value}"):
        if name in enum.keys():  # noqa: SIM118 - not a mapping
            return enum.Value(name)  # type: ignore[no-any-return]
    known = ", ".join(short_name(enum, known) for known in enum.values() if known)
    raise ValueError(f"{argument}: {value!r} is not one of {known}")


def numbers(argument: str, enum: Any, values: Sequence[Named[Value]]) -> list[Value]:
    """The same of several."""
    return [number(argument, enum, value) for value in values]


def short_name(enum: Any, value: int) -> str:
    """The name of a constant without its prefix: `short_name(pb.SlaEventType, event.type)` is "STARTED".

    The number as text when this client does not know it: a later slad has sent it.
    """
    return enum.Name(value).removeprefix(_prefix(enum)) if value in enum.values() else str(value)


def _prefix(enum: Any) -> str:
    """Of the constant 0, which each enum of the contract has."""
    return str(enum.Name(0)).removesuffix("UNSPECIFIED")
