"""What can happen to a ticket, by names that tests and the naive count share.

Its instant is put in when it does.
"""

from __future__ import annotations

from typing import Final

from slad.core import machine
from slad.core.facts import Fact, FactKind
from slad.core.reading import Calendars
from slad.core.settle import Transition
from slad.core.tracking import Tracking

HAPPENINGS: Final[dict[str, Fact]] = {
    "pause": Fact(0, FactKind.PAUSE, 1),
    "pause for vendor": Fact(0, FactKind.PAUSE, 3, "vendor"),
    "resume": Fact(0, FactKind.RESUME),
    "resume from vendor": Fact(0, FactKind.RESUME, 3, "vendor"),
    "respond": Fact(0, FactKind.RESPOND),
    "customer": Fact(0, FactKind.CUSTOMER_MESSAGE),
    "agent": Fact(0, FactKind.AGENT_MESSAGE),
    "to a": Fact(0, FactKind.ASSIGN, text="a"),
    "to b": Fact(0, FactKind.ASSIGN, text="b"),
    "to nobody": Fact(0, FactKind.ASSIGN),
    "complete fix": Fact(0, FactKind.COMPLETE, text="fix"),
    "discard next": Fact(0, FactKind.DISCARD, text="next"),
    "discard response": Fact(0, FactKind.DISCARD, text="response"),
    "resolve": Fact(0, FactKind.RESOLVE),
    "cancel": Fact(0, FactKind.CANCEL),
    "reopen": Fact(0, FactKind.REOPEN),
}


def happen(name: str, tracking: Tracking, calendars: Calendars, now: int, at: int) -> Transition:
    """Tells a ticket at `now` that something happened `at` (UTC epoch ms). Raises what the machine raises."""
    fact = HAPPENINGS[name]
    if fact.kind == FactKind.REOPEN:
        return machine.reopen(tracking, machine.ReopenMode.RESUME, calendars, now, effective_at=at)
    return machine.add_fact(
        tracking,
        FactKind(fact.kind),
        calendars,
        now,
        effective_at=at,
        detail=fact.detail,
        text=fact.text,
    )


def is_kept(name: str, before: Tracking, after: Transition) -> bool:
    """Whether it was recorded. What changes nothing, whatever may come before it yet, is not."""
    if after.tracking.facts != before.facts:
        return True
    assert not after.changed
    assert not after.events
    assert name in ("respond", "resolve", "cancel", "reopen"), f"{name} was forgotten"
    return False
