"""Names as people type them: taken letter for letter, or answered with what they may mean (B9)."""

from __future__ import annotations

import pytest

from slad.core.errors import InvalidField
from slad.core.schedule import build_schedule
from slad.core.zone_names import is_place, suggestions
from slad.core.zones import zone_names

MONDAYS = [(1, "09:00", "17:00", True)]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("europe/paris", "Europe/Paris"),
        ("EUROPE/PARIS", "Europe/Paris"),
        (" Europe/Paris ", "Europe/Paris"),
        ("Europe / Paris", "Europe/Paris"),
        ("Europe/Pariss", "Europe/Paris"),
        ("Europe-Paris", "Europe/Paris"),
        ("Paris", "Europe/Paris"),
        ("America/New York", "America/New_York"),
        ("new york", "America/New_York"),
        ("Amercia/New_York", "America/New_York"),
        ("utc", "UTC"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ("India Standard Time", "Asia/Calcutta"),
        ("GMT+2", "Etc/GMT-2"),
        ("UTC+02:00", "Etc/GMT-2"),
        ("UTC-5", "Etc/GMT+5"),
        ("+0200", "Etc/GMT-2"),
        ("GMT+00:00", "Etc/UTC"),
    ],
)
def test_the_error_names_what_was_meant(typed: str, meant: str) -> None:
    assert not is_place(typed)
    assert suggestions(typed)[0] == meant
    with pytest.raises(InvalidField, match=f"did you mean {meant.replace('+', '[+]')}") as refusal:
        build_schedule(timezone=typed, is_24x7=False, entries=MONDAYS, holidays=[])
    assert (refusal.value.field, refusal.value.reason) == ("timezone", "UNKNOWN_TIME_ZONE")


@pytest.mark.parametrize(
    "typed", ["", " ", "PST", "XYZ", "GMT+25", "UTC+5:30", "nowhere near", "x" * 10_000, "Europe/" * 20]
)
def test_nothing_is_suggested_for_what_is_like_nothing(typed: str) -> None:
    assert suggestions(typed) == []
    with pytest.raises(InvalidField, match="'Europe/Berlin'"):
        build_schedule(timezone=typed, is_24x7=False, entries=MONDAYS, holidays=[])


@pytest.mark.parametrize("name", ["Factory", "localtime", "posixrules", "posix/Europe/Berlin", "right/UTC"])
def test_what_is_no_place_is_refused(name: str) -> None:
    assert not is_place(name)
    with pytest.raises(InvalidField):
        build_schedule(timezone=name, is_24x7=False, entries=MONDAYS, holidays=[])


def test_every_other_name_of_the_database_is_taken() -> None:
    for name in zone_names() - {"Factory"}:
        made = build_schedule(timezone=name, is_24x7=False, entries=MONDAYS, holidays=[])
        assert made.timezone == name


def test_every_suggestion_is_a_place() -> None:
    for typed in ("amsterdm", "Asia/Calcuta", "Pacific Standard Time", "US Pacific", "london", "Kiev/Europe"):
        assert all(is_place(name) for name in suggestions(typed)), typed
