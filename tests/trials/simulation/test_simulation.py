"""Some hundred simulated worlds, and the harness itself: it repeats, it finds what is broken, and it shrinks.

All: `make simulate`; one seed again: `python -m tests.trials.simulation --seed N`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from slad.core import machine, settle
from slad.delivery.consumers import Consumers
from slad.engine import engine, execute
from slad.storage.journal import Journal
from slad.storage.rows import ConsumerRow
from tests.trials.simulation.__main__ import live_through
from tests.trials.simulation.actions import (
    Acknowledge,
    Command,
    Fact,
    Kill,
    Knobs,
    Pass,
    Promise,
    Read,
    Restart,
    Retarget,
    Send,
    Start,
    StepClock,
)
from tests.trials.simulation.ledger import Violation
from tests.trials.simulation.rules import RULES
from tests.trials.simulation.shrink import Case, same_fault, shrink
from tests.trials.simulation.world import Counts, drawn, failure, run

SEEDS = 300
CHUNK = 15

BEGUN = Send((Command("A", Start(Promise(100, 500))),))


def test_every_rule_holds_in_some_hundred_worlds() -> None:
    counts, failed = Counts(), {}
    chunks = [range(begin, begin + CHUNK) for begin in range(0, SEEDS, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for counted, wrong in pool.map(live_through, chunks):
            counts.update(counted)
            failed |= wrong
    assert not failed, failed
    seen = [name for name in counts if counts[name]]
    assert {f"rule {rule}" for rule in RULES} <= set(seen), "each rule was checked"
    for name in ("kills", "power cuts", "steps in which commits failed", "steps of the clock", "restarts"):
        assert counts[name] > 50, f"{name}: {counts[name]}"


def test_a_seed_repeats_exactly() -> None:
    once, again = Counts(), Counts()
    for counts in (once, again):
        assert failure(*drawn(11), counts) is None
    assert once == again
    assert drawn(11) == drawn(11)
    assert drawn(11) != drawn(12)


def _found(actions: Sequence[object], knobs: Knobs | None = None) -> str:
    with pytest.raises(Violation) as caught:
        run(knobs or Knobs(), actions)  # type: ignore[arg-type]
    return caught.value.rule


def test_a_commit_that_is_not_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M8: answered before it is durable."""
    commit = Journal.commit

    def forgetful(self: Journal, batch: object) -> None:
        commit(self, batch)  # type: ignore[arg-type]
        self._connection.execute("DELETE FROM tracking WHERE ticket_id = 'A'")

    monkeypatch.setattr(Journal, "commit", forgetful)
    with pytest.raises(Exception, match=r"no tracking|generation|never started"):
        run(Knobs(), [BEGUN, Pass(10)])


def _forget_that_clocks_are_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (machine, settle):
        monkeypatch.setattr(module, "latest_known", lambda tracking, now: now)


SLOWER = Send((Command("A", Retarget(Promise(200, 500))),))
RENAMED = Send((Command("A", Retarget(Promise(200, 500, (50, 60)))),))


def test_a_threshold_that_fires_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """C5: a clock that was set back must not undo what was told."""
    life = [BEGUN, Pass(120), SLOWER, StepClock(-60), RENAMED, Pass(100)]
    run(Knobs(), life)
    _forget_that_clocks_are_set_back(monkeypatch)
    assert _found(life) in {"C5", "M6"}


def test_a_start_that_is_not_moved_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M5: of a ticket that was merged all counts since the older one's start."""
    life = [BEGUN, Pass(60), Send((Command("A", Retarget(Promise(100, 500), started=100)),))]
    run(Knobs(), life)
    retarget = machine.retarget

    def stays(*about: Any, started_at: int, **how: Any) -> Any:
        return retarget(*about, **how)

    monkeypatch.setattr(machine, "retarget", stays)
    assert _found(life) in {"M5", "C2"}


def test_a_message_whose_commands_do_not_see_each_other_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """X3: the commands of one ticket in one message are carried out one after the other."""
    life = [
        Send((*BEGUN.commands, Command("A", Fact("pause")), Command("A", Fact("cancel"))), by_stream=True)
    ]
    run(Knobs(), life)

    def all_at_once(work: Any, commands: Any) -> Any:
        decided = [execute._attempt(execute._decide, work, *command) for command in commands]
        return [one if isinstance(one, Exception) else execute._store(work, one) for one in decided]

    monkeypatch.setattr(engine, "execute_all", all_at_once)
    assert _found(life) == "M4"


def test_a_consumer_that_loses_its_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: an acknowledgement is durable."""

    async def store(consumers: Consumers, consumer: Any, row: ConsumerRow) -> None:
        lost = row._replace(acknowledged=0)
        await consumers._engine.write(lambda work: work.rows.consumers.append(lost))
        consumer.row = row

    monkeypatch.setattr(Consumers, "_store", store)
    assert _found([BEGUN, Read("psa"), Acknowledge("psa"), Restart()]) == "E2"


def test_a_failure_is_shrunk_to_what_causes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_that_clocks_are_set_back(monkeypatch)
    noise = (
        Read("psa"),
        Pass(5),
        Kill(minutes=10),
        Restart(1),
        Acknowledge("psa"),
        Send((Command("B", Fact("cancel")),)),
    )
    actions = (
        *noise,
        BEGUN,
        *noise,
        Pass(120),
        *noise,
        SLOWER,
        *noise,
        StepClock(-140),
        *noise,
        RENAMED,
        Pass(100),
    )
    error = failure(Knobs(timers_page=1), actions)
    assert isinstance(error, Violation)

    def fails(case: Case) -> bool:
        found = failure(*case)
        return found is not None and same_fault(found, error)

    small = shrink(Case(Knobs(timers_page=1), actions), fails)
    assert fails(small)
    assert small.knobs == Knobs()
    assert len(small.actions) <= 6
    assert "Start(" in str(small)
