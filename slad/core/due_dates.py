"""Fixed due dates: a negotiated instant in place of a target in minutes.

It becomes open time once, when it arrives, and counts as minutes do from then on: pauses, percents and
escalations know nothing of it.
"""

from __future__ import annotations

import msgspec

from slad.core.errors import BadTarget
from slad.core.events import PHASES
from slad.core.reading import Calendars, counted_until
from slad.core.terms import Terms
from slad.core.tracking import Tracking


class NoOpenTime(BadTarget):
    """The clock of that name would count nothing until its fixed due date."""


def with_open_time(
    tracking: Tracking, calendars: Calendars, now: int, former: Terms | None = None
) -> Tracking:
    """`tracking` with targets in open ms for the due dates that its terms give; instants in UTC epoch ms.

    From the start, less the pauses so far, so that the clock is due then as things stand. A due date that
    `former` has too keeps the open time that it was given there. Raises NoOpenTime.
    """
    terms = tracking.terms
    if not terms.response_due_at and not terms.resolution_due_at:
        return tracking
    targets: dict[str, int] = {}
    for name, phase in PHASES.items():
        field, due_at = f"{name}_ms", terms.due_at(phase)
        if not due_at or terms.target_ms(phase):
            continue
        if former is not None and former.due_at(phase) == due_at:
            targets[field] = former.target_ms(phase)
            continue
        # Only a clock with a target has terms of its own; how long it is makes no difference here.
        some = msgspec.structs.replace(terms, **{field: 1})
        clock = next(clock for clock in some.clocks if clock.name == name)
        calendar = calendars(clock.schedule_key)
        targets[field] = counted_until(tracking, tracking.history, clock, calendar, now, due_at)
        if targets[field] <= 0:
            raise NoOpenTime(name)
    return msgspec.structs.replace(tracking, terms=msgspec.structs.replace(terms, **targets))
