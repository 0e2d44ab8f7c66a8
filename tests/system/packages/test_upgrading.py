"""The commands of operating.md and upgrading.md, run as they stand on a machine with systemd.

Only the index is left out: pip finds everything in the folders that the pages name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad import __version__
from tests.paths import ROOT
from tests.system.packages.machine import Machine, base, booted, need_tools, python_version
from tests.system.packages.wheelhouse import build, collect

NEXT = f"{__version__}.post1"
PARTS = ("slad", "clients/python", "docs", "pyproject.toml", "README.md", "LICENSE")
"""What the packages are built of."""


def script(page: str, title: str) -> str:
    """The commands of a section, in order."""
    text = (ROOT / "docs" / page).read_text("utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return "export PIP_NO_INDEX=1\n" + "".join(blocks)


def later(folder: Path) -> Path:
    """The wheel of a release after this one, the client's beside it."""
    source = folder / "source"
    for part in PARTS:
        target = source / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, target)
    for init in ("slad/__init__.py", "clients/python/slad_client/__init__.py"):
        path = source / init
        path.write_text(path.read_text("utf-8").replace(f'"{__version__}"', f'"{NEXT}"'), "utf-8")
    build(folder / "dist", source / "clients" / "python", "slad_client")
    return build(folder / "dist", source)[1]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]) -> Iterator[Machine]:
    """With the files of both releases, and nothing installed."""
    need_tools()
    version = python_version(base())
    before = collect(distributions[1], version)
    after = collect(later(tmp_path_factory.mktemp("later")), version)
    with booted(tmp_path_factory.mktemp("machine"), "true", before) as machine:
        for place, files in (("before", before), ("next", after)):
            shutil.copytree(files, machine.path(f"/var/tmp/slad-{place}"))
        yield machine


def sh(machine: Machine, commands: str) -> str:
    return machine.run("bash", "-euc", commands)


def version(machine: Machine) -> str:
    pid = machine.shown("slad", "MainPID")
    assert sh(machine, f"tr '\\0' ' ' < /proc/{pid}/cmdline").startswith("/opt/slad/bin/python")
    return machine.run("slad", "--version").split()[-1]


def tickets(machine: Machine) -> list[str]:
    with SladClient(f"unix:{machine.path('/run/slad/slad.sock')}", timeout=60, wait_for_ready=True) as slad:
        return [status.ticket_id for status in slad.list_sla_trackings()]


def start(machine: Machine, ticket_id: str) -> None:
    with SladClient(f"unix:{machine.path('/run/slad/slad.sock')}", timeout=60, wait_for_ready=True) as slad:
        target = pb.SlaPolicyTarget(response_time_minutes=60, is_24x7=True)
        slad.start_sla_tracking(tenant_id="acme", ticket_id=ticket_id, targets=[target])


def test_installed_upgraded_and_back(machine: Machine) -> None:
    install = script("operating.md", "Install").split("systemctl enable --now slad\n")[0]
    sh(machine, f"cd /var/tmp/slad-before\n{install}systemctl enable --now slad")
    start(machine, "T-1")
    assert version(machine) == __version__

    sh(machine, script("upgrading.md", "The steps"))
    assert version(machine) == NEXT
    assert tickets(machine) == ["T-1"]
    start(machine, "T-2")

    sh(machine, script("upgrading.md", "Back"))
    assert version(machine) == __version__
    assert tickets(machine) == ["T-1"], "as it was when the backup was made"
    start(machine, "T-3")

    sh(machine, script("operating.md", "Uninstall"))
    left = sh(machine, "find /opt /etc /var/lib /usr/local /run -name '*slad*'").split()
    assert left == []
