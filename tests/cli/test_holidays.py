"""Public holidays, from the package `holidays`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from slad.cli.main import main

OFFICE = ("--hours", "Mon-Fri 09:00-17:00", "--tz", "Europe/Istanbul")


def run(*words: str, **variables: str) -> Result:
    env = {"LANG": "C", "LC_ALL": "", "LC_MESSAGES": "", **variables}
    return CliRunner().invoke(main, ["holidays", *words], env=env, prog_name="slad")


def written(*words: str, **variables: str) -> Any:
    done = run(*words, **variables)
    assert done.exit_code == 0, done.output
    return yaml.safe_load(done.stdout)


def test_the_holidays_of_a_country_and_of_its_parts() -> None:
    of_all = written("DE", "--years", "2026")["holidays"]
    of_bavaria = written("de", "--subdivision", "BY", "--years", "2026")["holidays"]
    assert "2026-12-25 = Christmas Day" in of_all
    assert "2026-01-06 = Epiphany" in of_bavaria
    assert "2026-01-06 = Epiphany" not in of_all
    assert set(of_all) < set(of_bavaria)
    assert written("DE", "--subdivision", "Bayern", "--years", "2026")["holidays"] == of_bavaria
    more = written("DE", "--subdivision", "BY", "--years", "2026", "--category", "catholic")["holidays"]
    assert set(more) - set(of_bavaria) == {"2026-08-15 = Assumption Day"}


@pytest.mark.parametrize(
    ("years", "expected"),
    [
        ("2026", {2026}),
        ("2026-2028", {2026, 2027, 2028}),
        ("2028, 2026", {2026, 2028}),
    ],
)
def test_the_years(years: str, expected: set[int]) -> None:
    assert {int(text[:4]) for text in written("DE", "--years", years)["holidays"]} == expected


@pytest.mark.parametrize(
    ("variables", "words", "name"),
    [
        ({"LANG": "C"}, (), "Good Friday"),
        ({"LANG": "de_AT.UTF-8"}, (), "Karfreitag"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "de_DE"}, (), "Karfreitag"),
        ({"LANG": "fr_FR.UTF-8"}, (), "Good Friday"),
        ({"LANG": "C"}, ("--language", "de"), "Karfreitag"),
    ],
)
def test_names_are_in_the_language_of_the_reader(
    variables: dict[str, str], words: tuple[str, ...], name: str
) -> None:
    assert f"2026-04-03 = {name}" in written("DE", "--years", "2026", *words, **variables)["holidays"]


def test_half_days_close_from_their_hour_on() -> None:
    found = written("TR", "--years", "2026", "--language", "tr")["holidays"]
    assert "2026-10-28 13:00-24:00 = Cumhuriyet Bayramı" in found
    assert "2026-10-29 = Cumhuriyet Bayramı" in found
    schedule = json.loads(run("TR", "--years", "2026", "-o", "json", *OFFICE).stdout)
    (override,) = [o for o in schedule["date_overrides"] if o["from_date"] == "2026-10-28"]
    assert override["entries"] == [{"start_time": "09:00:00", "end_time": "13:00:00"}]
    assert len(schedule["entries"]) == 5
    without = run("TR", "--years", "2026", "-o", "json")
    assert "date_overrides" not in json.loads(without.stdout)
    assert without.stderr == "slad: half days need --hours in JSON, and are left out\n"


def test_a_half_day_whose_hour_nobody_knows_is_told() -> None:
    done = run("GR", "--years", "2026")
    assert "2026-12-24" not in done.stdout
    assert "half days whose hour is not known are left out: 2026-12-24 Christmas Eve" in done.stderr


def test_a_calendar_becomes_a_preview(tmp_path: Path) -> None:
    file = tmp_path / "desk.yaml"
    file.write_text(run("TR", "--years", "2026", *OFFICE).stdout)
    words = ["preview", "-f", str(file), "--target", "8h", "--start", "2026-10-28T09:00", "-o", "json"]
    done = CliRunner().invoke(main, words, env={"TZ": "Europe/Istanbul"})
    # Four hours until 13:00; the 29th is a holiday; four more on the 30th.
    assert json.loads(done.stdout)["resolution"]["due_at"] == "2026-10-30T10:00:00Z"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("XX",), "'XX' is not the code of a country"),
        (("DE", "--subdivision", "BX"), "--subdivision: DE has BB, BE, BW, BY"),
        (("DE", "--years", "26"), "'26' are not years, such as 2026, 2026-2028 or 2026,2028"),
        (("DE", "--years", "2028-2026"), "are not years"),
        (("DE", "--years", "2200"), "the holidays of DE are known from 1991 to 2100"),
        (("DE", "--category", "bank"), "--category: 'bank' is not one of catholic, public"),
        (("DE", "--language", "fr"), "--language: there is de, en_US"),
        (("DE", "--hours", "Mon-Fri 09:00-17:00"), "give --hours and --tz together"),
        (
            ("DE", "--years", "2026", "--hours", "9-5", "--tz", "UTC"),
            "--hours: '9-5' is not a rule of business",
        ),
    ],
)
def test_what_is_wrong_is_told(words: tuple[str, ...], told: str) -> None:
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    done = run("DE")
    assert done.exit_code == 3
    assert done.stderr == "slad: the package holidays is not installed: pip install 'slad[holidays]'\n"
