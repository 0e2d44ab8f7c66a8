"""The state of one tracking: facts and what has been announced. Compact, immutable, stored as one value."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec

from slad.core.facts import Fact
from slad.core.history import History, fold
from slad.core.terms import Terms


class PauseAccounting(IntEnum):
    """How pauses move deadlines. The numbers are those of the wire contract."""

    BUSINESS_TIME = 1
    ALGA_WALL_CLOCK = 2


class Engine(IntEnum):
    """Who fires the thresholds. The numbers are those of the wire contract."""

    LOCAL = 1
    TEMPORAL = 2


class Fired(msgspec.Struct, frozen=True, array_like=True):
    """What has been announced of one threshold of one cycle (C5, K4). Instants in UTC epoch ms.

    `fired_at` is 0 once the firing was retracted; then only `arming`, the number of retractions, counts.
    """

    clock: int | str
    """The phase, or the name of another clock."""
    percent: int
    scheduled_at: int
    fired_at: int
    superseded: bool = False
    silent: bool = False
    """Recorded without an event (`suppress_past`); its retraction is silent too."""
    arming: int = 0
    opened_at: int = 0
    """When its cycle opened; 0 for a clock that has one cycle only."""
    epoch: int = 0
    """As of the Tracking, when it fired after a retraction; a first firing is the same in every epoch."""

    @property
    def cycle(self) -> CycleKey:
        """Which cycle it is of."""
        return self.clock, self.opened_at

    def retracted(self) -> Fired:
        """What is left of it when it turns out not to be true."""
        return Fired(
            self.clock,
            self.percent,
            self.scheduled_at,
            0,
            arming=self.arming + 1,
            opened_at=self.opened_at,
        )


CycleKey = tuple[int | str, int]
"""What makes a cycle the same: its clock, and when it opened if the clock has several (K4)."""


class Annotation(msgspec.Struct, frozen=True, array_like=True):
    """Why a cycle was missed, and whether it is to count (A3)."""

    clock: int | str
    """As of Fired."""
    opened_at: int
    """As of Fired."""
    reason_code: str = ""
    note: str = ""
    excused: bool = False

    @property
    def cycle(self) -> CycleKey:
        """Which cycle it is of."""
        return self.clock, self.opened_at


class Tracking(msgspec.Struct, frozen=True, array_like=True):
    """One generation of a ticket's obligation (C1)."""

    terms: Terms
    started_at: int
    """UTC epoch ms."""
    facts: tuple[Fact, ...] = ()
    """In order of their instants."""
    fired: tuple[Fired, ...] = ()
    accounting: int = PauseAccounting.BUSINESS_TIME
    engine: int = Engine.LOCAL
    attributes: dict[str, str] = {}
    judged_at: int = 0
    """When a firing was last found to be true still, though by now it belongs to another instant (UTC epoch
    ms, 0: never). A clock that is set back behind it does not make that firing untrue (C5)."""
    unjudged_response: bool = False
    """A response that the resolution brings with it is closed without a verdict (K7)."""
    annotations: tuple[Annotation, ...] = ()
    epoch: int = 0
    """How often the database had been restored when this was judged. What was told before the last time may
    have been retracted since, which is not known here."""
    retargets: int = 0
    """How often its terms, its start or all its facts were replaced."""

    @property
    def history(self) -> History:
        """What its facts amount to."""
        return fold(self.facts, unjudged_response=self.unjudged_response)

    def fired_of(self, cycle: CycleKey) -> dict[int, Fired]:
        """What was announced of a cycle, by percent; retracted ones included."""
        return {fired.percent: fired for fired in self.fired if fired.cycle == cycle}


class TicketRef(NamedTuple):
    """Which generation of which ticket (C1)."""

    tenant_id: str
    ticket_id: str
    generation: int
