"""What is overdue, and what will be if nothing changes (A6). Exact, as deadlines are derived."""

from __future__ import annotations

from slad.engine.attainment import OpenCycle
from slad.engine.grouping import Group, GroupKeys, ReportQuery


class ForecastRow:
    """Open cycles of one group (A6)."""

    __slots__ = ("in_time", "overdue", "overdue_max", "paused", "will_miss")

    def __init__(self) -> None:
        self.overdue = self.will_miss = self.in_time = self.paused = 0
        self.overdue_max: int | None = None

    def add(self, cycle: OpenCycle, until: int) -> bool:
        """Counts a cycle; whether it is overdue, or will be by `until` if nothing changes."""
        if cycle.is_overdue:
            self.overdue += 1
            self.overdue_max = max(self.overdue_max or 0, cycle.clock.elapsed_ms - cycle.clock.target_ms)
            return True
        if will_miss(cycle, until):
            self.will_miss += 1
            return True
        self.in_time += 1
        self.paused += cycle.clock.is_paused
        return False


def will_miss(cycle: OpenCycle, until: int) -> bool:
    """Whether a cycle that is in time reaches 100 % by `until` if nothing changes: a paused one does not."""
    due_at = cycle.clock.due_at
    return not cycle.clock.is_paused and due_at is not None and due_at <= until


class Forecast:
    """What is overdue, and what will be by the end of the period of `query` if nothing changes (A6)."""

    def __init__(self, query: ReportQuery) -> None:
        self.total = ForecastRow()
        self._rows: dict[Group, ForecastRow] = {}
        self._cycles: list[OpenCycle] = []
        self._keys = GroupKeys(query)
        self._until = query.to_ms

    def add(self, cycle: OpenCycle) -> None:
        """Counts an open cycle."""
        if self.total.add(cycle, self._until):
            self._cycles.append(cycle)
        if self._keys.grouping.expressions:
            group = self._keys.of(cycle.entry, cycle.tracking.attributes, cycle.clock.due_at)
            self._rows.setdefault(group, ForecastRow()).add(cycle, self._until)

    def rows(self) -> list[tuple[Group, ForecastRow]]:
        """The rows in the order of their groups."""
        return sorted(self._rows.items(), key=lambda item: item[0])

    def cycles(self) -> list[OpenCycle]:
        """Those that are or will be overdue, the most overdue first."""
        return sorted(self._cycles, key=_most_overdue_first)


def _most_overdue_first(cycle: OpenCycle) -> tuple[int, int, str, str, int]:
    overdue_ms = cycle.clock.elapsed_ms - cycle.clock.target_ms if cycle.is_overdue else -1
    return -overdue_ms, cycle.clock.due_at or 0, cycle.ticket.ticket_id, cycle.clock.name, cycle.clock.number
