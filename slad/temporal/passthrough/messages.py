"""Which message tells a workflow of a change of its ticket.

A change that AlgaPSA's signals can say is told by them; every other one by UPDATE, which holds all state.
"""

from __future__ import annotations

from typing import Final

from slad.core.facts import READ_BY_CLOCKS, Fact, FactKind, first_difference
from slad.core.tracking import Tracking
from slad.storage.codec import Message
from slad.storage.row_reader import Record

START: Final = 16
"""The workflow is to be started."""

UPDATE: Final = 17
"""The workflow is to take over the state that comes with the message."""

LEAVE: Final = 18
"""The workflow is to end without a word: the ticket goes on elsewhere."""


def start_message(record: Record) -> Message:
    """Starts the workflow of a tracking with all that is stored of it."""
    return Message(START, record.generation, tracking=record.tracking)


def change_message(before: Record | None, after: Record) -> Message:
    """Tells the workflow of the change from `before`, None for a new generation, to `after`."""
    if before is None:
        return start_message(after)
    fact = _added(before.tracking.facts, after.tracking.facts)
    if fact is None or not _can_be_signalled(fact) or not _same_otherwise(before.tracking, after.tracking):
        return Message(UPDATE, after.generation, tracking=after.tracking)
    return Message(fact.kind, after.generation, fact.at, fact.detail)


def _can_be_signalled(fact: Fact) -> bool:
    """Whether AlgaPSA's signals can say it: they know neither messages, owners nor codes of reasons."""
    names_a_reason = bool(fact.text) or (fact.kind == FactKind.RESUME and fact.detail != 0)
    return fact.kind not in READ_BY_CLOCKS and not names_a_reason


def _added(before: tuple[Fact, ...], after: tuple[Fact, ...]) -> Fact | None:
    """The one fact that was put among those `before`; None when it is not just one."""
    if len(after) != len(before) + 1:
        return None
    place = first_difference(before, after)
    return after[place] if after[place + 1 :] == before[place:] else None


def _same_otherwise(before: Tracking, after: Tracking) -> bool:
    return (before.terms, before.started_at, before.accounting) == (
        after.terms,
        after.started_at,
        after.accounting,
    )
