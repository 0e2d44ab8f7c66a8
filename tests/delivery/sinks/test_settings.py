"""`[sinks.NAME]`: every mistake is an error that names its key, and shows no secret."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from slad.config.kinds import SettingError
from slad.config.reader import ConfigurationError, configure
from slad.config.settings import Settings
from slad.config.sinks import SinkSettings, read_sinks
from slad.core.events import EventType
from slad.delivery.sinks.kinds import KINDS, check_sinks
from tests.paths import ROOT

REDIS = {"type": "redis", "url": "redis://localhost"}
HOOK = {"type": "webhook", "url": "https://hooks.example.org/slad"}
ALGA = REDIS | {"format": "alga"}


SHORT_ADDRESSES = ("127.1", "0177.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.0.0.256", "1.2.3", "h.1")
PRIVATE_ADDRESSES = (
    *("127.0.0.1", "127.0.0.1.", "10.1.2.3", "169.254.169.254", "0.0.0.0", "１２７.0.0.1", "127。0。0。1"),
    *("[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1%25eth0]", "[2002:7f00:1::]"),
)


def checked(tables: dict[str, Any]) -> dict[str, SinkSettings]:
    """The sinks that these tables describe, looked at by their types too."""
    sinks = read_sinks(tables)
    check_sinks(Settings(sinks=sinks))
    return sinks


def test_what_all_sinks_share() -> None:
    shared = {
        "start": "now",
        "events": ["STARTED", "THRESHOLD_REACHED"],
        "tenants": "acme",
        "backoff_min": "250ms",
        "backoff_max": "5m",
        "attempts": 3,
    }
    sink = checked({"psa": REDIS | shared})["psa"]
    assert (sink.kind, sink.start) == ("redis", "now")
    assert sink.events == {EventType.STARTED, EventType.THRESHOLD_REACHED}
    assert sink.tenants == {"acme"}
    assert (sink.backoff_min_ms, sink.backoff_max_ms, sink.attempts) == (250, 300_000, 3)


def test_by_default_everything_from_the_oldest_event_on() -> None:
    sink = checked({"psa": REDIS})["psa"]
    assert (sink.start, sink.events, sink.tenants) == ("oldest", set(), set())
    assert (sink.backoff_min_ms, sink.backoff_max_ms, sink.attempts) == (500, 30_000, 8)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "sinks.x.type: is missing"),
        ({"type": "kafka"}, "sinks.x.type: 'kafka' is not one of redis, webhook, jsonl"),
        ({"type": 3}, "sinks.x.type: 3 is not a text in quotes"),
        ("redis", "sinks.x: is a table: [sinks.x]"),
        ({"type": "redis"}, "sinks.x.url: is missing"),
        (REDIS | {"url": ""}, "sinks.x.url: is empty"),
        (REDIS | {"url": "http://localhost"}, "sinks.x.url: must begin with redis://, rediss:// or unix://"),
        (REDIS | {"url": "redis://"}, "sinks.x.url: must name a server"),
        (REDIS | {"url": "redis://localhost:port"}, "sinks.x.url: is not a URL"),
        (REDIS | {"url": "redis://localhost/first"}, "sinks.x.url: 'first' is not the number of a database"),
        (REDIS | {"url": "redis://:hush@localhost"}, "sinks.x.url: must not hold a user name or password"),
        (REDIS | {"username": "u"}, "sinks.x.username: needs password_file or password_env"),
        (
            REDIS | {"password_file": "/nowhere"},
            "sinks.x.password_file: /nowhere cannot be read: No such file",
        ),
        (
            REDIS | {"password_env": "NOT_SET"},
            "sinks.x.password_env: the variable NOT_SET is empty or not there",
        ),
        (REDIS | {"password": "hush"}, "sinks.x.password: there is no such setting; did you mean 'password_"),
        (REDIS | {"ca_file": "/nowhere"}, "sinks.x.ca_file: /nowhere cannot be read"),
        (REDIS | {"format": "alga", "thresholds": "some"}, "sinks.x.thresholds: 'some' is not one of"),
        (REDIS | {"thresholds": "all"}, "sinks.x.thresholds: there is no such setting"),
        (REDIS | {"ca_file": __file__}, "sinks.x.ca_file: needs TLS: write the url with rediss://"),
        (REDIS | {"format": "xml"}, "sinks.x.format: 'xml' is not one of cloudevents, alga"),
        (REDIS | {"stream": "{tenant}"}, "sinks.x.stream: {tenant} is not one of {event_type}, {tenant_id}"),
        (REDIS | {"stream": "{"}, "sinks.x.stream: '{': "),
        (REDIS | {"fields": {}}, "sinks.x.fields: an entry has at least one field"),
        (REDIS | {"fields": {"a": 1}}, "sinks.x.fields.a: 1 is not a text in quotes"),
        (REDIS | {"fields": {"a": "{json}"}}, "sinks.x.fields.a: {json} is not one of {event}"),
        (REDIS | {"fields": {"a": "{event.body}"}}, "sinks.x.fields.a: {event.body} is not one of"),
        (REDIS | {"max_length": -1}, "sinks.x.max_length: -1 is not a whole number from 0"),
        (REDIS | {"max_length": True}, "sinks.x.max_length: True is not a whole number"),
        (REDIS | {"timeout": "5"}, "sinks.x.timeout: '5' is not a length of time, such as"),
        (REDIS | {"timeout": "0s"}, "sinks.x.timeout: '0s' is not between"),
        (REDIS | {"above_100": "T"}, "sinks.x.above_100: there is no such setting"),
        (ALGA | {"event_types": {"BEGUN": "T"}}, "sinks.x.event_types.BEGUN: is not one of STARTED"),
        (ALGA | {"payload": {"a": "b"}}, "sinks.x.payload.a: 'b' is not one of breach"),
        (ALGA | {"source": "s"}, "sinks.x.source: there is no such setting"),
        (REDIS | {"events": ["BEGUN"]}, "sinks.x.events: 'BEGUN' is not one of STARTED, THRESHOLD_REACHED"),
        (REDIS | {"events": [1]}, "sinks.x.events: [1] is not a text in quotes or a list of them"),
        (REDIS | {"start": "later"}, "sinks.x.start: 'later' is not one of oldest, now"),
        (REDIS | {"attempts": 0}, "sinks.x.attempts: 0 is not a whole number from 1"),
        (
            REDIS | {"backoff_min": "2s", "backoff_max": "1s"},
            "sinks.x.backoff_max: is shorter than backoff_min",
        ),
        (
            REDIS | {"max_lenght": 5},
            "sinks.x.max_lenght: there is no such setting; did you mean 'max_length'?",
        ),
        (HOOK | {"url": "http://h/"}, "sinks.x.url: is not https://; what is sent could be read by others"),
        (HOOK | {"url": "ftp://h/"}, "sinks.x.url: must begin with https://"),
        (HOOK | {"url": "https://"}, "sinks.x.url: must name a host"),
        (HOOK | {"url": "https://u:hush@h/"}, "sinks.x.url: must not hold a user name or password"),
        (HOOK | {"url": "https://h/#x"}, "sinks.x.url: must not have a #fragment"),
        *(
            (HOOK | {"url": f"https://{host}/"}, f"sinks.x.url: {host!r} is neither a name nor an address")
            for host in SHORT_ADDRESSES
        ),
        *(
            (
                HOOK | {"url": f"https://{host}:8443/"},
                f"sinks.x.url: {host.strip('[]')} is not a public address",
            )
            for host in PRIVATE_ADDRESSES
        ),
        (REDIS | {"url": "redis://127.1:6379"}, "sinks.x.url: '127.1' is neither a name nor an address"),
        (HOOK | {"url": "https://[::1"}, "sinks.x.url: is not a URL"),
        (HOOK | {"url": "http://h/", "allow_http": "yes"}, "sinks.x.allow_http: 'yes' is not true or false"),
        (HOOK | {"allow_networks": ["10.0.0.1/8"]}, "sinks.x.allow_networks: '10.0.0.1/8' is not a network"),
        (HOOK | {"ca_file": __file__}, f"sinks.x.ca_file: {__file__} cannot be used"),
        (HOOK | {"key_file": __file__}, "sinks.x.key_file: needs cert_file"),
        (HOOK | {"secret_file": __file__}, "sinks.x.secret_file: the secret is not Base64"),
        (HOOK | {"authorization_file": __file__}, "sinks.x.authorization_file: the authorization is not one"),
        ({"type": "jsonl"}, "sinks.x.path: is missing"),
        ({"type": "jsonl", "path": "/nowhere/f"}, "sinks.x.path: /nowhere is not a directory"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_a_mistake_is_an_error_that_names_its_key(content: Any, error: str) -> None:
    with pytest.raises(SettingError) as caught:
        checked({"x": content})
    assert str(caught.value).startswith(error)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("host", ["hooks.example.org", "8.8.8.8", "[2606:4700::1111]", "h1", "1password.com"])
def test_hosts_that_may_be_public(host: str) -> None:
    assert checked({"x": HOOK | {"url": f"https://{host}/slad"}})


def test_a_private_address_is_good_where_its_network_is_allowed() -> None:
    assert checked({"x": HOOK | {"url": "https://10.1.2.3/", "allow_networks": "10.0.0.0/8"}})


def test_a_name_is_plain() -> None:
    with pytest.raises(SettingError, match=r"sinks\.a b: a name is 1 to 64 letters"):
        checked({"a b": REDIS})


def test_a_secret_of_the_wrong_size_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_aHVzaA==")
    with pytest.raises(SettingError) as caught:
        checked({"x": HOOK | {"secret_env": "HOOK_SECRET"}})
    assert str(caught.value) == "sinks.x.secret_env: the secret stands for 4 bytes; 24 to 64 are allowed"


@pytest.mark.parametrize(
    ("package", "content", "extra"), [("aiohttp", HOOK, "webhooks"), ("redis", REDIS, "redis")]
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, content: dict[str, str], extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, KINDS[content["type"]].module, raising=False)
    with pytest.raises(SettingError) as caught:
        checked({"x": content})
    assert str(caught.value).startswith(f"sinks.x.type: {content['type']!r} needs the package {package!r}")
    assert str(caught.value).endswith(f"pip install 'slad[{extra}]'")


def test_nothing_is_imported_for_sinks_that_are_not_configured() -> None:
    program = (
        "import sys, slad.daemon.daemon; from slad.config.reader import configure;"
        "from slad.delivery.sinks.kinds import check_sinks; configure({}).settings(check_sinks);"
        "print([n for n in ('redis', 'aiohttp', 'slad.delivery.sinks.jsonl') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tables_are_read_from_the_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "slad.toml"
    path.write_text('[sinks.psa]\ntype = "redis"\nurl = "redis://localhost"\n', "utf-8")
    assert list(configure({}, path).settings(check_sinks).sinks) == ["psa"]
    path.write_text('[sinks.psa]\ntype = "redis"\nurl = ""\n', "utf-8")
    with pytest.raises(ConfigurationError, match=rf"{path}: sinks\.psa\.url: is empty"):
        configure({}, path).settings()


def test_the_examples_of_the_document_are_configurations(tmp_path: Path) -> None:
    """Each ```toml block of docs/events.md that has a table, with files of the test's own in place of its."""
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    blocks = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    blocks = [block for block in blocks if "[sinks." in block]
    assert len(blocks) == 4
    for block in blocks:
        here = block.replace("/run/secrets/", f"{tmp_path}/").replace("/var/lib/slad/", f"{tmp_path}/")
        for path in re.findall(rf'"({tmp_path}/[^"]+)"', here):
            if not path.endswith(".jsonl"):
                Path(path).write_text("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "utf-8")
        assert checked(tomllib.loads(here)["sinks"])
