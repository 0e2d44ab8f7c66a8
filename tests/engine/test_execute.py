"""Commands that are carried out together come to what they come to one after the other (X2, X3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slad.core.errors import InvalidField, Refused
from slad.core.events import PauseReason
from slad.core.instants import HOUR_MS
from slad.core.machine import ReopenMode
from slad.core.status import TrackingState
from slad.core.tracking import Engine
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.commands import (
    Answer,
    Assign,
    Cancel,
    Command,
    Complete,
    OnExisting,
    Pause,
    Reopen,
    RequestIdentity,
    Resume,
    Start,
    TermsOffer,
)
from slad.engine.execute import execute, execute_all
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.row_reader import Record
from tests.engine.test_engine import NOW, promise


class OneWorkflow(LocalCarrier):
    """Carries the tickets of `beta`, one at a time: all would have the same workflow."""

    def __init__(self) -> None:
        self._holder = ""

    def choose(self, tenant_id: str, ticket_id: str, live: Record | None, offer: TermsOffer | None) -> Engine:
        if tenant_id != "beta":
            return Engine.LOCAL
        if self._holder not in ("", ticket_id):
            raise InvalidField("ticket_id", "WORKFLOW_ID_TAKEN", self._holder)
        return Engine.TEMPORAL

    def expect(self, record: Record, tenant_id: str) -> Record:
        self._holder = record.ticket_id if record.state is TrackingState.ACTIVE else ""
        return record


def start(on_existing: OnExisting, ago_hours: int, **about: object) -> Start:
    started_at = NOW - ago_hours * HOUR_MS
    return Start(policy_id="p", terms=promise(60), started_at=started_at, on_existing=on_existing, **about)


ABOUT = {
    "tenant_id": st.sampled_from(["acme", "beta", "gamma", ""]),
    "ticket_id": st.sampled_from("ABC"),
    "request": st.none()
    | st.builds(RequestIdentity, st.just("acme"), st.sampled_from("rs"), st.sampled_from([b"1", b"2"])),
}
STARTS = {**ABOUT, "tenant_id": st.sampled_from(["acme", "beta", "gamma"])}
COMMANDS = st.lists(
    st.builds(start, st.sampled_from(OnExisting), st.integers(0, 3), **STARTS)
    | st.builds(Pause, reason=st.sampled_from([*PauseReason][:2]), **ABOUT)
    | st.builds(Resume, reason=st.none(), **ABOUT)
    | st.builds(Complete, clock=st.sampled_from(["response", "resolution"]), **ABOUT)
    | st.builds(Cancel, **ABOUT)
    | st.builds(Reopen, mode=st.sampled_from(ReopenMode), **ABOUT)
    | st.builds(Assign, owner=st.sampled_from(["ann", "bob"]), **ABOUT),
    min_size=2,
    max_size=12,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    data = DataDirectory(tmp_path)
    journal = Journal(data.writer())
    journal.begin()
    yield journal
    journal.close()
    data.close()


def test_together_as_one_by_one(journal: Journal) -> None:
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(COMMANDS)
    def hold(commands: list[Command]) -> None:
        together, alone = unit(journal), unit(journal)
        answers = execute_all(together, [(command, told) for command in commands])
        assert shown(answers) == shown([attempt(alone, command) for command in commands])
        assert together.finish() == alone.finish()

    hold()


def unit(journal: Journal) -> UnitOfWork:
    return UnitOfWork(journal.store, Catalog(journal.store), journal.counters(), NOW, OneWorkflow())


def attempt(work: UnitOfWork, command: Command) -> bytes | Exception:
    try:
        return execute(work, command, told)
    except (InvalidField, Refused) as error:
        return error


def told(answer: Answer) -> bytes:
    return repr((answer.ticket, answer.state, answer.tracking, answer.changed)).encode()


def shown(answers: list[bytes | Exception]) -> list[object]:
    return [repr(answer) if isinstance(answer, Exception) else answer for answer in answers]
