"""The kinds of values that settings have: how each is read from text and from TOML, and shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from dateutil.parser import isoparse

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, format_instant, from_datetime

T = TypeVar("T")

UNITS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value. `from_text` and `from_toml` raise ValueError with a sentence for people."""

    name: str
    """What stands for a value in help texts."""
    from_text: Callable[[str], T]
    from_toml: Callable[[Any], T]
    """From what a TOML file holds."""
    show: Callable[[T], str]
    """As a person, or a flag, would write it."""
    choices: tuple[str, ...] = ()
    """All values, when they are few."""
    several: bool = False
    """Whether it is a list: its flag may repeat, and its variable separates values by spaces."""


def _typed(wanted: type[T], what: str) -> Callable[[Any], T]:
    def check(value: Any) -> T:
        # In Python a bool is an int; in a configuration it is a mistake.
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ValueError(f"{value!r} is not {what}")
        return value

    return check


_text_in_toml = _typed(str, "a text in quotes")


def _as_text(parse: Callable[[str], T]) -> Callable[[Any], T]:
    return lambda value: parse(_text_in_toml(value))


TEXT: Final = Kind("TEXT", str, _text_in_toml, str)


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/\S*)?", text):
        raise ValueError(f"{text!r} is not a URL that begins with http:// or https://")
    return text


HTTP_URL: Final = Kind("URL", _http_url, _as_text(_http_url), str)

PATH: Final = Kind("PATH", Path, _as_text(Path), str)


def integer(low: int, high: int | None = None) -> Kind[int]:
    """A whole number from `low` up to `high`, both included."""
    what = f"a whole number of at least {low}" + (f" and at most {high}" if high is not None else "")

    def bounded(value: int) -> int:
        if value < low or (high is not None and value > high):
            raise ValueError(f"{value} is not {what}")
        return value

    def from_text(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError(f"{text!r} is not {what}")
        return bounded(int(text))

    return Kind("N", from_text, lambda value: bounded(_typed(int, what)(value)), str)


def choice(*values: str) -> Kind[str]:
    """One of a few words."""

    def from_text(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text!r} is not one of {', '.join(values)}")
        return text

    return Kind("|".join(values), from_text, _as_text(from_text), str, choices=values)


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


BOOLEAN: Final = Kind("true|false", _boolean, _typed(bool, "true or false"), lambda value: str(value).lower())


def _list_of_texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(value)


TEXTS: Final = Kind("TEXT", lambda text: tuple(text.split()), _list_of_texts, " ".join, several=True)


def _span(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(ms|[smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is not a length of time, such as 45s, 30m, 12h or 7d")
    return int(match[1]) * (UNITS[match[2]] if match[2] != "ms" else 1)


def _show_span(ms: int) -> str:
    for unit, size in reversed(UNITS.items()):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


SPAN: Final = Kind("SPAN", _span, _as_text(_span), _show_span)
"""A length of time such as 250ms, 45s, 30m, 12h or 7d; the value is in ms."""


def parse_instant(text: str) -> int:
    """An ISO 8601 instant, UTC unless it says otherwise, as UTC epoch ms. Raises ValueError."""
    try:
        moment = isoparse(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 instant, such as 2026-03-02T09:00:00Z") from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _instant_in_toml(value: Any) -> int:
    if isinstance(value, datetime):
        return from_datetime(value if value.tzinfo else value.replace(tzinfo=UTC))
    return parse_instant(_text_in_toml(value))


INSTANT: Final = Kind("INSTANT", parse_instant, _instant_in_toml, format_instant)
"""UTC epoch ms."""
