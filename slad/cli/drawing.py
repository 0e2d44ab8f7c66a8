"""A ticket's life drawn with characters: a row a day, or more days where it is long; a lane a clock.

Values in, text out; nothing here asks anybody.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from rich.text import Text

from slad.cli.exits import printable
from slad.core.instants import from_datetime, to_datetime
from slad.core.picture import Mark
from slad.core.timeline import TimelineKind, TimelineSegment

MAX_ROWS: Final = 24
DAYS_IN_A_ROW: Final = (1, 7, 28, 91, 364, 3_640)
CELLS: Final = {7: 56, 28: 56, 91: 91, 364: 52, 3_640: 40}
"""Cells of a row, by its days: three hours of a week, half a day of four weeks …"""
CELLS_OF_AN_HOUR: Final = ((4, 12), (12, 4), (24, 2))
"""(hours, cells): a day of so many hours that matter has so many cells for each of them."""
MIN_HOURS: Final = 3
MIN_NOTE: Final = 28
"""What is told of a row stands below it where it has less room than this beside it."""

_COUNTED, _PAUSED, _CLOSED = TimelineKind


class DrawnLane(NamedTuple):
    """What is drawn of one clock, or of the ticket as a whole."""

    name: str
    """Empty: it is the only one."""
    stretches: Sequence[TimelineSegment]
    """In order; where there is none, nothing is drawn."""
    marks: Sequence[Mark]


class Glyphs(NamedTuple):
    """The characters that it is drawn with."""

    counted: str
    will_count: str
    paused: str
    closed: str
    signs: dict[str, str]


BLOCKS: Final = Glyphs(
    "█",
    "░",
    "▒",
    "·",
    {"fired": "◆", "ahead": "◇", "breach": "✖", "breach-ahead": "✕", "done": "✔", "now": "┃"},
)
ASCII: Final = Glyphs(
    "#",
    "+",
    "=",
    ".",
    {"fired": "*", "ahead": "o", "breach": "X", "breach-ahead": "x", "done": "v", "now": "|"},
)

_STYLES: Final = {
    "fired": "bold yellow",
    "ahead": "yellow",
    "breach": "bold red",
    "breach-ahead": "red",
    "done": "bold green",
    "now": "bold",
}
_ORDER: Final = ("ahead", "fired", "breach-ahead", "now", "done", "breach")
"""Of several marks in one cell the last is drawn."""


def draw(
    lanes: Sequence[DrawnLane], now_ms: int, zone: tzinfo, glyphs: Glyphs, width: int = 10_000
) -> Iterator[Text]:
    """The lines of a drawing of up to `width` columns, in the local time of `zone`, below a scale.

    Of days only the hours are drawn in which something counts or happens, and of the lanes in a row only
    those. What is told of a row is wrapped, never cut.
    """
    stretches = [stretch for lane in lanes for stretch in lane.stretches]
    if not stretches:
        return
    begin_ms = min(stretch.from_ms for stretch in stretches)
    end_ms = max(begin_ms + 1, *(stretch.to_ms for stretch in stretches))
    days = _days_in_a_row(begin_ms, end_ms)
    bounds = list(_rows(begin_ms, end_ms, zone, days))
    marks = [mark for lane in lanes for mark in lane.marks]
    hours = _hours_that_matter(stretches, marks, bounds, zone) if days == 1 else (0, 24)
    cells = (hours[1] - hours[0]) * _cells_of_an_hour(hours) if days == 1 else CELLS[days]
    labels = [_label(begin, days) for begin, _ in bounds]
    names = max(len(lane.name) for lane in lanes)
    margin = max(map(len, labels)) + 2 + (names + 2 if names else 0)
    yield Text(" " * margin + _scale(days, cells, hours), "dim")
    for (begin, end), label in zip(bounds, labels, strict=True):
        row = _Row(
            _at_hour(begin, hours[0]),
            _at_hour(begin, hours[1]) if hours[1] < 24 else from_datetime(end),
            cells,
        )
        for place, lane in enumerate(row.lanes(lanes)):
            head = (
                f"{'' if place else label}".ljust(margin - names - 4) + "  " + lane.name if names else label
            )
            notes = row.notes(lane, zone, glyphs, tells_now=not place)
            yield from _line(head.ljust(margin), row.drawn(lane, now_ms, glyphs), notes, width)


def _line(head: str, drawn: list[tuple[str, str]], notes: Sequence[str], width: int) -> Iterator[Text]:
    """One lane of a row, with its notes beside it, or below it where they have no room."""
    margin, cells = len(head), len(drawn)
    room = width - margin - cells - 2
    is_beside = room >= MIN_NOTE or len("  ".join(notes)) <= room
    beside = _filled_lines(notes, room) if is_beside else []
    yield Text.assemble((head.rstrip(), "dim"), head[len(head.rstrip()) :], *drawn, "  ", *beside[:1])
    for line in beside[1:]:
        yield Text(" " * (margin + cells + 2) + line)
    if not is_beside:
        for line in _filled_lines(notes, max(width - margin, MIN_NOTE)):
            yield Text(" " * margin + line)


def _filled_lines(notes: Sequence[str], width: int) -> list[str]:
    """Notes side by side, as many in a line as fit; only a note that is longer than a line is broken."""
    lines: list[str] = []
    for note in notes:
        if lines and len(lines[-1]) + 2 + len(note) <= width:
            lines[-1] += "  " + note
        else:
            lines += textwrap.wrap(note, width)
    return lines


def legend(glyphs: Glyphs, *, ahead: bool) -> Text:
    """What the characters mean."""
    told = Text(style="dim")
    told.append(f"{glyphs.counted} counted  ")
    if ahead:
        told.append(f"{glyphs.will_count} will count  ")
    told.append(f"{glyphs.paused} paused  {glyphs.closed} closed  ")
    signs = glyphs.signs
    told.append(
        f"{signs['fired']} threshold  {signs['breach']} breach  {signs['done']} done  {signs['now']} now"
    )
    if ahead:
        told.append(f"  {signs['ahead']} {signs['breach-ahead']} ahead")
    return told


def _days_in_a_row(from_ms: int, to_ms: int) -> int:
    length = (to_ms - from_ms) // 86_400_000 + 2
    for days in DAYS_IN_A_ROW:
        if length / days <= MAX_ROWS:
            return days
    return DAYS_IN_A_ROW[-1]


def _rows(from_ms: int, to_ms: int, zone: tzinfo, days: int) -> Iterator[tuple[datetime, datetime]]:
    """(begin, end) of the rows, local midnights; rows of weeks begin on Mondays."""
    first = to_datetime(from_ms).astimezone(zone).date()
    if days > 1:
        first -= timedelta(days=first.weekday())
    begin = datetime(first.year, first.month, first.day, tzinfo=zone)
    while from_datetime(begin) < to_ms:
        end = begin + timedelta(days=days)  # of local days, however long they are
        yield begin, end
        begin = end


def _label(begin: datetime, days: int) -> str:
    return f"{begin:%a %d %b}" if days == 1 else f"{begin:%d %b %Y}"


def _hours_that_matter(
    stretches: Sequence[TimelineSegment],
    marks: Sequence[Mark],
    bounds: Sequence[tuple[datetime, datetime]],
    zone: tzinfo,
) -> tuple[int, int]:
    """(first, last): the local hours outside of which no time counts and nothing is marked, on any day."""
    first, last = 24, 0
    for begin, end in bounds:
        begin_ms, end_ms = from_datetime(begin), from_datetime(end)
        points = [(mark.at_ms, mark.at_ms) for mark in marks if begin_ms <= mark.at_ms < end_ms]
        points += [
            (max(stretch.from_ms, begin_ms), min(stretch.to_ms, end_ms))
            for stretch in stretches
            if stretch.kind == _COUNTED and stretch.from_ms < end_ms and stretch.to_ms > begin_ms
        ]
        for from_ms, to_ms in points:
            first = min(first, to_datetime(from_ms).astimezone(zone).hour)
            until = to_datetime(to_ms).astimezone(zone)
            whole = to_ms > from_ms and not (until.minute or until.second or until.microsecond)
            last = max(last, 24 if to_ms == end_ms else until.hour + (not whole))
    if first >= last:
        return 0, 24
    last = min(24, max(last, first + MIN_HOURS))
    return min(first, last - MIN_HOURS), last


def _at_hour(midnight: datetime, hour: int) -> int:
    return from_datetime(midnight.replace(hour=hour))


def _cells_of_an_hour(hours: tuple[int, int]) -> int:
    return next(cells for most, cells in CELLS_OF_AN_HOUR if hours[1] - hours[0] <= most)


def _scale(days: int, cells: int, hours: tuple[int, int]) -> str:
    if days == 1:
        of_an_hour = _cells_of_an_hour(hours)
        step = 1 if of_an_hour > 2 else 3
        marked = [f"{hour:02}".ljust(of_an_hour * min(step, hours[1] - hour)) for hour in range(*hours, step)]
        return "".join(marked) + f"{hours[1]:02}"
    if days == 7:
        return "".join(day.ljust(cells // 7) for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
    return f"{days} days in a row"


class _Row:
    """One row of cells."""

    def __init__(self, from_ms: int, to_ms: int, cells: int) -> None:
        self._from_ms, self._to_ms, self._cells = from_ms, to_ms, cells

    def lanes(self, lanes: Sequence[DrawnLane]) -> Sequence[DrawnLane]:
        """Those in which something counts, is paused or is marked; else one that says why nothing does."""
        if len(lanes) == 1:
            return lanes
        told = [lane for lane in lanes if self._tells(lane)]
        closed = [lane._replace(name="") for lane in lanes if self._inside(lane)]
        return told or closed[:1] or [DrawnLane("", (), ())]

    def _tells(self, lane: DrawnLane) -> bool:
        return any(mark.sign != "now" and self._holds(mark.at_ms) for mark in lane.marks) or any(
            stretch.kind != _CLOSED for stretch in self._inside(lane)
        )

    def _inside(self, lane: DrawnLane) -> list[TimelineSegment]:
        return [s for s in lane.stretches if s.from_ms < self._to_ms and s.to_ms > self._from_ms]

    def drawn(self, lane: DrawnLane, now_ms: int, glyphs: Glyphs) -> list[tuple[str, str]]:
        """(character, style) of each cell."""
        inside = self._inside(lane)
        signs: dict[int, str] = {}
        for mark in lane.marks:
            if self._holds(mark.at_ms):
                cell = (mark.at_ms - self._from_ms) * self._cells // (self._to_ms - self._from_ms)
                known = signs.get(cell)
                if known is None or _ORDER.index(mark.sign) > _ORDER.index(known):
                    signs[cell] = mark.sign
        drawn = []
        for cell in range(self._cells):
            if cell in signs:
                drawn.append((glyphs.signs[signs[cell]], _STYLES[signs[cell]]))
                continue
            begin, end = self._bounds(cell)
            drawn.append(_filled(inside, begin, end, now_ms, glyphs))
        return drawn

    def notes(self, lane: DrawnLane, zone: tzinfo, glyphs: Glyphs, *, tells_now: bool) -> list[str]:
        """What there is to say about a lane of the row: its marks, or why it is closed all day."""
        here = sorted(
            mark for mark in lane.marks if self._holds(mark.at_ms) and (tells_now or mark.sign != "now")
        )
        if here:
            return [
                f"{glyphs.signs[mark.sign]} {mark.label} {to_datetime(mark.at_ms).astimezone(zone):%H:%M}"
                for mark in here
            ]
        causes = {stretch.cause for stretch in self._inside(lane)}
        telling = sorted(printable(cause) for cause in causes - {"", "outside business hours"})
        return telling if "" not in causes or len(telling) == 1 else []

    def _holds(self, at_ms: int) -> bool:
        return self._from_ms <= at_ms < self._to_ms

    def _bounds(self, cell: int) -> tuple[int, int]:
        length = self._to_ms - self._from_ms
        return (
            self._from_ms + cell * length // self._cells,
            self._from_ms + (cell + 1) * length // self._cells,
        )


def _filled(
    stretches: Sequence[TimelineSegment], begin: int, end: int, now_ms: int, glyphs: Glyphs
) -> tuple[str, str]:
    """What fills a cell: the kind that has most of it."""
    shares: dict[int, int] = {_COUNTED: 0, _PAUSED: 0, _CLOSED: 0}
    for stretch in stretches:
        shares[stretch.kind] += max(0, min(end, stretch.to_ms) - max(begin, stretch.from_ms))
    kind = max(shares, key=lambda kind: shares[kind])
    if not shares[kind]:
        return " ", ""
    if kind == _COUNTED:
        return (glyphs.counted, "green") if begin < now_ms else (glyphs.will_count, "green")
    return (glyphs.paused, "cyan") if kind == _PAUSED else (glyphs.closed, "dim")
