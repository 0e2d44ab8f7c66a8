"""One file, environment and flags: which one counts, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slad.cli.main import main
from slad.core.instants import DAY_MS, HOUR_MS
from slad.daemon import configuration as slad_configuration
from slad.daemon.configuration import (
    DEFAULT,
    FLAG,
    SETTINGS,
    ConfigurationError,
    Setting,
    Value,
    configure,
)
from slad.daemon.kinds import BOOLEAN, INSTANT, PATH, SPAN, TEXT, TEXTS, Kind, choice, integer
from slad.daemon.settings import Settings
from tests.core.tickets import at


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "slad.toml"
    path.write_text(text, "utf-8")
    return path


def slad(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, arguments, env=variables)


def test_without_anything_the_settings_are_the_defaults() -> None:
    configuration = configure({})
    assert configuration.settings() == Settings()
    assert {value.origin for value in configuration.values.values()} == {DEFAULT}


def test_the_file_goes_before_the_default_and_what_is_given_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'data = "/srv/slad"\n[retention]\nevents = "2h"\nmax_events = 7\n')
    configuration = configure({"retention.max_events": Value(9, FLAG)}, path)
    settings = configuration.settings()
    assert settings.data == Path("/srv/slad")
    assert settings.retention.events_ms == 2 * HOUR_MS
    assert settings.retention.max_events == 9
    assert settings.retention.requests_ms == 7 * DAY_MS
    assert configuration.values["retention.events"].origin == str(path)
    assert configuration.values["retention.max_events"].origin == FLAG


def test_a_flag_goes_before_its_variable_before_the_file(tmp_path: Path) -> None:
    path = str(written(tmp_path, '[log]\nlevel = "error"\nformat = "json"\n'))
    shown = slad("config", "show", "--config", path).stdout
    assert f'level = "error"  # {path}' in shown.splitlines()
    shown = slad("config", "show", SLAD_CONFIG=path, SLAD_LOG_LEVEL="warning").stdout
    assert 'level = "warning"  # environment' in shown.splitlines()
    assert f'format = "json"  # {path}' in shown.splitlines()
    shown = slad("config", "show", "--log-level", "debug", SLAD_LOG_LEVEL="warning").stdout
    assert 'level = "debug"  # flag' in shown.splitlines()


def test_a_reload_reads_the_file_again_and_keeps_what_was_given(tmp_path: Path) -> None:
    path = written(tmp_path, '[log]\nlevel = "error"\n')
    configuration = configure({"log.format": Value("json", FLAG)}, path)
    written(tmp_path, '[log]\nlevel = "debug"\nformat = "text"\n')
    again = configuration.reloaded().settings().log
    assert (again.level, again.format) == ("debug", "json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[log]\nlevle = "info"\n', "there is no setting 'log.levle'; did you mean 'log.level'?"),
        ('lissten = ["x"]\n', "there is no setting 'lissten'; did you mean 'listen'?"),
        ("[zebra]\nx = 1\n", "there is no setting 'zebra.x'; `slad config show` lists all that there are"),
        ('[log]\nlevel = "loud"\n', "log.level: 'loud' is not one of debug, info, warning, error"),
        ("[log]\nlevel = 3\n", "log.level: 3 is not a text in quotes"),
        ("[retention]\nevents = 30\n", "retention.events: 30 is not a text in quotes"),
        (
            '[retention]\nevents = "soon"\n',
            "retention.events: 'soon' is not a length of time, such as 45s, 30m, 12h or 7d",
        ),
        ("[retention]\nmax_events = 0\n", "retention.max_events: 0 is not a whole number of at least 1"),
        (
            "[retention]\nmax_events = true\n",
            "retention.max_events: True is not a whole number of at least 1",
        ),
        ("listen = [1]\n", "listen: [1] is not a list of texts"),
        ('log = "info"\n', "log is a table: [log]"),
        ("listen = \n", "is not TOML:"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        configure({}, path)
    assert str(caught.value).startswith(f"{path}: {complaint}")
    done = slad("config", "check", "--config", str(path))
    assert done.exit_code == 2
    assert done.stderr == f"slad: {caught.value}\n"


@pytest.mark.parametrize("command", [("serve",), ("config", "check"), ("config", "show"), ("doctor",)])
def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = slad(*command, "--config", str(tmp_path / "none.toml"))
    assert done.exit_code == 2
    assert done.stderr == f"slad: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


def test_check_says_ok(tmp_path: Path) -> None:
    path = written(tmp_path, "[log]\n")
    assert slad("config", "check", "--config", str(path)).stdout == f"ok: {path}\n"


def test_what_show_prints_can_serve_as_the_file(tmp_path: Path) -> None:
    given = ("--listen", "unix:/x", "--listen", "127.0.0.1:1", "--virtual-clock", "2026-03-02T09:00Z")
    shown = slad("config", "show", *given).stdout
    again = configure({}, written(tmp_path, shown)).settings()
    assert again.listen == ("unix:/x", "127.0.0.1:1")
    assert again.virtual_clock == at("2026-03-02T09:00:00Z")
    assert tomllib.loads(shown)["retention"] == {
        "events": "30d",
        "max_events": 10_000_000,
        "request_ids": "7d",
    }


def test_the_commands_that_care_for_the_data_take_it_from_the_same_file(tmp_path: Path) -> None:
    path = written(tmp_path, f'data = "{tmp_path}/nowhere"\n')
    done = slad("doctor", SLAD_CONFIG=str(path))
    assert done.exit_code == 3
    assert f"{tmp_path}/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TEXT, "a b", "a b"),
        (TEXTS, "a b", ("a", "b")),
        (PATH, "/a", Path("/a")),
        (SPAN, "90m", 90 * 60_000),
        (SPAN, "250ms", 250),
        (SPAN, "2h", 2 * HOUR_MS),
        (INSTANT, "2026-03-02T09:00:00Z", at("2026-03-02T09:00:00Z")),
        (BOOLEAN, "true", True),
        (integer(0, 9), "7", 7),
        (choice("a", "b"), "b", "b"),
    ],
)
def test_what_a_kind_shows_it_reads(kind: Kind[Any], text: str, value: object) -> None:
    assert kind.from_text(text) == value
    assert kind.from_text(kind.show(value)) == value


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_names_follow_from_the_key_and_defaults_can_be_written(setting: Setting) -> None:
    assert setting.flag == "--" + setting.key.replace(".", "-").replace("_", "-")
    assert setting.variable == "SLAD_" + setting.key.replace(".", "_").upper()
    if setting.default is not None:
        assert setting.kind.from_text(setting.kind.show(setting.default)) == setting.default


def test_traces_without_opentelemetry_are_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"traces.endpoint": Value("http://127.0.0.1:4317", FLAG)}
    assert configure(given).settings().traces_endpoint == "http://127.0.0.1:4317"
    monkeypatch.setattr(slad_configuration, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'slad\[otel\]'"):
        configure(given).settings()
    assert configure({}).settings().traces_endpoint is None


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "grpc://collector", "http://", "http://a b"])
def test_a_collector_is_given_as_a_url(tmp_path: Path, endpoint: str) -> None:
    file = written(tmp_path, f'[traces]\nendpoint = "{endpoint}"\n')
    with pytest.raises(ConfigurationError, match=r"traces\.endpoint: .* is not a URL"):
        configure({}, file)
