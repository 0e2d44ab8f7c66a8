"""Back to what was known earlier: each change of a tracking, the other way round (A5)."""

from __future__ import annotations

import msgspec

from slad.core.facts import Fact, first_difference
from slad.core.tracking import Annotation, Tracking


class Undo(msgspec.Struct, frozen=True, array_like=True):
    """How to get from a state of a tracking back to the one before it, as far as reports tell of it."""

    added: tuple[Fact, ...] = ()
    """The facts that came."""
    former: Tracking | None = None
    """When that is not all that changed of the clocks: the state before, without what was announced."""
    annotations: tuple[Annotation, ...] | None = None
    """Those before, when they changed."""


def undo_of(before: Tracking, after: Tracking) -> Undo | None:
    """How to get from `after` back to `before`; None: clocks and annotations are the same."""
    annotations = None if before.annotations is after.annotations else before.annotations
    if (
        before.terms is after.terms
        and before.started_at == after.started_at
        and before.accounting == after.accounting
        and before.unjudged_response == after.unjudged_response
    ):
        if before.facts is after.facts:
            return None if annotations is None else Undo(annotations=annotations)
        place = first_difference(before.facts, after.facts)
        if before.facts[place:] == after.facts[place + 1 :]:
            return Undo(added=after.facts[place : place + 1], annotations=annotations)
    former = msgspec.structs.replace(before, fired=(), attributes={}, annotations=())
    return Undo(former=former, annotations=annotations)


def undone(tracking: Tracking, undo: Undo) -> Tracking:
    """The state before the change."""
    annotations = tracking.annotations if undo.annotations is None else undo.annotations
    if undo.former is not None:
        return msgspec.structs.replace(undo.former, attributes=tracking.attributes, annotations=annotations)
    facts = list(tracking.facts)
    for fact in undo.added:
        if fact in facts:
            # Of equal facts it does not matter which one goes.
            facts.remove(fact)
    return msgspec.structs.replace(tracking, facts=tuple(facts), annotations=annotations)
