"""A picture of a ticket's clocks as SVG: values in, text out.

What a shape means is told by form and pattern too, not by colour alone. Colours come from classes
(static/picture.css); the attributes are for readers that take no style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import cache
from importlib import resources
from typing import Final
from xml.sax.saxutils import escape

from slad.console.axis import ticks
from slad.core.instants import to_datetime
from slad.core.picture import Column, Lane, Mark, Picture
from slad.core.time_text import span
from slad.core.timeline import NO_CYCLE, TimelineKind, TimelineSegment

WIDTH: Final = 1_000
SIDE: Final = 14
HEAD: Final = 34
LANE: Final = 74
FOOT: Final = 10
BAND: Final = 20
BAND_TOP: Final = 26
CHARACTER: Final = 6.6
"""About the width of one, by which labels are kept apart."""

_FILLS: Final = {
    "counted": "#2f7d4f",
    "will-count": "#a9d4b8",
    "paused": "url(#paused)",
    "closed": "#e3e6ea",
    "none": "none",
}
_INK: Final = "#1c2430"

_HALO: Final = '<path class="halo" fill="none" stroke="#fff" stroke-width="7" d="{}"/>'

_SHAPES: Final = {
    "opened": '<path class="m opened" fill="none" stroke="#1c2430" stroke-width="2" d="M3-10H-1V10H3"/>',
    "ahead": '<path class="m ahead" fill="#fff" stroke="#9a5b00" stroke-width="1.5" d="M0-7 6 0 0 7-6 0z"/>',
    "fired": '<path class="m fired" fill="#9a5b00" d="M0-7 6 0 0 7-6 0z"/>',
    "breach-ahead": _HALO.format("M-6-6 6 6M6-6-6 6")
    + '<path class="m breach-ahead" fill="none" stroke="#b3141d" stroke-width="1.5"'
    ' d="M-6-6 6 6M6-6-6 6"/>',
    "retracted": '<path class="m retracted" fill="#fff" stroke="#59636e" d="M0-7 6 0 0 7-6 0z"/>'
    '<path class="m strike" stroke="#1c2430" stroke-width="2" d="M-10 0H10"/>',
    "ended": '<path class="m ended" fill="#59636e" d="M-5-5H5V5H-5z"/>',
    "done": _HALO.format("M-6 0-2 5 7-6")
    + '<path class="m done" fill="none" stroke="#14663a" stroke-width="3.5" d="M-6 0-2 5 7-6"/>',
    "missed": _HALO.format("M-6 0-2 5 7-6")
    + '<path class="m missed" fill="none" stroke="#b3141d" stroke-width="3.5" d="M-6 0-2 5 7-6"/>'
    '<path class="m strike" stroke="#b3141d" stroke-width="2" d="M-9-8 9 8"/>',
    "breach": _HALO.format("M-6-6 6 6M6-6-6 6")
    + '<path class="m breach" fill="none" stroke="#b3141d" stroke-width="3.5"'
    ' d="M-6-6 6 6M6-6-6 6"/>',
}

_WEIGHTS: Final = tuple(_SHAPES)
"""Of marks that overlap, the later one is on top."""

_PATTERN: Final = (
    '<defs><pattern id="paused" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="paused-ground" width="7" height="7" fill="#cfe3f7"/>'
    '<rect class="paused-line" width="2.5" height="7" fill="#2b6cb0"/></pattern></defs>'
)


def svg(
    picture: Picture,
    zone: tzinfo,
    title: str,
    told: Mapping[str, str],
    *,
    alone: bool = False,
) -> str:
    """The picture. `told` says in words what each lane shows, by its name; `alone`: with its own style."""
    drawing = _Drawing(picture, zone)
    height = HEAD + LANE * len(picture.lanes) + FOOT
    words = " ".join(f"{lane.name}: {told[lane.name]}." for lane in picture.lanes if lane.name in told)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-labelledby="picture-title picture-words"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f'<title id="picture-title">{text(title)}</title><desc id="picture-words">{text(words)}</desc>',
        f"<style>{_style()}</style>" if alone else "",
        _PATTERN,
        f'<rect class="ground" width="{WIDTH}" height="{height}" fill="#fff"/>',
        *drawing.axis(height),
    ]
    for place, lane in enumerate(picture.lanes):
        parts += drawing.lane(lane, HEAD + LANE * place, told.get(lane.name, ""))
    parts += [*drawing.now(height), "</svg>"]
    return "".join(parts)


class _Drawing:
    """Places instants, and draws what is there."""

    def __init__(self, picture: Picture, zone: tzinfo) -> None:
        self._from, self._to, self._now = picture.from_ms, picture.to_ms, picture.now_ms
        self._scale = (WIDTH - 2 * SIDE) / max(1, picture.to_ms - picture.from_ms)
        self._zone = zone
        self._form = "%H:%M:%S" if picture.to_ms - picture.from_ms < 3_600_000 else "%a %d %b %Y %H:%M"

    def axis(self, height: int) -> Iterator[str]:
        for at, label in ticks(self._from, self._to, self._zone):
            x = self._x(at)
            middle = min(max(x, len(label) * CHARACTER / 2), WIDTH - len(label) * CHARACTER / 2)
            yield f'<path class="tick" stroke="#c4cad1" d="M{x} {HEAD - 8}V{height - FOOT}"/>'
            yield f'<text class="ink" fill="{_INK}" x="{middle:.1f}" y="18" text-anchor="middle">'
            yield f"{text(label)}</text>"

    def lane(self, lane: Lane, top: int, told: str) -> Iterator[str]:
        caption = f"{lane.name} — {told}" if told else lane.name
        y = top + BAND_TOP
        yield f'<g class="lane"><text class="name ink" fill="{_INK}" x="{SIDE}" y="{top + 18}"'
        yield f' font-weight="600">{text(caption)}</text>'
        for stretch in lane.stretches:
            yield from self._stretch(stretch, y)
        for column in lane.columns:
            yield from self._column(column, y)
        yield from self._marks(lane.marks, y)
        yield "</g>"

    def now(self, height: int) -> Iterator[str]:
        if not self._from <= self._now <= self._to:
            return
        x = self._x(self._now)
        anchor, distance = ("end", -4) if x > WIDTH - 60 else ("start", 4)
        yield f'<path class="now" stroke="{_INK}" stroke-width="2" d="M{x} 22V{height - FOOT}"/>'
        yield f'<text class="ink" fill="{_INK}" x="{x}" y="32" dx="{distance}" text-anchor="{anchor}"'
        yield ' font-weight="700">now</text>'

    def _stretch(self, stretch: TimelineSegment, y: int) -> Iterator[str]:
        if stretch.kind is TimelineKind.COUNTED:
            if stretch.from_ms < self._now:
                yield self._rect("counted", stretch._replace(to_ms=min(stretch.to_ms, self._now)), y)
            if stretch.to_ms > self._now:
                yield self._rect("will-count", stretch._replace(from_ms=max(stretch.from_ms, self._now)), y)
        elif stretch.kind is TimelineKind.PAUSED:
            yield self._rect("paused", stretch, y)
        else:
            yield self._rect("none" if stretch.cause == NO_CYCLE else "closed", stretch, y)

    def _rect(self, kind: str, stretch: TimelineSegment, y: int) -> str:
        x, end = self._x(stretch.from_ms), self._x(stretch.to_ms)
        told = f"{stretch.cause or kind.replace('-', ' ')}, {self._when(stretch.from_ms, stretch.to_ms)}"
        height, y = (6, y + 7) if kind == "closed" else (BAND, y)
        return (
            f'<rect class="{kind}" fill="{_FILLS[kind]}" x="{x}" y="{y}" width="{max(0.5, end - x):.1f}"'
            f' height="{height}"><title>{text(told)}</title></rect>'
        )

    def _column(self, column: Column, y: int) -> Iterator[str]:
        x, end = self._x(column.from_ms), self._x(column.to_ms)
        width, length = f"{max(0.5, end - x):.1f}", max(1, column.to_ms - column.from_ms)
        told = f"counted {span(column.counted_ms)}, paused {span(column.paused_ms)} of "
        told += self._when(column.from_ms, column.to_ms)
        yield f'<g><title>{text(told)}</title><rect class="closed" fill="{_FILLS["closed"]}" x="{x}"'
        yield f' y="{y + BAND - 3}" width="{width}" height="3"/>'
        kind, base = "counted" if column.from_ms < self._now else "will-count", float(y + BAND)
        for name, share in ((kind, column.counted_ms / length), ("paused", column.paused_ms / length)):
            if share > 0:
                height = max(1.0, BAND * min(share, 1.0))
                base -= height
                yield f'<rect class="{name}" fill="{_FILLS[name]}" x="{x}" y="{base:.1f}" width="{width}"'
                yield f' height="{height:.1f}"/>'
        yield "</g>"

    def _marks(self, marks: Sequence[Mark], y: int) -> Iterator[str]:
        """The weightiest are drawn last, on top; labels are given room in the opposite order."""
        taken: list[tuple[float, float]] = []
        shapes: list[str] = []
        for at, label, sign in sorted(marks, key=lambda mark: -_WEIGHTS.index(mark.sign)):
            x = self._x(at)
            told = f"{label}{' (retracted)' if sign == 'retracted' else ''}, {self._at(at)}"
            place = f"translate({x} {y + BAND // 2})"
            shapes.append(f'<g transform="{place}"><title>{text(told)}</title>{_SHAPES[sign]}</g>')
            short = label.partition(",")[0]
            half = (len(short) + 1) * CHARACTER / 2
            middle = min(max(x, SIDE + half), WIDTH - SIDE - half)
            if sign == "opened" or any(middle - half < end and begin < middle + half for begin, end in taken):
                continue
            taken.append((middle - half, middle + half))
            struck = ' text-decoration="line-through"' if sign == "retracted" else ""
            yield f'<text class="ink" fill="{_INK}" x="{middle:.1f}" y="{y + BAND + 16}" font-size="11"'
            yield f' text-anchor="middle"{struck}>{text(short)}</text>'
        yield from reversed(shapes)

    def _x(self, at: int) -> float:
        inside = min(max(at, self._from), self._to)
        return round(SIDE + (inside - self._from) * self._scale, 1)

    def _when(self, from_ms: int, to_ms: int) -> str:
        return f"{self._at(from_ms)} to {self._at(to_ms)}, {span(to_ms - from_ms)}"

    def _at(self, at: int) -> str:
        return f"{to_datetime(at).astimezone(self._zone):{self._form}}"


def text(told: str) -> str:
    """Text of XML, in which characters that XML cannot hold, or that turn a line around, do no harm."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in told)
    return escape(shown)


@cache
def _style() -> str:
    return resources.files("slad.console").joinpath("static", "picture.css").read_text("utf-8")
