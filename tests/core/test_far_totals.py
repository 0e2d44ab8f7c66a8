"""Totals that follow from the cycle of years are those that going from one clock change to the next gives."""

from __future__ import annotations

import pytest

from slad.core.far_totals import FarTotals
from slad.core.instants import DAY_MS, HOUR_MS, format_instant
from slad.core.openhours import open_hours
from slad.core.openings import Openings
from slad.core.period_totals import PeriodTotals
from slad.core.zones import load_zone, zone_names
from tests.core.naive_hours import Entry, NaiveHours, ms

SPARSE: tuple[Entry, ...] = ((1, "02:30", "02:31", True),)
WORKDAYS: tuple[Entry, ...] = tuple((day, "09:00", "17:00", True) for day in range(1, 6))
CHANGE_NIGHTS: tuple[Entry, ...] = ((0, "00:00", "24:00", True), (6, "22:00", "05:00", True))
NO_HOLIDAYS: tuple[tuple[str, bool, str], ...] = ()
ON_CHANGES = (
    *((date, False, "") for date in ("2030-03-31", "2031-10-26", "2400-03-26", "2033-03-27", "2034-11-05")),
    *((f"2024-{date}", True, "") for date in ("03-31", "10-25", "11-01", "12-31", "01-01", "04-06")),
)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Gaza"]
)
@pytest.mark.parametrize("entries", [SPARSE, CHANGE_NIGHTS, (*CHANGE_NIGHTS, *WORKDAYS)])
def test_what_follows_from_the_cycle_of_years_is_what_going_through_them_gives(
    zone: str, entries: tuple[Entry, ...]
) -> None:
    for holidays in (NO_HOLIDAYS, ON_CHANGES):
        hours = open_hours(Openings(NaiveHours(zone, entries, holidays).schedule()))
        its_zone = load_zone(zone)
        assert its_zone.first_ruled_year is not None
        far = FarTotals(hours, its_zone, its_zone.first_ruled_year)
        first, last = ms("1999-01-01T00:00:00Z"), ms("2450-01-01T00:00:00Z")
        walked = PeriodTotals.of(hours, its_zone.periods(first), 0, until_ms=last)
        apart = far.total(first) - walked.total(first)
        changes = [change.at_ms for change in its_zone.transitions(first, last)][::23]
        instants = [*range(first, last, 691 * DAY_MS + 1), *changes, *(at + 1 for at in changes)]
        instants += [at + HOUR_MS for at in changes]
        for at in instants:
            total = walked.total(at)
            assert far.total(at) - total == apart, format_instant(at)
        for total in range(1, walked.total(last), walked.total(last) // 197 + 1):
            assert far.instant(total + apart)[0] == walked.instant(total)[0]
        for at in instants:
            if total := walked.total(at):
                assert far.instant(total + apart) == walked.instant(total)


def test_years_of_a_kind_change_their_clocks_alike_in_all_zones() -> None:
    for name in zone_names():
        zone = load_zone(name)
        if (first := zone.first_ruled_year) is None:
            continue
        ordered = {tuple(offset for _, offset in zone.changes_of(year)) for year in range(first, first + 28)}
        assert len(ordered) == 1, name
        (_, second), ((begins, _), _) = ordered.pop(), zone.changes_of(first)
        assert zone.offset_at(begins - 1) == second, name
        listed = [change.at_ms for change in zone.transitions(begins, begins + 5 * 366 * DAY_MS)]
        assert listed[:2] == [at for at, _ in zone.changes_of(first)], name
