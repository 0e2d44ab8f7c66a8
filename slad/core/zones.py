"""Time zones from the `tzdata` package, never from the host's database (B5).

A zone is read from its TZif file (RFC 8536, version 2 or later): the transitions that the file lists, then,
for all time after them, the POSIX rule in its footer. The rule is worked out year by year as it is asked
for and nothing is kept of it, so a `Zone` is an immutable value that threads may share.

All instants are UTC epoch milliseconds, all offsets are milliseconds east of UTC.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import chain, count, pairwise
from typing import Final, NamedTuple

from slad.core.civil import EPOCH_DAY, day_number, days_in_month, is_leap, weekday, year_of, year_start
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

FOREVER_MS: Final = 1 << 70
"""Later than every instant; its negative is earlier than every instant. Not instants themselves."""


class UnknownZone(ValueError):  # noqa: N818
    """A name that the database does not have, letter for letter (B6)."""


class Transition(NamedTuple):
    """From `at_ms` on, clocks in the zone run `after_ms` ahead of UTC; until then `before_ms`."""

    at_ms: int
    before_ms: int
    after_ms: int


class Period(NamedTuple):
    """A longest stretch [start_ms, end_ms) of one offset; open-ended ones use `FOREVER_MS`."""

    start_ms: int
    end_ms: int
    offset_ms: int


class Zone:
    """What the clocks of one zone show, at any instant of any year."""

    __slots__ = ("_changes", "_listed_until", "_offsets", "_rule", "name")

    def __init__(
        self, name: str, first_offset_ms: int, listed: list[tuple[int, int]], rule: _Rule | None
    ) -> None:
        """`listed` are the file's transitions in order, as (instant, offset from then on)."""
        self.name = name
        # A transition may change only the zone's abbreviation: clocks do not move, so to us it is none.
        changes: list[int] = []
        offsets = [first_offset_ms]
        for at_ms, offset_ms in listed:
            if offset_ms != offsets[-1]:
                changes.append(at_ms)
                offsets.append(offset_ms)
        self._changes = tuple(changes)
        self._offsets = tuple(offsets)
        self._rule = rule
        self._listed_until = listed[-1][0] if listed else -FOREVER_MS

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def offset_at(self, utc_ms: int) -> int:
        """The offset in force at an instant, in ms east of UTC."""
        return next(self.periods(utc_ms)).offset_ms

    def transitions(self, from_ms: int, to_ms: int) -> Iterator[Transition]:
        """The transitions in [from_ms, to_ms), in order. Each one changes the offset."""
        for before, after in pairwise(self.periods(from_ms - 1)):
            if after.start_ms >= to_ms:
                return
            yield Transition(after.start_ms, before.offset_ms, after.offset_ms)

    def periods(self, from_ms: int) -> Iterator[Period]:
        """The stretches of one offset, in order; the first holds `from_ms`, the last (if any) has no end."""
        index = bisect_right(self._changes, from_ms)
        start_ms = self._changes[index - 1] if index else -FOREVER_MS
        offset_ms = self._offsets[index]
        listed = zip(self._changes[index:], self._offsets[index + 1 :], strict=True)
        for at_ms, next_offset_ms in chain(listed, self._ruled(from_ms)):
            if next_offset_ms == offset_ms:
                continue
            if at_ms > from_ms:
                yield Period(start_ms, at_ms, offset_ms)
            start_ms, offset_ms = at_ms, next_offset_ms
        yield Period(start_ms, FOREVER_MS, offset_ms)

    @property
    def first_ruled_year(self) -> int | None:
        """The first year of which the rule makes both changes; None: clocks change no more after the list."""
        if self._rule is None:
            return None
        return year_of(self._listed_until // DAY_MS + EPOCH_DAY) + 1

    def changes_of(self, year: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The two changes of a ruled year in order, as (instant, offset from then on).

        They lie equally in all years of a kind (see `civil.YEAR_KINDS`).
        """
        assert self._rule is not None
        return self._rule.changes(year)

    def _ruled(self, from_ms: int) -> Iterator[tuple[int, int]]:
        """The changes by the footer's rule, from at least a whole year before `from_ms` on, without end.

        That margin is what tells `periods` the offset at `from_ms`, and since when it is in force.
        """
        if self._rule is None:
            return
        first_year = year_of(max(from_ms, self._listed_until) // DAY_MS + EPOCH_DAY) - 2
        for year in count(first_year):
            for change in self._rule.changes(year):
                if change[0] > self._listed_until:
                    yield change


@cache  # bounded: only the database's own names get this far, a refused name is not kept
def load_zone(name: str) -> Zone:
    """The zone of that IANA name. Raises `UnknownZone`."""
    if name not in zone_names():
        raise UnknownZone(f"{name[:64]!r} is not a time zone of the IANA database")
    file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    return parse_tzif(name, file.read_bytes())


@cache
def zone_names() -> frozenset[str]:
    """The names in the database's index. To go by it keeps odd names from ever becoming paths."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("ascii").split())


# --- TZif (RFC 8536) ------------------------------------------------------------------------------------

_HEADER: Final = struct.Struct(">4sc15x6l")
_TYPE: Final = struct.Struct(">lBB")


def parse_tzif(name: str, data: bytes) -> Zone:
    """The zone that a TZif file of version 2 or later describes. Raises ValueError if it is none."""
    try:
        return _parse(name, data)
    except (ValueError, IndexError, struct.error) as error:
        raise ValueError(f"the time zone data of {name!r} cannot be read: {error}") from error


def _parse(name: str, data: bytes) -> Zone:
    version, (is_utc, is_std, leaps, times, types, chars) = _header(data, 0)
    if version < b"2":
        raise ValueError("version 1 has no 64-bit data")
    # The first block repeats the data in 32 bits for old readers: step over it.
    at = _HEADER.size + times * 5 + types * _TYPE.size + chars + leaps * 8 + is_std + is_utc
    _, (is_utc, is_std, leaps, times, types, chars) = _header(data, at)
    at += _HEADER.size
    instants = struct.unpack_from(f">{times}q", data, at)
    at += times * 8
    kinds = struct.unpack_from(f"{times}B", data, at)
    at += times
    offsets_ms = [_TYPE.unpack_from(data, at + n * _TYPE.size)[0] * SECOND_MS for n in range(types)]
    at += types * _TYPE.size + chars + leaps * 12 + is_std + is_utc
    footer = data[at:].decode("ascii")
    if len(footer) < 2 or footer[0] + footer[-1] != "\n\n":
        raise ValueError("no footer")
    listed = [(second * SECOND_MS, offsets_ms[kind]) for second, kind in zip(instants, kinds, strict=True)]
    # RFC 8536, 3.2: type 0 is in force before the first transition.
    return Zone(name, offsets_ms[0], listed, _parse_rule(footer[1:-1]))


def _header(data: bytes, at: int) -> tuple[bytes, list[int]]:
    magic, version, *counts = _HEADER.unpack_from(data, at)
    if magic != b"TZif":
        raise ValueError("not TZif")
    return version, counts


# --- the footer: a POSIX TZ string, with the hours of RFC 8536, 3.3.1 -----------------------------------

_NAME: Final = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_TIME: Final = r"[+-]?[0-9]{1,3}(?::[0-9]{2}){0,2}"
_DATE: Final = r"M[0-9]{1,2}\.[1-5]\.[0-6]|J?[0-9]{1,3}"
_FOOTER: Final = re.compile(
    rf"{_NAME}(?P<std>{_TIME})(?:{_NAME}(?P<dst>{_TIME})?"
    rf",(?P<start>{_DATE})(?:/(?P<start_time>{_TIME}))?,(?P<end>{_DATE})(?:/(?P<end_time>{_TIME}))?)?"
)


class _Date(NamedTuple):
    """A day of every year: `Mm.w.d` as (month, week, weekday), `Jn` and `n` as (0, 0 or 1, n).

    Of the latter two, the one with a 1 is `Jn`, which counts from 1 and never counts 29 February.
    """

    month: int
    week: int
    number: int

    def day_in(self, year: int) -> int:
        """The day number of the date in a year."""
        if self.month:
            first = day_number(year, self.month, 1)
            day = first + (self.number - weekday(first)) % 7 + 7 * (self.week - 1)
            # Week 5 is the last one, be it the fourth or the fifth.
            return day if day < first + days_in_month(year, self.month) else day - 7
        if self.week and not (is_leap(year) and self.number >= 60):
            return year_start(year) + self.number - 1
        return year_start(year) + self.number


class _Rule(NamedTuple):
    """Standard time, but daylight-saving time from `start` to `end` of each year.

    The times are ms from that day's midnight by the clock that the change ends; negative ones and those
    beyond 24 hours mean another day.
    """

    standard_ms: int
    daylight_ms: int
    start: _Date
    start_time_ms: int
    end: _Date
    end_time_ms: int

    def changes(self, year: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The year's changes in order, as (instant, offset from then on)."""
        to_daylight = (self.start.day_in(year) - EPOCH_DAY) * DAY_MS + self.start_time_ms - self.standard_ms
        to_standard = (self.end.day_in(year) - EPOCH_DAY) * DAY_MS + self.end_time_ms - self.daylight_ms
        first, second = (to_daylight, self.daylight_ms), (to_standard, self.standard_ms)
        return (first, second) if to_daylight < to_standard else (second, first)


def _parse_rule(footer: str) -> _Rule | None:
    """The rule of a footer, or None if clocks no longer change: the last listed offset then stays."""
    match = _FOOTER.fullmatch(footer)
    if match is None and footer:
        raise ValueError(f"{footer!r} is not a POSIX time zone")
    if match is None or match["start"] is None:
        return None
    standard_ms = -_parse_span(match["std"])  # POSIX counts westwards
    rule = _Rule(
        standard_ms,
        -_parse_span(match["dst"]) if match["dst"] else standard_ms + HOUR_MS,
        _parse_date(match["start"]),
        _parse_span(match["start_time"] or "2"),
        _parse_date(match["end"]),
        _parse_span(match["end_time"] or "2"),
    )
    # Daylight saving all year is written as a season that ends just when the next one starts.
    all_year = rule.changes(2000)[1][0] == rule.changes(2001)[0][0]
    return None if all_year else rule


def _parse_date(text: str) -> _Date:
    if text.startswith("M"):
        month, week, day_of_week = map(int, text[1:].split("."))
        if not 1 <= month <= 12:
            raise ValueError(f"{text!r} names no month")
        return _Date(month, week, day_of_week)
    return _Date(0, 1, int(text[1:])) if text.startswith("J") else _Date(0, 0, int(text))


def _parse_span(text: str) -> int:
    """`[+-]h[:mm[:ss]]` in ms."""
    hours, minutes, seconds = (*map(int, text.lstrip("+-").split(":")), 0, 0)[:3]
    span_ms = hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS
    return -span_ms if text.startswith("-") else span_ms
