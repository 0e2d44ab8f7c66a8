"""The TypeScript client: its own tests, the packed package in a fresh folder, and the AlgaPSA walk-through.

All of them against the real daemon. They need Node 20 or later with npm, and fetch packages the first time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from slad.cli import output
from slad.cli.main import main
from tests.paths import ROOT
from tests.system.e2e.slad_process import COMMAND, slad_process

PACKAGE = ROOT / "clients" / "typescript"
EXAMPLE = ROOT / "examples" / "algapsa"
REPORTING = ROOT / "docs" / "reporting.md"
SUITES = sorted(path.name.removesuffix(".test.ts") for path in (PACKAGE / "test").glob("*.test.ts"))

NODE_VERSION = 20
PATIENCE_S = 300
"""For a run of Node that is sure to end, on a machine that may be slow."""


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """The output of a command that must not fail."""
    done = subprocess.run(
        [*command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the package, built."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("Node is missing; install Node 20 or later, with npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < NODE_VERSION:
        pytest.skip(f"Node {version.strip()} is too old; install Node 20 or later")
    run("make", "client-typescript", cwd=ROOT)
    return PACKAGE


@pytest.mark.parametrize("suite", SUITES)
def test_its_own_tests_pass_with_none_left_out(package: Path, suite: str) -> None:
    output = run("node", "scripts/test.mjs", suite, cwd=package, SLAD_COMMAND=str(COMMAND))
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE)}
    assert counts["pass"] > 0
    assert counts["pass"] == counts["tests"], output


def test_the_packed_package_works_in_a_fresh_folder(package: Path, tmp_path: Path) -> None:
    with slad_process(*virtual(tmp_path, "2026-03-02T09:00:00Z")) as slad:
        output = run("node", "scripts/fresh.mjs", slad.addresses[0], cwd=package)
    assert output.splitlines() == [
        "esm 60 50",
        "cjs true 90 true",
        "typescript module ts 45 true SLA_EVENT_TYPE_STARTED",
        "typescript-5 module ts 45 true SLA_EVENT_TYPE_STARTED",
        "typescript-5 commonjs ts 45 true SLA_EVENT_TYPE_STARTED",
    ]


def walk_through(folder: Path, *arguments: str, zone: str = "UTC", script: str = "main.mjs") -> str:
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefer-offline", cwd=EXAMPLE)
    with slad_process(*virtual(folder, "2026-03-26T00:00:00Z"), env={"TZ": zone}) as slad:
        return run("node", script, slad.addresses[0], *arguments, cwd=EXAMPLE, TZ=zone)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
def test_the_walk_through_notifies_as_it_should(package: Path, tmp_path: Path, zone: str) -> None:
    """Whatever the time zone of the host."""
    expected = (EXAMPLE / "expected.txt").read_text("utf-8")
    assert walk_through(tmp_path, zone=zone) == expected
    assert "Parked events: 0\nNights: 13, failed: 0, differences: 0\n" in expected


def test_the_month_of_the_documents_is_that_of_the_walk_through(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/reporting.md shows March on a terminal of 80 columns, and what was missed."""
    narrow = Console(width=80, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(output, "_console", lambda **_: narrow)
    with slad_process(*virtual(tmp_path, "2026-03-26T00:00:00Z")) as slad:
        run("node", "main.mjs", slad.addresses[0], cwd=EXAMPLE)
        blocks = re.findall(r"```\n\$ slad (report .*?)```", REPORTING.read_text("utf-8"), re.DOTALL)
        assert len(blocks) == 2
        for block in blocks:
            command, _, expected = block.partition("\n")
            told = CliRunner().invoke(main, command.split(), env={"SLAD_ADDRESS": slad.addresses[0]})
            assert told.output == expected, command


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_a_co_managed_ticket_has_a_clock_for_each_organisation(
    package: Path, tmp_path: Path, zone: str
) -> None:
    """The figures are counted by hand in the README of the example."""
    expected = (EXAMPLE / "co-managed.txt").read_text("utf-8")
    assert walk_through(tmp_path, zone=zone, script="co-managed.mjs") == expected


def test_the_activities_of_alga_psa_are_no_handlers(package: Path, tmp_path: Path) -> None:
    """They want an activity's context, and the audit log wants a ticket."""
    output = walk_through(tmp_path, "--handlers", "activities")
    assert "messages" not in output
    assert int(re.findall(r"^Parked events: (\d+)$", output, re.MULTILINE)[0]) > 100


def virtual(folder: Path, instant: str) -> list[str]:
    """Options of a daemon under the virtual clock."""
    data, socket = folder / "data", folder / "slad.sock"
    return ["--listen", f"unix:{socket}", "--data", str(data), "--virtual-clock", instant]
