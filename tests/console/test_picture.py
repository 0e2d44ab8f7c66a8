"""The picture of a ticket: its model against what the clocks counted, and its SVG."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slad.console import svg as drawing
from slad.console.axis import MAX_TICKS, WHOLE, ZOOMS, ticks, window
from slad.core import machine, picture
from slad.core.facts import Fact, FactKind
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.core.picture import COLUMNS, Column, Lane, Mark, Picture, lane, life_span
from slad.core.reading import Reading
from slad.core.schedule import build_schedule
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.timeline import TimelineKind, TimelineSegment, clock_segments
from slad.core.tracking import Fired, Tracking
from tests.core.tickets import OFFICE, at, calendar

START = at("2026-03-02T08:30:00Z")
BERLIN = build_schedule(
    timezone="Europe/Berlin",
    is_24x7=False,
    entries=[(day, "08:00", "12:00", True) for day in range(7)],
    holidays=[("2026-03-10", False, "Founders' Day")],
)
CALENDARS = {0: calendar(), 1: calendar(OFFICE), 2: calendar(BERLIN)}
NAMES = ("response", "resolution", "updates", "next-reply", "level-2")
KINDS = (
    FactKind.PAUSE, FactKind.RESUME, FactKind.RESPOND, FactKind.RESOLVE, FactKind.REOPEN, FactKind.CANCEL,
    FactKind.CUSTOMER_MESSAGE, FactKind.AGENT_MESSAGE, FactKind.ASSIGN, FactKind.DISCARD,
)  # fmt: skip
REASONS = ("", "vendor", "parts")
"""The first stands for AWAITING_CLIENT."""


def named(
    name: str, kind: ClockKind, minutes: int, key: int, paused_by: tuple[str, ...] | None
) -> ClockTerms:
    return ClockTerms(name, kind, minutes * MINUTE_MS, (50, 80), (0, 0, 0), key, paused_by)


TERMS = Terms(
    "gold", "", 120 * MINUTE_MS, 960 * MINUTE_MS, (50, 90), (75, 0, 0), 1,
    (
        named("updates", ClockKind.PERIODIC_UPDATE, 240, 2, ("vendor",)),
        named("next-reply", ClockKind.NEXT_REPLY, 60, 1, None),
        named("level-2", ClockKind.OWNERSHIP, 300, 0, ()),
    ),
)  # fmt: skip


@st.composite
def lives(draw: st.DrawFn) -> tuple[Tracking, Reading]:
    """A life of up to three weeks."""
    minutes = sorted(draw(st.lists(st.integers(0, 21 * 24 * 60), max_size=14)))
    facts = []
    for minute in minutes:
        kind = draw(st.sampled_from(KINDS))
        reason = draw(st.sampled_from(REASONS))
        text, detail = "", 0
        if kind in (FactKind.PAUSE, FactKind.RESUME):
            text, detail = reason, 0 if reason else 1
        elif kind is FactKind.ASSIGN:
            text = draw(st.sampled_from(("ann", "bob", "")))
        elif kind is FactKind.DISCARD:
            text = draw(st.sampled_from(("response", "updates", "level-2")))
        facts.append(Fact(START + minute * MINUTE_MS, kind, detail, text))
    tracking = Tracking(TERMS, START, tuple(facts))
    now = START + max([*minutes, draw(st.integers(0, 21 * 24 * 60))]) * MINUTE_MS
    return tracking, machine.reading_at(tracking, CALENDARS.__getitem__, now)


def calendar_of(name: str):
    return CALENDARS[next(clock.schedule_key for clock in TERMS.clocks if clock.name == name)]


def overlap(stretch: TimelineSegment, from_ms: int, to_ms: int) -> int:
    return max(0, min(stretch.to_ms, to_ms) - max(stretch.from_ms, from_ms))


@given(lives(), st.sampled_from(NAMES))
def test_what_a_lane_shows_as_counted_is_what_its_clock_counted(
    life: tuple[Tracking, Reading], name: str
) -> None:
    tracking, reading = life
    begin, end = life_span(tracking, reading)
    shown = lane(name, tracking, reading, calendar_of(name), (begin, end))
    assert [one.from_ms for one in shown.stretches[1:]] == [one.to_ms for one in shown.stretches[:-1]]
    counted = sum(
        overlap(stretch, begin, reading.now)
        for stretch in shown.stretches
        if stretch.kind is TimelineKind.COUNTED
    )
    assert counted == sum(cycle.elapsed_ms for cycle in reading.cycles(name)), (
        "the sum of what its cycles counted"
    )


@given(lives(), st.sampled_from(NAMES), st.integers(-DAY_MS, 20 * DAY_MS), st.integers(1, 30 * DAY_MS))
def test_a_window_shows_the_part_of_the_whole(
    life: tuple[Tracking, Reading], name: str, offset: int, length: int
) -> None:
    tracking, reading = life
    begin, end = life_span(tracking, reading)
    low, high = begin + offset, begin + offset + length
    whole = clock_segments(begin, reading.history, reading.cycles(name), calendar_of(name), end)
    parts = [
        one._replace(from_ms=max(one.from_ms, low), to_ms=min(one.to_ms, high))
        for one in whole
        if overlap(one, low, high)
    ]
    shown = lane(name, tracking, reading, calendar_of(name), (low, high))
    assert list(shown.stretches) == parts
    assert all(low <= mark.at_ms <= high for mark in shown.marks)


@settings(max_examples=60)
@given(lives(), st.sampled_from(NAMES), st.integers(0, 10 * DAY_MS), st.integers(COLUMNS, 20 * DAY_MS))
def test_columns_sum_up_the_stretches(
    life: tuple[Tracking, Reading], name: str, offset: int, length: int
) -> None:
    tracking, reading = life
    low = life_span(tracking, reading)[0] + offset
    shown = (low, low + length)
    exact = lane(name, tracking, reading, calendar_of(name), shown)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "MAX_STRETCHES", 0)
        summed = lane(name, tracking, reading, calendar_of(name), shown)
    assert bool(summed.columns) == bool(exact.stretches)
    for column in summed.columns:
        bounds = column.from_ms, column.to_ms
        for kind, total in (
            (TimelineKind.COUNTED, column.counted_ms),
            (TimelineKind.PAUSED, column.paused_ms),
        ):
            assert total == sum(overlap(one, *bounds) for one in exact.stretches if one.kind is kind), kind


@given(
    lives(), st.sampled_from((WHOLE, *ZOOMS)), st.none() | st.integers(0, at("9999-12-31T00:00:00Z")),
    st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia")),
)  # fmt: skip
def test_whatever_the_window_the_svg_is_one_and_bounded(
    life: tuple[Tracking, Reading], zoom: str, middle: int | None, zone: str
) -> None:
    tracking, reading = life
    shown = window(life_span(tracking, reading), reading.now, zoom, middle)
    lanes = tuple(lane(name, tracking, reading, calendar_of(name), shown) for name in NAMES)
    text = drawing.svg(Picture(*shown, reading.now, lanes), ZoneInfo(zone), "T-1", {"response": "told"})
    root = ElementTree.fromstring(text)
    for name in NAMES:
        assert f">{name}" in text
    for element in root.iter("{http://www.w3.org/2000/svg}rect"):
        if "x" in element.attrib:
            assert drawing.SIDE <= float(element.attrib["x"]) <= drawing.WIDTH - drawing.SIDE
            assert float(element.attrib["x"]) + float(element.attrib["width"]) <= drawing.WIDTH
    assert len(text) < 900_000


@given(
    st.integers(at("1990-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z")),
    st.integers(MINUTE_MS, 90 * 366 * DAY_MS),
    st.sampled_from(("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")),
)
def test_ticks_are_few_in_order_and_within(from_ms: int, length: int, zone: str) -> None:
    found = ticks(from_ms, from_ms + length, ZoneInfo(zone))
    instants = [tick.at_ms for tick in found]
    assert instants == sorted(set(instants))
    assert len(found) <= MAX_TICKS + 2
    assert all(from_ms <= instant < from_ms + length for instant in instants)


def test_ticks_are_round_where_the_reader_is() -> None:
    day = at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z")  # the clocks go forward in Berlin
    labels = [tick.label for tick in ticks(*day, ZoneInfo("Europe/Berlin"))]
    assert labels == ["29 Mar", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]
    month = [tick.label for tick in ticks(at("2026-03-01T00:00:00Z"), at("2026-03-31T00:00:00Z"), UTC)]
    assert month == ["02 Mar", "09 Mar", "16 Mar", "23 Mar", "30 Mar"]


def test_marks_that_are_too_many_share_their_places() -> None:
    facts = tuple(Fact(START + minute * 5 * MINUTE_MS, FactKind.AGENT_MESSAGE) for minute in range(2_000))
    tracking = Tracking(TERMS, START, facts)
    reading = machine.reading_at(tracking, CALENDARS.__getitem__, START + 10_000 * MINUTE_MS)
    span = life_span(tracking, reading)
    marks = lane("updates", tracking, reading, CALENDARS[2], span).marks
    assert len(marks) <= COLUMNS * 3
    assert any(re.fullmatch(r"met and \d+ more", mark.label) for mark in marks)


def test_thresholds_are_drawn_where_they_fired_and_struck_where_they_were_retracted() -> None:
    fired = Fired(1, 50, START + HOUR_MS, START + HOUR_MS)
    tracking = Tracking(TERMS, START, (Fact(START + 2 * HOUR_MS, FactKind.RESPOND),), (fired,))
    reading = machine.reading_at(tracking, CALENDARS.__getitem__, START + 3 * HOUR_MS)
    retracted = Mark(START + 100 * MINUTE_MS, "90 %", "retracted")
    marks = lane("response", tracking, reading, CALENDARS[1], (START, START + DAY_MS), [retracted]).marks
    assert [(mark.label, mark.sign) for mark in marks] == [
        ("50 %", "fired"), ("90 %", "retracted"), ("met", "done"),
    ]  # fmt: skip


GOLDEN = Path(__file__).with_name("timeline.svg")


def test_the_svg_is_as_it_was_looked_at() -> None:
    """After a change that is meant: look at build/timeline.svg, and copy it into tests/console."""
    hour = HOUR_MS
    stretches = (
        TimelineSegment(START, START + 2 * hour, TimelineKind.COUNTED, ""),
        TimelineSegment(START + 2 * hour, START + 4 * hour, TimelineKind.PAUSED, "paused: awaiting client"),
        TimelineSegment(START + 4 * hour, START + 7 * hour, TimelineKind.COUNTED, ""),
        TimelineSegment(START + 7 * hour, START + 9 * hour, TimelineKind.CLOSED, "outside business hours"),
    )
    marks = (
        Mark(START + hour, "50 %", "fired"),
        Mark(START + 2 * hour, "90 %, level 2", "retracted"),
        Mark(START + 5 * hour, "100 %, breach", "breach"),
        Mark(START + 6 * hour, "150 %", "ahead"),
    )
    columns = tuple(
        Column(START + n * hour, START + (n + 1) * hour, n * hour // 9, hour // 9) for n in range(9)
    )
    drawn = Picture(
        START - hour // 2,
        START + 10 * hour,
        START + 5 * hour + hour // 2,
        (Lane("resolution", stretches, (), marks), Lane("<updates> & \u202emore", (), columns, ())),
    )
    told = {"resolution": "5 h of 5 h, over by 30 min"}
    text = drawing.svg(drawn, UTC, "The clocks of ticket T-1", told, alone=True)
    if not GOLDEN.exists() or GOLDEN.read_text("utf-8") != text:
        made = GOLDEN.parents[2] / "build" / "timeline.svg"
        made.parent.mkdir(exist_ok=True)
        made.write_text(text, "utf-8")
    assert GOLDEN.read_text("utf-8") == text
    assert "\u202e" not in text
