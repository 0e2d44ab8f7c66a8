"""The commands in the documents do what the documents show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.system.docs.console import commands, matches, shell

DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if "```console\n" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shows_what_the_document_shows(path: Path) -> None:
    document = path.read_text("utf-8")
    with shell() as running:
        for command in commands(document):
            output = running.run(command.text)
            assert matches(command.expected, output), (
                f"{path.name}: $ {command.text}\n--- shown:\n{command.expected}\n--- is:\n{output}\n"
                f"(`python -m tests.system.docs.console {path.relative_to(ROOT)}` writes what is)"
            )


def test_the_harness_reads_commands_and_their_output() -> None:
    document = "text\n```console\n$ one \\\n>   two\nout\n$ three\n$ four\n> not a part\n```\n$ no\n"
    found = [(command.text, command.expected) for command in commands(document)]
    assert found == [("one \\\n  two\n", "out\n"), ("three\n", ""), ("four\nnot a part\n", "")]
    assert [document[c.start : c.end] for c in commands(document)] == ["out\n", "", ""]


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("", "", True),
        ("a\n", "a", True),
        ("a\n", "a  \n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a … d.\n", "a b c d.\n", True),
        ("a … d.\n", "a b c dx\n", False),
        ("…\n", "", True),
    ],
)
def test_the_harness_compares_as_it_should(expected: str, output: str, same: bool) -> None:
    assert matches(expected, output) is same


def test_a_wrong_document_would_be_found() -> None:
    with shell() as running:
        assert running.run("echo a; echo b >&2; printf c") == "a\nb\nc"
        assert running.run("x=5; cd / && pwd").strip() == "/"
        assert running.run("echo $x$PWD").strip() == "5/"
