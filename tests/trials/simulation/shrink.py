"""Reduces what happens in a world that breaks a rule, to what is needed to break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from tests.trials.simulation.actions import Action, Knobs, Send
from tests.trials.simulation.ledger import Violation


class Case(NamedTuple):
    """All that happens in one world."""

    knobs: Knobs
    actions: tuple[Action, ...]

    def __str__(self) -> str:
        actions = "".join(f"\n        {action!r}," for action in self.actions)
        return f"run(\n    {self.knobs!r},\n    [{actions}\n    ],\n)"


def same_fault(one: BaseException, other: BaseException) -> bool:
    """Whether two failures are of one kind: the same rule, or the same exception."""
    if isinstance(one, Violation) and isinstance(other, Violation):
        return one.rule == other.rule
    return type(one) is type(other)


def shrink(case: Case, fails: Callable[[Case], bool], tries: int = 2_000) -> Case:
    """The smallest case that can be come to by leaving things out, one after the other, and still `fails`.

    Deterministic. At most `tries` runs.
    """
    left = tries
    shrinking = True
    while shrinking:
        shrinking = False
        for smaller in _smaller(case):
            if not left:
                return case
            left -= 1
            if fails(smaller):
                case, shrinking = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    yield from (case._replace(actions=actions) for actions in _without_some(case.actions))
    for place, action in enumerate(case.actions):
        before, after = case.actions[:place], case.actions[place + 1 :]
        for simpler in _simpler(action):
            yield case._replace(actions=(*before, simpler, *after))
    for one in fields(Knobs):
        if getattr(case.knobs, one.name) != one.default:
            yield case._replace(knobs=replace(case.knobs, **{one.name: one.default}))


def _without_some(actions: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Without ever smaller parts; the later ones first, as what comes after a fault does not matter."""
    size = len(actions)
    while size:
        for end in range(len(actions), 0, -size):
            yield (*actions[: max(0, end - size)], *actions[end:])
        size //= 2


def _simpler(action: Any) -> Iterator[Any]:
    """The same action with less in it."""
    if isinstance(action, Send):
        yield from (Send(few, action.by_stream) for few in _without_some(action.commands) if few)
    for one in fields(action):
        value = getattr(action, one.name)
        for simpler in _simpler_values(value, one.default):
            yield replace(action, **{one.name: simpler})


def _simpler_values(value: Any, default: Any) -> Iterator[Any]:
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        for place, item in enumerate(value):
            yield from ((*value[:place], simpler, *value[place + 1 :]) for simpler in _simpler(item))
    elif is_dataclass(value):
        yield from _simpler(value)
    elif isinstance(value, type(default)) and value != default:
        yield default
