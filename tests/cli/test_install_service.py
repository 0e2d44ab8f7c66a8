"""`slad install-service`: what it refuses before it writes anything."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from slad.cli.main import main


@pytest.mark.parametrize("folder", ["/opt/my slad", "/opt/50%", "/opt/$x", '/opt/"q"'])
def test_a_path_that_a_unit_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(sys, "executable", f"{folder}/bin/python")
    monkeypatch.setattr(sys, "argv", [f"{folder}/bin/slad"])
    done = CliRunner().invoke(main, ["install-service", "--print"])
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith(f"slad: {folder}/bin/slad has a character that a unit does not take")


def test_a_usual_path_stands_in_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/slad-0.1+x@a_b/bin/python")
    monkeypatch.setattr(sys, "argv", ["/opt/slad-0.1+x@a_b/bin/slad"])
    done = CliRunner().invoke(main, ["install-service", "--print"])
    assert "ExecStart=/opt/slad-0.1+x@a_b/bin/slad serve" in done.stdout
