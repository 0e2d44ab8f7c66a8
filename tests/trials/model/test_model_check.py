"""The worlds to a small depth, whole; and that the search would notice what it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slad.core import happened, machine, settle
from tests.trials.model.explore import explore
from tests.trials.model.worlds import WORLDS


@pytest.mark.parametrize("name", WORLDS)
def test_every_state_of_a_world_is_as_counted(name: str) -> None:
    counts = explore(WORLDS[name], facts=3)
    assert counts.states > 500
    assert counts.sequences > counts.states


def _fires_again(clock: object, firings: object, *due: object, **how: object) -> object:
    return DUE(clock, {}, *due, **how)


DUE = settle._due

MUTANTS: dict[str, tuple[str, object, str, Callable[..., object]]] = {
    "late facts go last": ("replies", machine, "insert", lambda facts, fact: (*facts, fact)),
    "nothing is retracted": ("ends", settle, "_untrue", lambda *_: ([], False)),
    "all is fired again": ("lapses", settle, "_due", _fires_again),
    "no closing is told": ("reasons", happened, "_named", lambda *_: iter(())),
    "a wake is forgotten": ("owners", settle, "next_wake", lambda *_: None),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_search_notices(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, module, name, wrong = MUTANTS[mutant]
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        explore(WORLDS[world], facts=2)
