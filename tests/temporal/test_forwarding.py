"""Which message a change amounts to, what the choice of an engine looks at, and when nothing is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from temporalio.client import Client

from slad.config.settings import ConnectionSettings, RoutingSettings
from slad.core.errors import InvalidField, Refusal, Refused
from slad.core.facts import Fact, FactKind
from slad.core.schedule import build_schedule
from slad.core.status import TrackingState
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.tracking import Engine, Tracking
from slad.engine import outgoing
from slad.engine.commands import ClockOffer, ScheduleOffer, TermsOffer
from slad.engine.outgoing import Outgoing
from slad.storage import backup
from slad.storage.codec import Message, encode_schedule
from slad.storage.database import DataDirectory
from slad.storage.epoch import SEQUENCE_STRIDE
from slad.storage.journal import Fenced, Journal
from slad.storage.row_reader import Record, Waiting
from slad.storage.rows import Batch, OutboxRow
from slad.storage.store import Store
from slad.temporal.passthrough.lanes import Lanes
from slad.temporal.passthrough.messages import LEAVE, START, UPDATE, change_message
from slad.temporal.passthrough.routing import Routing, Standing
from slad.temporal.passthrough.sender import Addressee, Sender
from slad.temporal.passthrough.temporal_carrier import TemporalTurn

TERMS = Terms("gold", "", 60_000, 0, (50,), (0, 0, 0), 0)
PAUSED, RESUMED = Fact(10, FactKind.PAUSE, 1), Fact(20, FactKind.RESUME)
ANSWERED = Fact(30, FactKind.RESPOND, 2)


def tracking(*facts: Fact, **fields: Any) -> Tracking:
    return Tracking(**({"terms": TERMS, "started_at": 0, "facts": facts, "engine": Engine.TEMPORAL} | fields))


def record(state: Tracking, generation: int = 1) -> Record:
    return Record(1, 1, "T", generation, TrackingState.ACTIVE, None, state)


def test_a_new_generation_is_a_start_with_its_state() -> None:
    message = change_message(None, record(tracking(PAUSED), 3))
    assert (message.kind, message.generation, message.tracking) == (START, 3, tracking(PAUSED))


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        ((), (PAUSED,), PAUSED),
        ((PAUSED,), (PAUSED, RESUMED), RESUMED),
        ((RESUMED,), (PAUSED, RESUMED), PAUSED),
        ((PAUSED, ANSWERED), (PAUSED, RESUMED, ANSWERED), RESUMED),
        ((PAUSED,), (PAUSED, PAUSED), PAUSED),
    ],
)
def test_one_fact_more_is_that_fact_wherever_it_belongs_in_time(
    before: tuple[Fact, ...], after: tuple[Fact, ...], fact: Fact
) -> None:
    message = change_message(record(tracking(*before)), record(tracking(*after)))
    assert (message.kind, message.at, message.detail) == (fact.kind, fact.at, fact.detail)
    assert message.tracking is None


@pytest.mark.parametrize(
    "after",
    [
        tracking(PAUSED, terms=msgspec.structs.replace(TERMS, policy_id="new")),
        tracking(PAUSED, ANSWERED, started_at=5),
        tracking(),
        tracking(RESUMED, ANSWERED),
    ],
    ids=["other terms", "a fact, but another start too", "a fact less", "other facts"],
)
def test_all_else_is_an_update_with_the_whole_state(after: Tracking) -> None:
    message = change_message(record(tracking(PAUSED)), record(after))
    assert (message.kind, message.tracking) == (UPDATE, after)


@pytest.mark.parametrize(
    ("settings", "engines"),
    [
        (RoutingSettings(), "LLL"),
        (RoutingSettings("temporal"), "TTT"),
        (RoutingSettings("by-tenant", ("acme", "big-*")), "TTL"),
        (RoutingSettings("by-tenant"), "LLL"),
    ],
)
def test_the_mode_and_the_tenant_decide(settings: RoutingSettings, engines: str) -> None:
    routing = Routing(settings, Standing())
    chosen = [routing.choose(tenant) for tenant in ("acme", "big-desk", "other")]
    assert "".join(engine.name[0] for engine in chosen) == engines


@pytest.mark.parametrize(
    ("worker", "mode", "outcome"),
    [
        ("slad", "temporal", Engine.TEMPORAL),
        ("alga", "temporal", "_NOT_CARRIED"),
        ("alga", "by-tenant", Engine.LOCAL),
        ("found", "temporal", "_NOT_CARRIED"),
    ],
)
@pytest.mark.parametrize("what", ["OVERRIDES", "CLOCKS"])
def test_what_alga_psas_worker_does_not_know_is_not_given_to_it(
    tmp_path: Path, worker: Any, mode: Any, what: str, outcome: Engine | str
) -> None:
    schedule = build_schedule(
        timezone="UTC",
        is_24x7=False,
        entries=[(1, "09:00", "17:00", True)],
        holidays=[],
        date_overrides=[("2026-12-24", "", True, "Eve", [("09:00", "13:00")])] if what == "OVERRIDES" else (),
    )
    fix = ClockTerms("fix", ClockKind.FROM_START, 60_000, (), (0, 0, 0), 0)
    offered = ScheduleOffer(schedule, *encode_schedule(schedule))
    clocks = [ClockOffer(fix, None, "clocks[0]")] if what == "CLOCKS" else []
    offer = TermsOffer("", 1, 1, (), (0, 0, 0), offered, "targets[0]", tuple(clocks))
    directory = DataDirectory(tmp_path)
    directory.writer()
    store = Store(directory.reader()).temporal()
    # Also where the setting says nothing, and only others than slad's workers are found.
    standing = Standing(other_workers=frozenset({"1@alga"})) if worker == "found" else Standing()
    worker = "slad" if worker == "found" else worker
    routing = Routing(RoutingSettings(mode, ("acme",), worker=worker), standing)
    turn = TemporalTurn(routing, store, Lanes(store))
    if isinstance(outcome, str):
        with pytest.raises(InvalidField) as refused:
            turn.choose("acme", "T-1", None, offer)
        assert refused.value.reason == what + outcome
    else:
        assert turn.choose("acme", "T-1", None, offer) is outcome
    directory.close()


def test_while_temporal_is_away_the_fallback_decides() -> None:
    for fallback, engine in (("wait", Engine.TEMPORAL), ("local", Engine.LOCAL)):
        away = Standing(trouble=Refused(Refusal.UNAVAILABLE, "TEMPORAL_UNREACHABLE", "nothing listens there"))
        routing = Routing(RoutingSettings("temporal", fallback=fallback), away)
        assert routing.choose("acme") is engine
        assert routing.fallbacks == (fallback == "local")


def test_after_a_restore_no_message_has_a_key_that_a_workflow_may_have_seen(tmp_path: Path) -> None:
    """A workflow drops what has a key at or below the last that it has heard."""
    data, copy, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    for folder in (data, restored):
        folder.mkdir()

    def put(folder: Path) -> int:
        directory = DataDirectory(folder)
        journal, store = Journal(directory.writer()), Store(directory.reader()).temporal()
        journal.commit(Batch(outbox=[OutboxRow("w", 1, 0, msgspec.msgpack.encode([17, 1]))]))
        waiting = store.next_of("w")
        assert waiting
        journal.commit(Batch(outbox_taken=[(waiting.message_key,)]))
        store.close()
        journal.close()
        directory.close()
        return waiting.message_key

    assert [put(data), put(data)] == [1, 2], "keys are never used twice, sent or not"
    backup.back_up(data, copy)
    backup.restore(copy, restored)
    assert put(restored) > SEQUENCE_STRIDE


class Asked:
    """A client of Temporal that notes what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def get_workflow_handle(self, workflow_id: str, *, run_id: str | None = None) -> Asked:
        return self

    async def start_workflow(self, workflow: str, *_: Any, **__: Any) -> None:
        self.calls.append("start")

    async def signal(self, name: str, *_: Any, **__: Any) -> None:
        self.calls.append(name)

    async def terminate(self, **_: Any) -> None:
        self.calls.append("terminate")


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (Message(START, 1, tracking=tracking()), "start"),
        (Message(UPDATE, 1, tracking=tracking()), "sladUpdate"),
        (Message(FactKind.PAUSE, 1, 10, 1), "pause"),
        (Message(LEAVE, 1), "terminate"),
    ],
    ids=["start", "update", "fact", "leave"],
)
async def test_nothing_is_sent_while_another_copy_may_serve(
    message: Message, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "ASK_EVERY_S", 0.0)
    asked, questions, fenced = Asked(), 0, True

    def check() -> None:
        nonlocal questions
        questions += 1
        if fenced:
            raise Fenced("the lease could not be renewed")

    sender = Sender(
        ConnectionSettings(), cast(Client, asked), Standing(tells_workers=False), outgoing=Outgoing(check)
    )
    sending = asyncio.create_task(
        sender.send(Waiting(1, "slad-acme-T", 1, 0, message), Addressee("acme", "T", None))
    )
    while questions < 3:  # noqa: ASYNC110 - it asks without a pause
        await asyncio.sleep(0)
    assert not asked.calls
    fenced = False
    await sending
    assert asked.calls == [call]
