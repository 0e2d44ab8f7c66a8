"""Contexts: names for several daemons."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from slad.cli.daemon_connection import ConnectionOptions, Daemon, daemon_options
from slad.cli.main import main


class User:
    """Somebody with a directory of configurations, in a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config" / "slad" / "contexts.json"
        self._base = {"XDG_CONFIG_HOME": str(folder / "config")}

    def run(self, *words: str, **variables: str) -> Result:
        return CliRunner().invoke(main, words, env={**self._base, **variables}, prog_name="slad")

    def __call__(self, *words: str) -> str:
        done = self.run(*words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def daemon(self, *words: str, **variables: str) -> Daemon:
        """The daemon that a command line names."""
        found: list[Daemon] = []

        @click.command()
        @daemon_options
        def command(daemon: Daemon) -> None:
            found.append(daemon)

        done = CliRunner().invoke(command, words, env={**self._base, **variables}, standalone_mode=False)
        if done.exception:
            raise done.exception
        return found[0]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prod.token").write_text("slad_prod\n")
    (tmp_path / "test.token").write_text("slad_test\n")
    return User(tmp_path)


def test_a_context_is_added_used_listed_and_removed(user: User) -> None:
    assert user("context", "list", "-o", "id") == ""
    told = user("context", "add", "prod", "--address", "sla.example.com:7523", "--token-file", "prod.token")
    assert told == "added prod; `slad context use prod` uses it\n"
    assert user("context", "add", "local", "--address", "unix:slad.sock", "--use").endswith("in use now\n")
    assert user("context", "list", "-o", "id") == "local\nprod\n"
    rows = json.loads(user("context", "list", "--json"))
    assert [(row["name"], row["address"], row["in_use"]) for row in rows] == [
        ("local", f"unix:{user.folder}/slad.sock", True),
        ("prod", "sla.example.com:7523", False),
    ]
    assert user.daemon().address == f"unix:{user.folder}/slad.sock"
    user("context", "use", "prod")
    assert user.daemon() == Daemon("sla.example.com:7523", "slad_prod")
    user("context", "use", "--none")
    assert user.daemon() == Daemon("127.0.0.1:7523", is_named=False)
    user("context", "use", "prod")
    user("context", "remove", "prod")
    assert user.daemon().address == "127.0.0.1:7523", "the one in use is gone"
    assert [row["name"] for row in json.loads(user("context", "list", "--json"))] == ["local"]


def test_the_file_is_for_its_owner_and_holds_no_secret(user: User) -> None:
    user("context", "add", "prod", "--address", "a:1", "--token-file", "prod.token")
    assert stat.S_IMODE(user.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(user.file.parent.stat().st_mode) == 0o700
    text = user.file.read_text()
    assert str(user.folder / "prod.token") in text
    assert "slad_prod" not in text
    user.file.chmod(0o644)
    user("context", "use", "prod")
    assert stat.S_IMODE(user.file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "variables", "address", "token"),
    [
        ((), {}, "prod:1", "slad_prod"),
        (("--context", "test"), {}, "test:1", "slad_test"),
        ((), {"SLAD_CONTEXT": "test"}, "test:1", "slad_test"),
        (("--context", "prod"), {"SLAD_CONTEXT": "test"}, "prod:1", "slad_prod"),
        # A token is for its own daemon only.
        (("--address", "other:1"), {}, "other:1", ""),
        ((), {"SLAD_ADDRESS": "other:1"}, "other:1", ""),
        (("--address", "other:1"), {"SLAD_CONTEXT": "test"}, "other:1", ""),
        (("--context", "test"), {"SLAD_ADDRESS": "other:1", "SLAD_TOKEN": "mine"}, "test:1", "slad_test"),
        # What is typed, or set for this shell, is nearer than what is in the file.
        (("--token-file", "test.token"), {}, "prod:1", "slad_test"),
        ((), {"SLAD_TOKEN": "mine"}, "prod:1", "mine"),
        ((), {"SLAD_TOKEN_FILE": "test.token", "SLAD_TOKEN": "mine"}, "prod:1", "slad_test"),
    ],
)
def test_flags_go_before_variables_and_variables_before_the_context_in_use(
    user: User, words: tuple[str, ...], variables: dict[str, str], address: str, token: str
) -> None:
    user("context", "add", "prod", "--address", "prod:1", "--token-file", "prod.token", "--use")
    user("context", "add", "test", "--address", "test:1", "--token-file", "test.token")
    assert user.daemon(*words, **variables) == Daemon(address, token)


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (2, ("context", "add", "a b", "--address", "a:1"), "'a b' is not a name of a context"),
        (2, ("context", "add", "x"), "give the --address of the daemon: host:port or unix:PATH"),
        (
            2,
            ("context", "add", "x", "--address", "localhost"),
            "'localhost' is not an address; give host:port",
        ),
        (
            2,
            ("context", "add", "x", "--address", "http://a:1/"),
            "is not an address; give host:port, such as",
        ),
        (2, ("list", "--address", "http://a:1"), "'http://a:1' is not an address; give host:port"),
        (2, ("context", "add", "x", "--address", "a:1", "--ca", "no.pem"), "there is no file no.pem"),
        (2, ("context", "add", "prod", "--address", "a:1"), "there is a context 'prod' already"),
        (2, ("context", "use", "no"), "there is no context 'no'; `slad context list` shows all contexts"),
        (2, ("context", "use"), "give either a name or --none"),
        (2, ("context", "remove", "no"), "there is no context 'no'"),
        (2, ("list", "--context", "no"), "there is no context 'no'"),
        (
            2,
            ("list", "--context", "prod", "--address", "a:1"),
            "--context and --address contradict each other",
        ),
        (
            2,
            ("list", "--address", "7523"),
            "'7523' is not an address; give host:port, such as 127.0.0.1:7523",
        ),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    user: User, code: int, words: tuple[str, ...], told: str
) -> None:
    user("context", "add", "prod", "--address", "prod:1")
    before = user.file.read_bytes()
    done = user.run(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert user.file.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"contexts": {"a": {}}}'])
def test_a_file_that_is_none_is_told(user: User, text: str) -> None:
    user.file.parent.mkdir(parents=True)
    user.file.write_text(text)
    done = user.run("list")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"slad: {user.file} is not a file of contexts: ")


def test_the_names_are_completed(user: User) -> None:
    user("context", "add", "prod", "--address", "prod:1")
    env: dict[str, Any] = {
        "_SLAD_COMPLETE": "bash_complete",
        "COMP_WORDS": "slad list --context p",
        "COMP_CWORD": "3",
    }
    assert user.run(**env).stdout == "plain,prod\n"
    assert ConnectionOptions().daemon().address == "127.0.0.1:7523"
