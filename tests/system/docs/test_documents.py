"""What the documents promise about options, rules, links and the unit is so."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from slad.cli.daemon_connection import TOKEN_VARIABLE
from slad.cli.lazy_group import DEBUG_VARIABLE
from slad.cli.main import main
from slad.cli.serve import serve_command
from slad.config.reader import SETTINGS
from tests.paths import ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PLACES = (
    "README.md",
    "docs/operating.md",
    "docs/configuration.md",
    "docs/security.md",
    "docs/command-line.md",
)
"""Where commands and options are told of."""
RULE = re.compile(r"\b[ABCEKMTX][1-9]\b")
CITATION = re.compile(r"\(([ABCEKMTX][1-9](?:(?:, |–)[ABCEKMTX][1-9])*)\)")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def commands(group: click.Command = main, name: str = "slad") -> Iterator[tuple[str, click.Command]]:
    """Every command under its full name."""
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name_of in group.list_commands(context):
            command = group.get_command(context, name_of)
            assert command is not None
            yield from commands(command, f"{name} {name_of}")
    else:
        yield name, group


def told_of_commands() -> str:
    return "".join(map(text, PLACES))


def options() -> list[click.Option]:
    return [p for _, command in commands() for p in command.params if isinstance(p, click.Option)]


def test_every_command_is_documented() -> None:
    told = told_of_commands()
    for name, _ in commands():
        assert re.search(rf"\b{name}\b", told), f"`{name}` is in none of {PLACES}"


PLACEHOLDER = re.compile(r"[<…\[]|^(FILE|NAME|SINK|SEQUENCE|COMMAND|OLD|NEW|DIR|TENANT|TICKET)$")


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """(document, words) of each `slad …`, fenced or between backticks, that can be taken literally."""
    for path in DOCUMENTS:
        if path.name == "CHANGELOG.md":
            continue  # it names commands, also those of earlier releases
        # Those of console blocks are run, see test_console.py.
        told = re.sub(r"^```console\n.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        fenced = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
        lines = [line for block in fenced.findall(told) for line in block.replace("\\\n", " ").splitlines()]
        for line in lines + re.findall(r"`(slad [^`]*)`", fenced.sub("", told)):
            for words in simple_commands(line):
                if words[0].rpartition("/")[2] == "slad" and not any(map(PLACEHOLDER.search, words)):
                    yield path.name, words[1:]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, without redirections; nothing of a line that is none."""
    lexer = shlex.shlex(re.sub(r"\s[012]?[<>]+\s*\S+", "", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if word == "$" and not words:
                continue
            if set(word) <= set("();|&{}"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)
    except ValueError:  # quotes that do not end
        return
    if words:
        yield words


def test_every_command_line_in_the_documents_is_one() -> None:
    """As far as its words go: the command is there, and takes these options and arguments."""
    assert sum(check(words, document) for document, words in command_lines()) > 20


def check(words: list[str], where: str) -> bool:
    """Whether it is a call, and not only the name of a command; fails when the command does not take it."""
    context: click.Context = click.Context(main, info_name="slad")
    command: click.Command = main
    rest = words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"{where}: slad {shlex.join(words)}"
        command, rest = found, rest[1:]
    if isinstance(command, click.Group) or not rest:
        return False
    try:
        command.make_context(command.name, list(rest), parent=context)
    except click.exceptions.Exit:
        pass  # --help
    except click.ClickException as error:
        raise AssertionError(f"{where}: slad {shlex.join(words)}: {error.format_message()}") from None
    return True


def test_every_command_has_an_example_that_can_be_run() -> None:
    for name, command in commands():
        lines = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
        assert lines, f"`{name}` has no example"
        for line in lines:
            calls = [words for words in simple_commands(line) if words[0] == "slad"]
            assert any(shlex.join(words).startswith(name) for words in calls) or name == "slad completion", (
                line
            )
            for words in calls:
                check(words[1:], line)


def test_every_option_and_its_variable_is_documented_and_no_other() -> None:
    told = told_of_commands()
    variables = {
        DEBUG_VARIABLE,
        TOKEN_VARIABLE,
        *(str(option.envvar) for option in options() if option.envvar),
    }
    variables |= {setting.variable for setting in SETTINGS.values() if setting.kind.is_secret}
    for option in options():
        name = next(opt for opt in option.opts if opt.startswith("--"))
        assert re.search(rf"{name}\b", told), f"{name} is in none of {PLACES}"
    named = set(re.findall(r"\bSLAD_[A-Z_]*[A-Z]\b", told))
    assert named == variables, f"documented or existing only: {named ^ variables}"


def rules_of_the_semantics() -> set[str]:
    return set(re.findall(rf"^\*\*({RULE.pattern})", text("docs/semantics.md"), re.MULTILINE))


def test_every_rule_that_is_cited_is_in_the_semantics() -> None:
    rules = rules_of_the_semantics()
    cited = {
        (rule, str(path.relative_to(ROOT)))
        for place in ("slad", "clients/python/slad_client", "tests", "proto/slad")
        for path in (ROOT / place).rglob("*")
        if path.suffix in (".py", ".proto", ".sql")
        for comment in CITATION.findall(path.read_text("utf-8"))
        for rule in RULE.findall(comment)
    }
    assert len(rules) >= 40
    assert not [citation for citation in cited if citation[0] not in rules]


def test_every_rule_has_a_test_that_cites_it() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    cited = set(RULE.findall(tests)) | {name.upper() for name in re.findall(r"def test_([a-z][1-9])_", tests)}
    cited |= {name.upper() for name in re.findall(r"def test_[a-z][1-9]_([a-z][1-9])_", tests)}
    assert not rules_of_the_semantics() - cited


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", document.read_text("utf-8")):
        if target and "://" not in target:
            assert (document.parent / target).exists(), target


PATH = re.compile(r"`((?:slad|tests|proto|clients|docs|ops|release|benchmarks|examples)/[\w./-]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_that_are_named_are_there(document: Path) -> None:
    for path in PATH.findall(document.read_text("utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_headings_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", document.read_text("utf-8")):
        if "://" not in target:
            there = document.parent / target if target else document
            assert anchor in anchors(there), f"{target}#{anchor}"


def anchors(document: Path) -> set[str]:
    """The names under which headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("name", "slad", "config"), [("slad", "slad", "slad"), ("slad@", "slad-%i", "%i")])
def test_the_units_start_slad_with_options_that_it_has(name: str, slad: str, config: str) -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", text(f"systemd/{name}.service"), re.MULTILINE))
    path, command, *arguments = unit["ExecStart"].split()
    assert path.startswith("/")
    assert path.endswith("/slad")
    assert command == "serve"
    given = serve_command.make_context("serve", arguments).params
    assert str(given["config"]) == f"/etc/{unit['ConfigurationDirectory']}/{config}.toml"
    assert str(given["data"]) == f"/var/lib/{unit['StateDirectory']}"
    assert unit["StateDirectory"] == unit["RuntimeDirectory"] == slad
    assert unit["Type"] == "notify"


def test_the_units_differ_in_names_only() -> None:
    one, template = (text(f"systemd/{name}.service").split("[Unit]")[1] for name in ("slad", "slad@"))
    for of_template, of_one in (("slad (%i)", "slad"), ("slad-%i", "slad"), ("%i.toml", "slad.toml")):
        template = template.replace(of_template, of_one)
    assert template == one


def logged() -> set[str]:
    """The format of everything that slad logs."""
    found: set[str] = set()
    for path in (ROOT / "slad").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_log = node.func.attr in ("debug", "info", "warning", "error", "exception")
                texts = [part for argument in node.args[:1] for part in ast.walk(argument)]
                found |= {str(t.value) for t in texts if is_log and isinstance(t, ast.Constant)}
    return found


def test_every_message_of_the_log_that_is_explained_is_logged() -> None:
    section = text("docs/operating.md").split("| message | level |")[1].split("\n\n")[0]
    told = [m for row in section.splitlines()[2:] for m in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(told) > 30
    for message in told:
        pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
        assert any(pattern.fullmatch(known) for known in logged()), message
