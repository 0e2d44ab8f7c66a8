"""A report counted naively, from the events alone: nothing of slad's own ledger, readings or deadlines.

It knows the target of each clock, every hour counts, a ticket is paused for one reason. What an event does
not say (when a cycle that was met would have been due, how much of it was paused) is counted from the events
that tell of pauses.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from slad_client.v1 import types_pb2 as types

REACHED, RETRACTED = types.SLA_EVENT_TYPE_THRESHOLD_REACHED, types.SLA_EVENT_TYPE_THRESHOLD_RETRACTED
CLOSING = {
    types.SLA_EVENT_TYPE_PHASE_COMPLETED,
    types.SLA_EVENT_TYPE_CLOCK_CLOSED,
}


@dataclass
class Cycle:
    clock: str
    opened_at: int
    closed_at: int | None = None
    judged: bool = False
    by_cancel: bool = False
    breached_at: int | None = None
    """The instant of the breach that was announced and stands."""


@dataclass
class Life:
    """One generation of a ticket, as its events tell it."""

    cycles: dict[tuple[str, int], Cycle] = field(default_factory=dict)
    pauses: list[int] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    ended_at: int | None = None
    targets: dict[str, int] = field(default_factory=dict)
    """Open ms, by clock."""


def ms(stamp: Any) -> int:
    return int(stamp.ToMilliseconds())


class NaiveLedger:
    """Hears events in their order."""

    def __init__(self, clocks: Iterable[str]) -> None:
        self.clocks = tuple(clocks)
        """Those that open with the ticket and have one cycle."""
        self.lives: dict[tuple[str, int], Life] = {}
        self.promised: dict[str, dict[str, int]] = {}
        """Open ms by clock, of the terms that the caller gave a ticket last."""
        self.excused: set[tuple[str, str, int]] = set()
        """Ticket, clock and opening of the cycles that the caller has excused."""

    def hear(self, event: types.SlaEvent) -> None:
        at, key = ms(event.occurred_at), (event.ticket_id, event.generation)
        if event.type == types.SLA_EVENT_TYPE_STARTED:
            cycles = {(clock, at): Cycle(clock, at) for clock in self.clocks}
            self.lives[key] = Life(cycles, targets=self.promised[event.ticket_id])
            return
        if event.type == types.SLA_EVENT_TYPE_REOPENED:
            self._reopen(key, at)
            return
        life = self.lives[key]
        about = (event.clock, ms(event.cycle_opened_at))
        if event.type == REACHED and event.threshold.breach:
            life.cycles[about].breached_at = ms(event.threshold.scheduled_at)
        elif event.type == RETRACTED and event.threshold.breach and about in life.cycles:
            life.cycles[about].breached_at = None
        elif event.type in CLOSING:
            cycle = life.cycles[about]
            cycle.closed_at, cycle.judged = at, event.HasField("met")
            cycle.by_cancel = False
        elif event.type == types.SLA_EVENT_TYPE_CLOCK_OPENED:
            known = life.cycles.setdefault(about, Cycle(*about))
            known.closed_at, known.judged, known.by_cancel = None, False, False
        elif event.type == types.SLA_EVENT_TYPE_CLOCK_RETRACTED:
            del life.cycles[about]
        elif event.type == types.SLA_EVENT_TYPE_RETARGETED:
            life.targets = self.promised[event.ticket_id]
        elif event.type == types.SLA_EVENT_TYPE_PAUSED:
            life.pauses.append(at)
        elif event.type == types.SLA_EVENT_TYPE_RESUMED:
            life.resumes.append(at)
        elif event.type == types.SLA_EVENT_TYPE_CANCELLED:
            life.ended_at = at
            for cycle in life.cycles.values():
                if cycle.closed_at is None:
                    cycle.closed_at, cycle.judged, cycle.by_cancel = at, False, True
                elif cycle.closed_at == at and not cycle.judged:
                    cycle.by_cancel = True
        elif event.type == types.SLA_EVENT_TYPE_COMPLETED:
            life.ended_at = at

    def _reopen(self, key: tuple[str, int], at: int) -> None:
        """The next generation goes on with the cycles (the test reopens by RESUME only)."""
        former = self.lives.pop((key[0], key[1] - 1))
        life = self.lives[key] = copy.deepcopy(former)
        assert life.ended_at is not None
        life.gaps.append((life.ended_at, at))
        if len(life.resumes) < len(life.pauses):
            life.resumes.append(life.ended_at)
        for cycle in life.cycles.values():
            if cycle.by_cancel or cycle.clock == "resolution":
                cycle.closed_at, cycle.judged, cycle.by_cancel = None, False, False
        life.ended_at = None

    # --- figures

    def row(self, by: str, from_ms: int, to_ms: int, now: int, clock: str | None = None) -> dict[str, Any]:
        """The figures of a report about [from_ms, to_ms), of one clock or all."""
        row = dict.fromkeys(("met", "missed", "missed_excused", "none", "open_overdue", "open_in_time"), 0)
        elapsed, paused = [], 0
        for (ticket, _), life in self.lives.items():
            for cycle in life.cycles.values():
                end = now if cycle.closed_at is None else cycle.closed_at
                instants = {"DUE": self._due(life, cycle, end), "OPENED": cycle.opened_at}
                at = instants.get(by, cycle.closed_at)
                if (clock or cycle.clock) != cycle.clock or at is None or not from_ms <= at < to_ms:
                    continue
                if cycle.closed_at is None:
                    row["open_overdue" if cycle.breached_at is not None else "open_in_time"] += 1
                    continue
                if not cycle.judged:
                    row["none"] += 1
                    continue
                is_missed = cycle.breached_at is not None and cycle.breached_at < cycle.closed_at
                row["missed" if is_missed else "met"] += 1
                row["missed_excused"] += is_missed and (ticket, cycle.clock, cycle.opened_at) in self.excused
                stops = self._stops(life, cycle, end)
                elapsed.append(end - cycle.opened_at - sum(b - a for a, b, _ in stops))
                paused += sum(b - a for a, b, is_pause in stops if is_pause)
        elapsed.sort()
        judged = row["met"] + row["missed"]
        return row | {
            "attainment": row["met"] / judged if judged else None,
            "elapsed_p50": elapsed[math.ceil(judged * 0.5) - 1] if judged else None,
            "elapsed_p90": elapsed[math.ceil(judged * 0.9) - 1] if judged else None,
            "elapsed_max": elapsed[-1] if judged else None,
            "elapsed": sum(elapsed),
            "paused": paused,
        }

    def _stops(self, life: Life, cycle: Cycle, end: int) -> list[tuple[int, int, bool]]:
        """(from, to, whether it is a pause) of what stopped a cycle, in order."""
        ends = sorted(life.resumes)
        stops = [(a, b, False) for a, b in life.gaps]
        for begin in sorted(life.pauses):
            over = next((at for at in ends if at >= begin), life.ended_at)
            stops.append((begin, end if over is None else over, True))
        clipped = sorted((max(a, cycle.opened_at), min(b, end), pause) for a, b, pause in stops)
        return [(a, b, pause) for a, b, pause in clipped if a < b]

    def _due(self, life: Life, cycle: Cycle, end: int) -> int:
        """When the cycle reaches its target; of one that stands still: were it let run from `end` on."""
        left, at = life.targets[cycle.clock], cycle.opened_at
        for begin, over, _ in self._stops(life, cycle, end):
            if left <= begin - at:
                break
            left -= begin - at
            at = over
        return at + left


def told(row: Any) -> dict[str, Any]:
    """A SlaReportRow in the same words."""
    counts = ("met", "missed", "missed_excused", "none", "open_overdue", "open_in_time")
    spans = ("elapsed_p50", "elapsed_p90", "elapsed_max", "elapsed", "paused")
    found: dict[str, Any] = {name: getattr(row, name) for name in counts}
    found["attainment"] = row.attainment if row.HasField("attainment") else None
    for name in spans:
        found[name] = ms(getattr(row, name)) if row.HasField(name) else None
    return found
