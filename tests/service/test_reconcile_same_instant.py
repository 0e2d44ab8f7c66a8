"""Reconciliation, of facts of the same instant: a row does not say in which order they arrived."""

from __future__ import annotations

from itertools import accumulate, islice

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from slad.core.events import PauseReason
from slad.core.facts import Fact, FactKind
from slad.core.history import fold
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.core.terms import Terms
from slad.core.tracking import Tracking
from slad.engine.catalog import EVERY_HOUR
from slad.engine.queries import LiveTracking
from slad.engine.reconcile import different_pauses
from slad.service.export import tracking_row
from slad.service.fields import Fields
from slad.service.import_rows import tracking_import
from slad.service.requests import RequestReader
from tests.service.importing import CLIENT, STATUS
from tests.slad_under_test import MONDAY_9

TURNS = (FactKind.RESOLVE, FactKind.CANCEL, FactKind.REOPEN)
REASONS = ((CLIENT, ""), (STATUS, ""), (PauseReason.OTHER, "vendor"))
HAPPENINGS = st.one_of(
    st.sampled_from([(FactKind.PAUSE, *reason) for reason in REASONS]),
    st.sampled_from([(FactKind.RESUME, *reason) for reason in (*REASONS, (0, ""))]),
    st.sampled_from([(kind, 0, "") for kind in TURNS]),
)


@settings(max_examples=2_000)
@given(st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, MINUTE_MS]), HAPPENINGS), max_size=7))
@example(
    [(0, (FactKind.PAUSE, CLIENT, "")), (0, (FactKind.PAUSE, STATUS, "")), (0, (FactKind.RESUME, CLIENT, ""))]
)
def test_the_order_of_facts_of_the_same_instant_is_no_difference(
    happened: list[tuple[int, tuple[int, int, str]]],
) -> None:
    """K6: what slad exports of a ticket is what it has, also if a pause ends as it or another begins."""
    instants = accumulate((later for later, _ in happened), initial=MONDAY_9)
    facts = tuple(Fact(at, *what) for at, (_, what) in zip(islice(instants, 1, None), happened, strict=True))
    terms = Terms("", "", MINUTE_MS, MINUTE_MS, (), (0, 0, 0), EVERY_HOUR)
    tracking = Tracking(terms, MONDAY_9, facts)
    assume(not tracking.history.life.ended)
    exported = tracking_row(LiveTracking("acme", "T-1", tracking, {EVERY_HOUR: None}))
    wanted = tracking_import(RequestReader(Fields()), exported, "acme", MONDAY_9 + HOUR_MS)
    assert not different_pauses(fold(wanted.facts), tracking.history)
