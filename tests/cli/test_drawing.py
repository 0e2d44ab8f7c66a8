"""A life drawn with characters."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from slad.cli.drawing import ASCII, BLOCKS, CELLS, MAX_ROWS, DrawnLane, draw, legend
from slad.core.instants import DAY_MS, HOUR_MS
from slad.core.picture import Mark
from slad.core.timeline import TimelineKind, TimelineSegment
from tests.core.tickets import at

COUNTED, PAUSED, CLOSED = TimelineKind
SATURDAY = at("2026-03-07T00:00:00Z")
LIFE = [
    TimelineSegment(at("2026-03-06T09:00:00Z"), at("2026-03-06T12:00:00Z"), COUNTED, ""),
    TimelineSegment(
        at("2026-03-06T12:00:00Z"), at("2026-03-06T14:00:00Z"), PAUSED, "paused: awaiting client"
    ),
    TimelineSegment(at("2026-03-06T14:00:00Z"), at("2026-03-06T17:00:00Z"), COUNTED, ""),
    TimelineSegment(at("2026-03-06T17:00:00Z"), SATURDAY, CLOSED, "outside business hours"),
    TimelineSegment(SATURDAY, SATURDAY + DAY_MS, CLOSED, "weekend"),
    TimelineSegment(SATURDAY + DAY_MS, SATURDAY + DAY_MS + HOUR_MS, COUNTED, ""),
]
NOW = at("2026-03-06T16:00:00Z")
MARKS = [
    Mark(at("2026-03-06T10:30:00Z"), "50 %", "fired"),
    Mark(at("2026-03-06T10:40:00Z"), "100 %", "breach"),
    Mark(NOW, "now", "now"),
]


def drawn(stretches: list[TimelineSegment], marks: list[Mark], now: int = NOW) -> list[str]:
    return [row.plain.rstrip() for row in draw([DrawnLane("", stretches, marks)], now, UTC, ASCII)]


def test_a_row_is_a_day_and_a_cell_half_an_hour() -> None:
    assert drawn(LIFE, MARKS) == [
        "            00    03    06    09    12    15  17",
        "Fri 06 Mar                    ###X##====####|+  * 50 % 10:30  X 100 % 10:40  | now 16:00",
        "Sat 07 Mar  ..................................  weekend",
        "Sun 08 Mar  ++",
    ]


def test_hours_in_which_nothing_happens_take_no_room() -> None:
    """09:00 to 17:00 counts: a cell is a quarter of an hour, and the night is not there."""
    assert drawn(LIFE[:-1], MARKS) == [
        "            09  10  11  12  13  14  15  16  17",
        "Fri 06 Mar  ######X#####========########|+++  * 50 % 10:30  X 100 % 10:40  | now 16:00",
        "Sat 07 Mar  ................................  weekend",
    ]
    late = [Mark(at("2026-03-06T20:15:00Z"), "done", "done")]
    assert drawn(LIFE[:-1], late)[0].split() == [f"{hour:02}" for hour in range(9, 22)]


def test_a_short_life_has_cells_of_five_minutes() -> None:
    begin = at("2026-03-06T23:10:00Z")
    rows = drawn([TimelineSegment(begin, begin + HOUR_MS // 2, COUNTED, "")], [], begin + DAY_MS)
    assert rows[0].split() == ["21", "22", "23", "24"]
    assert rows[1] == "Fri 06 Mar  " + " " * 26 + "######"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_what_has_no_room_is_wrapped_and_never_cut(width: int) -> None:
    marks = [
        Mark(at(f"2026-03-06T{hour}:30:00Z"), f"response {hour} %, level 1", "fired")
        for hour in ("09", "10", "11")
    ]
    rows = [row.plain.rstrip() for row in draw([DrawnLane("", LIFE[:-1], marks)], NOW, UTC, ASCII, width)]
    text = "\n".join(rows)
    for hour in ("09", "10", "11"):
        assert f"* response {hour} %, level 1 {hour}:30" in text
    assert all(len(row) <= max(width, 46) for row in rows)


def test_a_row_begins_at_local_midnight_also_where_the_clocks_change() -> None:
    """29 March has 23 hours in Berlin; the row ends where the day does."""
    begin = at("2026-03-28T23:00:00Z")
    stretch = TimelineSegment(begin, begin + 23 * HOUR_MS, COUNTED, "")
    lane = DrawnLane("", [stretch], [])
    rows = list(draw([lane], begin + DAY_MS, ZoneInfo("Europe/Berlin"), ASCII))
    assert [row.plain.rstrip() for row in rows[1:]] == ["Sun 29 Mar  " + "#" * 48]


@pytest.mark.parametrize("days", [1, 20, 100, 600, 2_000, 8_000, 100_000])
def test_a_long_life_has_few_rows(days: int) -> None:
    begin = at("2000-01-03T09:00:00Z")
    rows = drawn([TimelineSegment(begin, begin + days * DAY_MS, COUNTED, "")], [], begin)
    assert 2 <= len(rows) <= MAX_ROWS + 6
    assert all(len(row) <= 14 + max(*CELLS.values(), 48) for row in rows)


def test_weeks_begin_on_mondays() -> None:
    begin = at("2026-03-04T00:00:00Z")
    rows = drawn([TimelineSegment(begin, begin + 60 * DAY_MS, COUNTED, "")], [], begin + 100 * DAY_MS)
    assert rows[1] == "02 Mar 2026  " + " " * 16 + "#" * 40


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn([], MARKS) == []


def test_the_legend_names_every_character() -> None:
    for glyphs in (BLOCKS, ASCII):
        told = legend(glyphs, ahead=True).plain
        for sign in (*glyphs[:4], *glyphs.signs.values()):
            assert sign in told


def test_a_lane_a_clock_and_of_a_day_only_those_in_which_something_happens() -> None:
    friday, sunday = at("2026-03-06T00:00:00Z"), at("2026-03-08T00:00:00Z")
    lanes = [
        DrawnLane("response", [TimelineSegment(friday + 9 * HOUR_MS, friday + 11 * HOUR_MS, COUNTED, "")],
                  [Mark(friday + 10 * HOUR_MS, "50 %", "fired"), Mark(NOW, "now", "now")]),
        DrawnLane("level-1", [
            TimelineSegment(friday + 10 * HOUR_MS, friday + 17 * HOUR_MS, COUNTED, ""),
            TimelineSegment(friday + 17 * HOUR_MS, SATURDAY + DAY_MS, CLOSED, "weekend"),
            TimelineSegment(sunday + 12 * HOUR_MS, sunday + 14 * HOUR_MS, PAUSED, "paused: x"),
        ], [Mark(NOW, "now", "now")]),
    ]  # fmt: skip
    assert [row.plain.rstrip() for row in draw(lanes, NOW, UTC, ASCII)] == [
        "                      09  10  11  12  13  14  15  16  17",
        "Fri 06 Mar  response  ####*###                    |     * 50 % 10:00  | now 16:00",
        "            level-1       ########################|+++",
        "Sat 07 Mar            ................................  weekend",
        "Sun 08 Mar  level-1               ========              paused: x",
    ]


def test_a_row_in_which_no_clock_is_open_is_empty() -> None:
    friday = at("2026-03-06T00:00:00Z")
    days = [friday, friday + 2 * DAY_MS]
    stretches = [TimelineSegment(day + 9 * HOUR_MS, day + 12 * HOUR_MS, COUNTED, "") for day in days]
    lanes = [DrawnLane("a", stretches[:1], []), DrawnLane("b", stretches[1:], [])]
    told = [row.plain.rstrip() for row in draw(lanes, NOW, UTC, ASCII)]
    assert told[1:] == ["Fri 06 Mar  a  ####################################", "Sat 07 Mar",
                        "Sun 08 Mar  b  ++++++++++++++++++++++++++++++++++++"]  # fmt: skip
