"""One file, environment and flags: which one counts, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from click.testing import CliRunner, Result
from msgspec import Meta

from slad.cli.main import main
from slad.config.kinds import EventTypeName, File, Instant, NetworkText, SettingError, Span, kind_of
from slad.config.reader import DEFAULT, FLAG, SETTINGS, ConfigurationError, Value, configure
from slad.config.settings import Settings
from slad.config.tables import Setting
from slad.core.events import EventType
from slad.core.instants import DAY_MS, HOUR_MS
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


@pytest.mark.parametrize("written_as", ["2026-03-02", "2026-03-02T00:00:00Z", '"2026-03-02"'])
def test_an_instant_may_be_toml_s_own(tmp_path: Path, written_as: str) -> None:
    path = written(tmp_path, f"virtual_clock = {written_as}\n")
    assert configure({}, path).settings().virtual_clock == at("2026-03-02T00:00:00Z")


def test_a_reload_reads_the_file_again_and_keeps_what_was_given(tmp_path: Path) -> None:
    path = written(tmp_path, '[log]\nlevel = "error"\n')
    configuration = configure({"log.format": Value("json", FLAG)}, path)
    written(tmp_path, '[log]\nlevel = "debug"\nformat = "text"\n')
    again = configuration.reloaded().settings().log
    assert (again.level, again.format) == ("debug", "json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[log]\nlevle = "info"\n', "log.levle: there is no such setting; did you mean 'log.level'?"),
        ('lissten = ["x"]\n', "lissten: there is no such setting; did you mean 'listen'?"),
        (
            "[zebra]\nx = 1\n",
            "zebra.x: there is no such setting; `slad config show` lists all",
        ),
        ('[log]\nlevel = "loud"\n', "log.level: 'loud' is not one of debug, info, warning, error"),
        ("[log]\nlevel = 3\n", "log.level: 3 is not a text in quotes"),
        ("[retention]\nevents = 30\n", "retention.events: 30 is not a text in quotes"),
        (
            '[retention]\nevents = "soon"\n',
            "retention.events: 'soon' is not a length of time, such as 250ms, 45s, 30m, 12h or 7d",
        ),
        ("[retention]\nmax_events = 0\n", "retention.max_events: 0 is not a whole number of at least 1"),
        (
            "[retention]\nmax_events = true\n",
            "retention.max_events: True is not a whole number of at least 1",
        ),
        ("listen = [1]\n", "listen: [1] is not a text in quotes or a list of them"),
        ('log = "info"\n', "log: is a table: [log]"),
        (
            '[metrics]\nclocks = ["Next reply"]\n',
            "metrics.clocks: 'Next reply' is not the name of a clock, such as next-reply",
        ),
        ("listen = \n", "is not TOML:"),
        ("listen = []\n", "listen: is empty"),
        ('data = ""\n', "data: is empty"),
        ('data = "a\\u0000"\n', "data: 'a\\x00' is not a path"),
        ("[zebra]\n", "zebra: there is no such setting; `slad config show` lists all"),
        ("[retentoin]\n", "retentoin: there is no such setting; did you mean 'retention'?"),
        ("[log.levels]\n", "log.levels: there is no such setting; did you mean 'log.level'?"),
        ('[metrics]\nlisten = "7524"\n', "metrics.listen: '7524' is not host:port"),
        ('[metrics]\nlisten = "localhost"\n', "metrics.listen: 'localhost' is not host:port"),
        ('[metrics]\nlisten = "127.0.0.1:99999"\n', "metrics.listen: '127.0.0.1:99999' is not host:port"),
        ('[metrics]\nlisten = "unix:/tmp/x"\n', "metrics.listen: 'unix:/tmp/x' is not host:port"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        configure({}, path).settings()
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


def test_check_looks_at_certificates(tmp_path: Path) -> None:
    path = written(tmp_path, '[tls]\ncert = "/none/cert.pem"\nkey = "/none/key.pem"\n')
    done = slad("config", "check", "--config", str(path))
    told = "slad: the certificate /none/cert.pem cannot be read: No such file or directory\n"
    assert (done.exit_code, done.stderr) == (3, told)


def test_an_empty_flag_is_no_path() -> None:
    done = slad("serve", "--data", "")
    assert (done.exit_code, "'--data': is empty" in done.stderr) == (2, True)


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
        "ledger": "762d",
    }


def test_the_commands_that_care_for_the_data_take_it_from_the_same_file(tmp_path: Path) -> None:
    path = written(tmp_path, f'data = "{tmp_path}/nowhere"\n')
    done = slad("doctor", SLAD_CONFIG=str(path))
    assert done.exit_code == 3
    assert f"{tmp_path}/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "a b", "a b"),
        (tuple[str, ...], "a b", ("a", "b")),
        (File | None, "/a", Path("/a")),
        (Span, "90m", 90 * 60_000),
        (Span, "250ms", 250),
        (Span, "2h", 2 * HOUR_MS),
        (Span, "0s", 0),
        (Instant | None, "2026-03-02T09:00:00Z", at("2026-03-02T09:00:00Z")),
        (bool, "true", True),
        (Annotated[int, Meta(ge=0, le=9)], "7", 7),
        (Literal["a", "b"], "b", "b"),
        (frozenset[EventTypeName], "PAUSED", frozenset({EventType.PAUSED})),
    ],
)
def test_what_a_kind_shows_it_reads(annotation: Any, text: str, value: object) -> None:
    kind = kind_of(annotation)
    assert kind.from_text(text, "key") == value
    assert kind.from_text(kind.show(value), "key") == value


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, True, "True is not a whole number"),
        (int, 1.0, "1.0 is not a whole number"),
        (Annotated[int, Meta(ge=0, le=9)], 10, "10 is not a whole number from 0 to 9"),
        (Annotated[Span, Meta(ge=1, le=60_000)], "2m", "'2m' is not between 1ms and 1m"),
        (bool, "true", "'true' is not true or false"),
        (Annotated[str, Meta(min_length=1)], "", "is empty"),
        (tuple[Annotated[str, Meta(min_length=1)], ...], ["a", ""], "['a', ''] is not a text in quotes or a"),
        (dict[str, str], "a", "'a' is not a table of texts"),
        (NetworkText, "10.0.0.1/8", "'10.0.0.1/8' is not a network such as 10.0.0.0/8"),
    ],
)
def test_what_a_file_may_not_hold(annotation: Any, value: object, problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        kind_of(annotation).read(value, "key")
    assert str(caught.value).startswith(f"key: {problem}")


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.key)
def test_names_follow_from_the_key_and_defaults_can_be_written(setting: Setting) -> None:
    assert setting.flag == "--" + setting.key.replace(".", "-").replace("_", "-")
    assert setting.variable == "SLAD_" + setting.key.replace(".", "_").upper()
    assert setting.help.endswith(".")
    if setting.default is not None:
        assert setting.kind.from_text(setting.kind.show(setting.default), setting.key) == setting.default


def test_metrics_tell_a_bounded_number_of_clocks_apart(tmp_path: Path) -> None:
    path = written(tmp_path, f"[metrics]\nclocks = {[f'c{number}' for number in range(101)]}\n")
    with pytest.raises(ConfigurationError, match=r"metrics\.clocks: 101 names, at most 100 are allowed"):
        configure({}, path).settings()


def test_traces_without_opentelemetry_are_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"traces.endpoint": Value("http://127.0.0.1:4317", FLAG)}
    assert configure(given).settings().traces.endpoint == "http://127.0.0.1:4317"
    monkeypatch.setattr("slad.config.extras.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'slad\[otel\]'"):
        configure(given).settings()
    assert configure({}).settings().traces.endpoint is None


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "grpc://collector", "http://", "http://a b"])
def test_a_collector_is_given_as_a_url(tmp_path: Path, endpoint: str) -> None:
    file = written(tmp_path, f'[traces]\nendpoint = "{endpoint}"\n')
    with pytest.raises(ConfigurationError, match=r"traces\.endpoint: .* is not a URL"):
        configure({}, file)
