"""The reference and the man page are those of the commands, and the index names every page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.paths import ROOT

DOCS = ROOT / "docs"


def test_the_reference_and_the_man_page_are_those_of_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_man_page_is_sound() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is missing; install it: apt-get install groff")
    done = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8", "-P-bou", "-k", DOCS / "man" / "slad.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    named = set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))
    assert named == {path.name for path in DOCS.glob("*.md")} - {"README.md"}
