"""Short attacks on a real daemon: what others notice of them, and what they take of the machine.

All, at full size: `make abuse`. The bounds are far from what is measured on a quiet machine
(docs/reliability.md), and farther from what it was before there were any.
"""

from __future__ import annotations

from statistics import median

import pytest

from tests.trials.abuse.__main__ import FULL
from tests.trials.abuse.attacks import ATTACKS
from tests.trials.abuse.trial import Attack, Outcome, run

STOPPED_S = 25
"""systemd waits for 30 s."""


async def survived(attack: Attack) -> Outcome:
    """Makes an attack: others are answered meanwhile, the operator gets in, and it ends cleanly."""
    outcome = await run(attack)
    notes = outcome.notes
    assert outcome.errors == []
    assert outcome.exit_code == 0
    assert outcome.stopped_in_s < STOPPED_S
    assert not [what for what in notes.errors if not what.startswith("newcomer")], notes.errors
    assert notes.operator_ms, "somebody got in over the control socket"
    assert median(notes.answers_ms) < 2_000
    return outcome


def mib(outcome: Outcome) -> float:
    return max(outcome.notes.memory_mib)


async def test_imports_of_many_pauses_make_nobody_late() -> None:
    outcome = await survived(Attack("imports", "", 8, 1, 16, "write"))
    assert median(outcome.notes.late_ms) < 2_000, "it was 44 s"
    assert max(outcome.notes.late_ms) < 10_000
    assert mib(outcome) < 700, "it was 1.9 GiB"


async def test_dear_questions_make_nobody_late() -> None:
    outcome = await survived(Attack("previews", "", 5, 1, 100, "read", large_events=1))
    assert outcome.met["answered"] > 0
    assert median(outcome.notes.starts_ms) < 2_000
    assert median(outcome.notes.late_ms) < 2_000


async def test_streams_that_are_reset_wait_for_their_own_connection() -> None:
    outcome = await survived(Attack("resets", "", 3, 2))
    assert outcome.met["opened"] > 1_000
    assert mib(outcome) < 300
    assert not outcome.notes.errors, "gRPC cancelled calls of others"


async def test_reconciliations_have_places_and_leave_descriptors() -> None:
    outcome = await survived(Attack("reconciliations", "", 3, 3, 100, "read"))
    assert outcome.met["opened"] == 300
    assert outcome.met["ended"] >= 300 - 16, "those beyond the share of the caller"
    assert max(outcome.notes.descriptors) < 200
    assert not outcome.notes.errors


@pytest.mark.parametrize("name", ["watches", "exports"])
async def test_what_is_not_read_holds_little(name: str) -> None:
    outcome = await survived(Attack(name, "", 3, 2, 100, "read", large_events=300))
    assert mib(outcome) < 300, "it was 3.9 GiB"


async def test_watches_of_health_have_places() -> None:
    outcome = await survived(Attack("health_watches", "", 1, 4, 500))
    assert outcome.met["ended"] >= 4 * (500 - 16)
    assert mib(outcome) < 200


async def test_nothing_is_received_of_who_may_not_call() -> None:
    outcome = await survived(Attack("bodies", "", 2, 4, 40))
    assert outcome.met["refused"] == 160
    assert mib(outcome) < 200, "it was 534 MiB"


async def test_requests_of_strangers_may_not_arrive_slowly() -> None:
    outcome = await survived(Attack("health_bodies", "", 6, 4, 40))
    assert outcome.met["refused"] > 160 - 8 - 8
    assert outcome.memory_after_mib < 300


async def test_a_silent_connection_is_closed_in_time() -> None:
    options = ("--limits-handshake-time", "1s")
    outcome = await survived(Attack("handshakes", "", 10, 200, options=options))
    assert outcome.met["opened"] == outcome.met["closed"] == 200


def test_each_attack_is_made_at_full_size_too() -> None:
    assert {attack.name for attack in FULL} == set(ATTACKS)
