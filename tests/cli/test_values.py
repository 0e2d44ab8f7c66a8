"""What people type: hours, holidays, spans, instants, files; and how instants are shown to them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.exits import CommandError
from slad.cli.main import main
from slad.cli.option_types import INSTANT, OPEN_SPAN, EnumWords, TypedInstant, parse_moment, parse_span
from slad.cli.request_file import read_message
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from tests.core.tickets import at

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_text, "wall_clock", lambda: NOW)


def test_spans() -> None:
    assert parse_span("45s") == 45_000
    assert parse_span("1s 250ms") == 1_250
    assert parse_span("1h30m") == parse_span("90 min") == 90 * MINUTE_MS
    assert parse_span("1d 2h") == DAY_MS + 2 * HOUR_MS
    for wrong in ("", "1", "h", "1h-", "1.5h"):
        with pytest.raises(ValueError, match="length of time"):
            parse_span(wrong)


def test_open_spans_have_no_days_and_are_whole_minutes() -> None:
    assert OPEN_SPAN("8h") == 480
    for wrong in ("2d", "30s", "0m", "soon"):
        with pytest.raises(click.BadParameter):
            OPEN_SPAN(wrong)


def test_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert parse_moment("now") == NOW
    assert parse_moment("-2h") == NOW.replace(hour=10)
    assert parse_moment("+1d") == NOW.replace(day=3)
    assert TypedInstant(parse_moment("2026-03-02T09:00Z")).aware() == NOW.replace(hour=9)
    assert TypedInstant(parse_moment("2026-03-02 09:00")).aware("Europe/Berlin") == NOW.replace(hour=8)
    assert TypedInstant(parse_moment("09:00")).aware() == NOW.replace(hour=3, minute=30)
    for wrong in ("yesterday", "25:00", "2026-13-01", "-soon", "9"):
        with pytest.raises(click.BadParameter):
            INSTANT(wrong)


def test_an_instant_is_shown_in_the_zone_of_the_user_with_that_of_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instant = at("2026-03-02T20:00:00.250Z")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert (
        time_text.instant(instant, "Europe/Berlin")
        == "Tue 2026-03-03 01:30:00.250 IST (Mon 21:00:00.250 CET)"
    )
    monkeypatch.setenv("TZ", "Europe/Paris")
    assert time_text.instant(at("2026-03-02T20:00:00Z"), "Europe/Berlin") == "Mon 2026-03-02 21:00 CET"
    assert time_text.instant(at("2026-07-02T20:00:00Z"), "") == "Thu 2026-07-02 22:00 CEST"


@pytest.mark.parametrize(
    ("length", "told", "told_open"),
    [
        (0, "0 s", "0 s"),
        (59_999, "59 s", "59 s"),
        (90 * MINUTE_MS, "1 h 30 min", "1 h 30 min"),
        (DAY_MS + MINUTE_MS, "1 d", "24 h 1 min"),
        (-HOUR_MS, "-1 h", "-1 h"),
        (2 * DAY_MS + 3 * HOUR_MS + MINUTE_MS, "2 d 3 h", "51 h 1 min"),
    ],
)
def test_spans_are_shown(length: int, told: str, told_open: str) -> None:
    assert time_text.span(length) == told
    assert time_text.open_span(length) == told_open


def test_words_are_those_of_the_contract() -> None:
    words = EnumWords(pb.SlaTimerStatus.DESCRIPTOR, "SLA_TIMER_STATUS_", everything="all")
    assert words("at-risk,PAUSED") == (pb.SLA_TIMER_STATUS_AT_RISK, pb.SLA_TIMER_STATUS_PAUSED)
    assert words("all") == ()
    with pytest.raises(click.BadParameter, match="'late' is not one of on-track"):
        words("late")


YAML = """
schedule:
  timezone: Europe/Berlin
  hours: Mon-Fri 09:00-17:00
  entries:
    - {day_of_week: 6, start_time: 10:00, end_time: 14:00, is_enabled: true}
  holidays: [yearly 12-25 Christmas Day, {holiday_date: 2026-04-03}]
targets:
  - response_time_minutes: 60
notification_thresholds: [50, 80]
"""


def request(path: Path) -> rpc.PreviewSlaRequest:
    return read_message(path, rpc.PreviewSlaRequest())


def test_yaml_times_and_dates_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(YAML.replace("  hours: Mon-Fri 09:00-17:00\n", ""))
    found = request(file)
    assert found.schedule.entries[0].start_time == "10:00"
    assert [holiday.holiday_date for holiday in found.schedule.holidays] == ["2000-12-25", "2026-04-03"]
    file.write_text(YAML)
    assert len(request(file).schedule.entries) == 5, "hours stand in the place of entries"


CALENDAR = """
schedule:
  timezone: Europe/Berlin
  hours: Mon-Fri 09:00-17:00; yearly 12-31 09:00-12:00
  closed: [2026-12-24..2026-12-31 = Works holidays, 2026-04-03 Good Friday]
  "2026-12-24 = Christmas Eve": ["09:00-11:00", "12:00-13:00"]
  "2026-12-28": closed
"""
AS_A_TABLE = """
schedule:
  timezone: Europe/Berlin
  hours:
    Mon-Fri: 09:00-17:00
    yearly 12-31: 09:00-12:00
    closed: [2026-12-24..2026-12-31 = Works holidays, 2026-04-03 Good Friday]
    "2026-12-24 = Christmas Eve": ["09:00-11:00", "12:00-13:00"]
    "2026-12-28":
"""


def test_a_calendar_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(CALENDAR)
    found = request(file).schedule
    assert len(found.entries) == 5
    assert [(h.holiday_date, h.holiday_name) for h in found.holidays] == [("2026-04-03", "Good Friday")]
    overrides = [(o.from_date, o.to_date, o.name, len(o.entries)) for o in found.date_overrides]
    assert overrides == [
        ("2026-12-24", "2026-12-31", "Works holidays", 0),
        ("2000-12-31", "", "", 1),
        ("2026-12-24", "", "Christmas Eve", 2),
        ("2026-12-28", "", "", 0),
    ]
    file.write_text(AS_A_TABLE)
    other = request(file).schedule
    assert other.entries == found.entries
    assert other.holidays == found.holidays
    assert sorted(map(str, other.date_overrides)) == sorted(map(str, found.date_overrides))


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"targets": [{"response_time_minutes": "60"}], "priorityId": "p1"}')
    (tmp_path / "a.yaml").write_text("targets:\n- response_time_minutes: 60\npriority_id: p1\n")
    assert request(tmp_path / "a.json") == request(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "keys and values are needed"),
        ("[]", "keys and values are needed"),
        ("{", "is not JSON"),
        ("a: [", "is not YAML"),
        ("schedul: {}", "there is no field 'schedul'; did you mean 'schedule'?"),
        ("schedule: {hours: 9to5}", "schedule.hours: '9to5' is not a rule of business hours"),
        ("schedule: {hours: 5}", "schedule.hours: must be a text"),
        (
            "schedule: {closed: 2026-12-24 afternoon}",
            "schedule.closed[0]: '2026-12-24 afternoon' is not understood",
        ),
        ("schedule: {closed: [5]}", "schedule.closed: must be a list of dates"),
        ("schedule: {2026-12-24: {a: b}}", "schedule.2026-12-24: must be a list of windows"),
        ("schedule: {2026-12-24: [noon]}", "schedule: '2026-12-24 noon' is not understood"),
        ("schedule: {holidays: [sometimes]}", "schedule.holidays[0]: 'sometimes' is not understood; write"),
        ("targets: [{response_time_minutes: soon}]", "response_time_minutes"),
        ("!!python/object:os.system {}", "is not YAML"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "policy"
    file.write_text(text)
    with pytest.raises(CommandError) as caught:
        request(file)
    assert str(caught.value).startswith(str(file))
    assert told in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        request(tmp_path / "nothing")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="not UTF-8"):
        request(tmp_path / "bytes")


def test_importing_the_command_imports_no_command() -> None:
    """`slad serve` and completion start fast."""
    script = "import sys, slad.cli.main; print([m for m in sys.modules if m in ('grpc', 'rich', 'uvloop')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_typed_instants_are_of_the_zone_that_is_given_also_around_the_clock() -> None:
    given = ("preview", "--24x7", "--response", "1h", "--start", "2026-03-02T09:00", "--json", "--tz")
    told = json.loads(CliRunner().invoke(main, [*given, "Europe/Berlin"]).stdout)
    assert told["response"]["due_at"] == "2026-03-02T09:00:00Z"
    refused = CliRunner().invoke(main, [*given, "Europe/Berln"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("slad: --tz: 'Europe/Berln' is not a time zone of the IANA database")
