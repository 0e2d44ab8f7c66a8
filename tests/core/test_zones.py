"""The zone reader against Python's zoneinfo, both fed from the tzdata package (B5)."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, from_datetime, to_datetime
from slad.core.zones import FOREVER_MS, Transition, UnknownZone, load_zone, parse_tzif
from tests.paths import ROOT

NAMES = sorted(resources.files("tzdata").joinpath("zones").read_text().split())
YEAR_1 = from_datetime(datetime(1, 1, 3, tzinfo=UTC))
YEAR_9999 = from_datetime(datetime(9999, 12, 29, tzinfo=UTC))


def reference(name: str) -> ZoneInfo:
    """The same file, read by Python."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def reference_offset(zone: ZoneInfo, utc_ms: int) -> int:
    offset = to_datetime(utc_ms).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def tzif(footer: str, listed: list[tuple[int, int]] = (), first_offset_s: int = 0) -> bytes:  # type: ignore[assignment]
    """A version 3 file with an empty 32-bit block, one type for each listed (second, offset in s)."""
    empty = struct.pack(">4sc15x6l", b"TZif", b"3", 0, 0, 0, 0, 0, 0)
    offsets = [first_offset_s, *(offset for _, offset in listed)]
    head = struct.pack(">4sc15x6l", b"TZif", b"3", 0, 0, 0, len(listed), len(offsets), 4)
    body = b"".join(struct.pack(">q", second) for second, _ in listed) + bytes(range(1, len(offsets)))
    types = b"".join(struct.pack(">lBB", offset, 0, 0) for offset in offsets)
    return empty + head + body + types + b"XXX\0" + f"\n{footer}\n".encode()


# --- every zone -----------------------------------------------------------------------------------------


def test_every_zone_agrees_with_python_at_random_instants() -> None:
    dice = random.Random(5)
    for name in NAMES:
        zone, expected = load_zone(name), reference(name)
        recent = [dice.randrange(-3_000_000_000_000, 5_000_000_000_000) for _ in range(40)]
        for utc_ms in [*recent, *(dice.randrange(YEAR_1, YEAR_9999) for _ in range(20))]:
            assert zone.offset_at(utc_ms) == reference_offset(expected, utc_ms), (name, utc_ms)


def test_every_zone_agrees_with_python_around_each_transition() -> None:
    until = from_datetime(datetime(2100, 1, 1, tzinfo=UTC))
    for name in NAMES:
        expected = reference(name)
        for at_ms, before_ms, after_ms in load_zone(name).transitions(YEAR_1, until):
            assert before_ms != after_ms, name
            assert reference_offset(expected, at_ms - 1) == before_ms, (name, at_ms)
            assert reference_offset(expected, at_ms) == after_ms, (name, at_ms)


def test_no_transition_is_missed() -> None:
    """Between two of our transitions, Python's offset is the same wherever it is looked at."""
    until = from_datetime(datetime(2060, 1, 1, tzinfo=UTC))
    for name in [*NAMES[::7], "Africa/Casablanca", "Asia/Gaza", "Europe/Dublin", "Antarctica/Troll"]:
        zone, expected = load_zone(name), reference(name)
        for period in zone.periods(from_datetime(datetime(1985, 1, 1, tzinfo=UTC))):
            if period.start_ms > until:
                break
            stop = min(period.end_ms, until)
            start = max(period.start_ms, YEAR_1)
            for utc_ms in range(start, stop, max(7 * DAY_MS, (stop - start) // 20)):
                assert reference_offset(expected, utc_ms) == period.offset_ms, (name, utc_ms)


@pytest.mark.parametrize("year", [2038, 2400, 5555, 9998])
def test_rules_hold_for_ever(year: int) -> None:
    first = from_datetime(datetime(year, 1, 1, tzinfo=UTC))
    for name in ("Europe/Berlin", "America/Santiago", "Asia/Jerusalem", "America/Nuuk", "Europe/Dublin"):
        expected = reference(name)
        found = list(load_zone(name).transitions(first, first + 365 * DAY_MS))
        assert len(found) == 2, name
        for at_ms, before_ms, after_ms in found:
            assert reference_offset(expected, at_ms - 1) == before_ms
            assert reference_offset(expected, at_ms) == after_ms


def test_all_transitions_to_year_9999_are_in_order() -> None:
    found = list(load_zone("Asia/Gaza").transitions(-FOREVER_MS, YEAR_9999))
    assert len(found) > 15_000
    for one, next_one in pairwise(found):
        assert one.at_ms < next_one.at_ms
        assert one.after_ms == next_one.before_ms


def test_ranges_are_half_open_and_join() -> None:
    zone = load_zone("Europe/Berlin")
    first, second = list(zone.transitions(1_767_225_600_000, 1_798_761_600_000))  # 2026
    assert first == Transition(1_774_746_000_000, HOUR_MS, 2 * HOUR_MS)
    assert list(zone.transitions(first.at_ms, second.at_ms)) == [first]
    assert list(zone.transitions(first.at_ms, second.at_ms + 1)) == [first, second]
    assert list(zone.transitions(first.at_ms + 1, second.at_ms)) == []


def test_periods_are_the_longest_ones() -> None:
    for name in NAMES[::9]:
        zone = load_zone(name)
        for start in (YEAR_1, *range(-2_000_000_000_000, 2_000_000_000_000, 50_000_000_000), YEAR_9999):
            periods = zone.periods(start)
            period = next(periods)
            assert period.start_ms <= start < period.end_ms, name
            following = next(periods, None)
            if following is None:
                assert period.end_ms == FOREVER_MS
            else:
                assert following.start_ms == period.end_ms
                assert following.offset_ms != period.offset_ms
            if period.start_ms > -FOREVER_MS:
                assert zone.offset_at(period.start_ms - 1) != period.offset_ms


# --- zones known for their oddity -----------------------------------------------------------------------


def changes(name: str, year: int) -> list[int]:
    first = from_datetime(datetime(year, 1, 1, tzinfo=UTC))
    found = load_zone(name).transitions(first, from_datetime(datetime(year + 1, 1, 1, tzinfo=UTC)))
    return [after_ms - before_ms for _, before_ms, after_ms in found]


def test_half_an_hour_in_lord_howe() -> None:
    assert changes("Australia/Lord_Howe", 2040) == [-30 * MINUTE_MS, 30 * MINUTE_MS]


def test_negative_daylight_saving_in_dublin() -> None:
    assert changes("Europe/Dublin", 2040) == [HOUR_MS, -HOUR_MS]


def test_a_day_skipped_in_apia() -> None:
    assert changes("Pacific/Apia", 2011) == [-HOUR_MS, HOUR_MS, DAY_MS]


def test_a_day_skipped_in_kwajalein() -> None:
    assert changes("Pacific/Kwajalein", 1993) == [DAY_MS]


def test_no_season_is_observed_in_tokyo() -> None:
    assert changes("Asia/Tokyo", 2040) == []


def test_a_change_of_abbreviation_alone_is_no_transition() -> None:
    zone = parse_tzif("x", tzif("XXX-1", [(0, 3600), (1000, 3600), (2000, 7200), (3000, 3600)], 3600))
    assert list(zone.transitions(-FOREVER_MS, FOREVER_MS)) == [
        Transition(2_000_000, HOUR_MS, 2 * HOUR_MS),
        Transition(3_000_000, 2 * HOUR_MS, HOUR_MS),
    ]


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../zones",
        "../x",
        "/etc/localtime",
        "/Europe/Berlin",
        "Europe/../Europe/Berlin",
        "Europe//Berlin",
        "Europe/Berlin/",
        "Europe\\Berlin",
        "Europe",
        "Europe/Atlantis",
        "europe/berlin",
        "EUROPE/BERLIN",
        "Europe/Berlin ",
        "Europe/Berlin\n",
        "Europe/Berlin\0",
        "\0",
        "localtime",
        "posixrules",
        "tzdata.zi",
        "zone.tab",
        "__init__.py",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        pytest.param("Europe/Berlin" * 100_000, id="overlong"),
        "Eurоpe/Berlin",  # a Cyrillic letter
    ],
)
def test_an_unknown_name_is_refused_and_not_echoed_at_length(name: str) -> None:
    with pytest.raises(UnknownZone) as refusal:
        load_zone(name)
    assert isinstance(refusal.value, ValueError)
    assert len(str(refusal.value)) < 200


def test_a_zone_is_loaded_once() -> None:
    assert load_zone("Europe/Berlin") is load_zone("Europe/Berlin")
    assert repr(load_zone("Europe/Berlin")) == "Zone('Europe/Berlin')"


# --- footers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("footer", "offset_s"),
    [
        ("XXX3XDT,J60/0,J300/0", -10800),
        ("XXX3XDT,J1/0,J365/0", -10800),
        ("XXX-5:30:15XDT-6:30:15,M2.5.0/-24,M11.1.6/30", 19815),
        ("<+03>-3<+04>,M1.2.0/0:30:10,M12.4.6/+24", 10800),
        ("<-01>1<-02>2,M9.3.3/1,M4.2.1", -3600),
    ],
)
def test_every_form_of_rule_agrees_with_python(footer: str, offset_s: int, tmp_path: Path) -> None:
    data = tzif(footer, [(0, offset_s)], offset_s)
    path = tmp_path / "zone"
    path.write_bytes(data)
    with path.open("rb") as file:
        expected = ZoneInfo.from_file(file)
    zone = parse_tzif("x", data)
    found = list(zone.transitions(1, from_datetime(datetime(2101, 1, 1, tzinfo=UTC))))
    assert len(found) >= 131 * 2 - 1
    for at_ms, before_ms, after_ms in found:
        assert reference_offset(expected, at_ms - 1) == before_ms
        assert reference_offset(expected, at_ms) == after_ms


@pytest.mark.parametrize(
    ("footer", "dates"),
    [
        # Python 3.11 reads these two forms a day off; the dates are POSIX's own definition.
        ("XXX0XDT,J59/0,J60/0", ["2023-02-28", "2023-03-01", "2024-02-28", "2024-03-01"]),
        ("XXX0XDT,0/0,59/1", ["2023-01-01", "2023-03-01", "2024-01-01", "2024-02-29"]),
    ],
)
def test_days_of_the_year_count_the_leap_day_or_not(footer: str, dates: list[str]) -> None:
    first = from_datetime(datetime(2022, 12, 31, tzinfo=UTC))
    found = parse_tzif("x", tzif(footer)).transitions(first, first + 730 * DAY_MS)
    assert [str((to_datetime(at_ms + before_ms)).date()) for at_ms, before_ms, _ in found] == dates


def test_a_season_may_end_in_the_next_year() -> None:
    zone = parse_tzif("x", tzif("XXX0XDT,M7.1.0,M12.5.6/+24"))
    first = from_datetime(datetime(1977, 12, 31, tzinfo=UTC))
    assert list(zone.transitions(first, first + DAY_MS)) == [Transition(first + 23 * HOUR_MS, HOUR_MS, 0)]
    assert zone.offset_at(first + 22 * HOUR_MS) == HOUR_MS
    zone = parse_tzif("x", tzif("XXX0XDT,M7.1.0,M12.5.6/+50"))
    assert zone.offset_at(first + 48 * HOUR_MS) == HOUR_MS
    assert zone.offset_at(first + 49 * HOUR_MS) == 0


def test_daylight_saving_all_year_is_a_fixed_offset() -> None:
    zone = parse_tzif("x", tzif("EST5EDT,0/0,J365/25", [(0, -4 * 3600)]))
    assert list(zone.transitions(1, YEAR_9999)) == []
    assert zone.offset_at(YEAR_9999) == -4 * HOUR_MS


def test_without_a_footer_the_last_offset_stays() -> None:
    zone = parse_tzif("x", tzif("", [(0, 60)]))
    assert zone.offset_at(YEAR_9999) == 60 * SECOND_MS
    assert zone.offset_at(-1) == 0


def test_a_rule_may_be_all_there_is() -> None:
    zone = parse_tzif("x", tzif("XXX0XDT,M3.5.0,M10.5.0"))
    assert len(list(zone.transitions(0, 10 * 365 * DAY_MS))) == 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"TZif",
        b"nonsense" * 20,
        tzif("XXX3")[:-1],
        tzif("XXX3")[:60],
        tzif("XXX3").replace(b"TZif3", b"TZif\0"),
        tzif("XXX"),
        tzif("XXX3XDT"),
        tzif("XXX3XDT,M13.1.1,M3.1.1"),
        tzif("XXX3XDT,M1.6.1,M3.1.1"),
        tzif("XXX3XDT,M1.1.1,M3.1.1 "),
        tzif("XXX3", [(0, 0)])[:-8],
    ],
)
def test_data_that_is_no_zone_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        parse_tzif("x", data)


# --- the host's database --------------------------------------------------------------------------------


def test_nothing_is_read_from_the_host(tmp_path: Path) -> None:
    """Neither TZ, nor PYTHONTZPATH, nor /usr/share/zoneinfo: the only files opened are the package's."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(tzif("XXX9"))
    program = (
        "import sys\n"
        "opened = []\n"
        "from slad.core.zones import load_zone\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        "zone = load_zone('Europe/Berlin')\n"
        "files = [n for n in opened if not n.endswith(('.py', '.pyc'))]\n"
        "import tzdata\n"
        "package = tzdata.__file__.removesuffix('__init__.py')\n"
        "assert all(name.startswith(package) for name in files), files\n"
        "print(len(files), zone.offset_at(1767225600000))\n"
    )
    environment = {**os.environ, "TZ": "America/New_York", "PYTHONTZPATH": str(tmp_path)}
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", str(HOUR_MS)]
