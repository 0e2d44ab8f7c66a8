"""slad as pip installs it: what is in the wheel, and that it serves from a fresh environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import slad_client

from release.notes import CHANGELOG, notes
from slad import __version__
from tests.system.e2e.slad_process import slad_process
from tests.system.packages.wheelhouse import ROOT, collect, run

CALL = """
import sys
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as sla
with SladClient(sys.argv[1], timeout=60, wait_for_ready=True) as slad:
    target = sla.SlaPolicyTarget(response_time_minutes=1, is_24x7=True)
    reply = slad.start_sla_tracking(tenant_id="acme", ticket_id="T-1", targets=[target])
    status = reply.status
    print(reply.created, status.response.due_at.ToMilliseconds() - status.started_at.ToMilliseconds())
"""


def test_a_fresh_environment_serves(tmp_path: Path, distributions: tuple[Path, Path]) -> None:
    fresh = tmp_path / "venv"
    wheels = collect(distributions[1], f"{sys.version_info[0]}.{sys.version_info[1]}")
    run(sys.executable, "-m", "venv", fresh)
    run(fresh / "bin/pip", "install", "--quiet", "--no-index", "--find-links", wheels, "slad", cwd=tmp_path)
    assert run(fresh / "bin/pip", "check", cwd=tmp_path) == "No broken requirements found.\n"
    assert run(fresh / "bin/slad", "--version", cwd=tmp_path) == f"slad, version {__version__}\n"
    # Nothing of this checkout may help out.
    environment = {"PATH": os.environ["PATH"], "SLAD_DATA": "data", "SLAD_LISTEN": f"unix:{tmp_path}/s"}
    daemon = subprocess.Popen(
        [fresh / "bin/slad", "serve"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    )
    try:
        called = run(fresh / "bin/python", "-c", CALL, f"unix:{tmp_path}/s", cwd=tmp_path, env=environment)
        assert called == "True 60000\n"
        token = ("tokens", "create", "--all-tenants", "--role", "read")
        assert run(fresh / "bin/slad", *token, cwd=tmp_path, env=environment).startswith("slad_")
        # Paths of the environment, not of the link or the folder that it was called by.
        unit = run(fresh / "bin/slad", "install-service", "--print", cwd="/")
        assert f"ExecStart={fresh}/bin/slad serve --config /etc/slad/slad.toml" in unit
    finally:
        daemon.terminate()
        assert daemon.wait(60) == 0


def test_the_client_has_an_environment_of_its_own(tmp_path: Path, distributions: tuple[Path, Path]) -> None:
    """With the newest of what it depends on, and nothing of the daemon."""
    fresh = tmp_path / "venv"
    (wheel,) = distributions[1].parent.glob("slad_client-*.whl")
    run(sys.executable, "-m", "venv", fresh)
    run(fresh / "bin/pip", "--disable-pip-version-check", "install", "--quiet", wheel, cwd=tmp_path)
    installed = {line.split("==")[0] for line in run(fresh / "bin/pip", "freeze", cwd=tmp_path).split()}
    assert {"apsw", "click", "rich", "uvloop", "slad"} & installed == set()
    assert {"grpcio", "protobuf"} <= installed
    with slad_process("--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data")):
        called = run(fresh / "bin/python", "-I", "-c", CALL, f"unix:{tmp_path}/s", cwd=tmp_path)
    assert called == "True 60000\n"


def test_the_packages_have_one_version_and_the_same_license() -> None:
    package = json.loads((ROOT / "clients/typescript/package.json").read_text("utf-8"))
    assert __version__ == slad_client.__version__ == package["version"]
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert f"slad-client>={__version__}" in needed
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    for client in ("python", "typescript"):
        assert (ROOT / "clients" / client / "LICENSE").read_text("utf-8") == text


def test_the_license_is_in_every_package(distributions: tuple[Path, Path]) -> None:
    folder = distributions[1].parent
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            assert [name for name in file.namelist() if name.endswith("/licenses/LICENSE")], wheel
    for sdist in folder.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            assert [name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/LICENSE")]


def test_what_says_that_it_is_typed_is(distributions: tuple[Path, Path]) -> None:
    typed = set()
    for wheel in distributions[1].parent.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            (metadata,) = (file.read(name).decode() for name in file.namelist() if name.endswith("/METADATA"))
            has_marker = any(name.endswith("/py.typed") for name in file.namelist())
        assert ("Classifier: Typing :: Typed" in metadata) == has_marker, wheel
        typed |= {wheel.name.partition("-")[0]} if has_marker else set()
    assert typed == {"slad_client"}


def test_the_version_stands_in_one_place(distributions: tuple[Path, Path]) -> None:
    sdist, wheel = distributions
    assert wheel.name == f"slad-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        metadata = message_from_string(file.read(f"slad-{__version__}.dist-info/METADATA").decode())
    assert metadata["Version"] == __version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dynamic"] == ["version"]
    found = [
        path
        for path in (ROOT / "slad").rglob("*.py")
        if re.search(rf"""["']{re.escape(__version__)}["']""", path.read_text("utf-8"))
    ]
    assert found == [ROOT / "slad/__init__.py"]
    assert sdist.name == f"slad-{__version__}.tar.gz"


def test_the_wheel_has_what_runs_and_the_sdist_what_it_is_made_of(distributions: tuple[Path, Path]) -> None:
    sdist, wheel = distributions
    with zipfile.ZipFile(wheel) as file:
        inside = set(file.namelist())
    steps = {f"slad/storage/schema/{path.name}" for path in (ROOT / "slad/storage/schema").glob("*.sql")}
    units = {f"slad/daemon/units/slad{suffix}.service" for suffix in ("", "@")}
    assert steps | units <= inside
    tops = {name.split("/")[0] for name in inside}
    assert tops == {"slad", f"slad-{__version__}.dist-info", f"slad-{__version__}.data"}
    assert f"slad-{__version__}.data/data/share/man/man1/slad.1" in inside
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "proto/slad/v1/sla_backend.proto"} <= names
    assert not [name for name in names if name.startswith((".venv", ".tools", "data/"))]


def test_release_notes_are_drafted_from_the_change_log() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- One thing\n  on two lines.\n- Another.\n\n"
        "## [0.1.0] - 2026-01-01\n\n- The first.\n"
    )
    assert notes(changelog, "Unreleased") == "### Added\n\n- One thing on two lines.\n- Another.\n"
    assert notes(changelog, "0.1.0") == "- The first.\n"
    with pytest.raises(LookupError):
        notes(changelog, "0.2.0")
    assert notes(CHANGELOG.read_text("utf-8"), "Unreleased")


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ({"skip_reason": "not found"}, 0, "the registry tells no advisories"),
        ({"vulns": []}, 0, "no vulnerability is known of"),
        ({"vulns": [{"id": "CVE-1", "fix_versions": ["9"]}]}, 1, ": CVE-1, fixed in 9"),
        (None, 0, "could not ask for advisories (no way there)"),
    ],
)
def test_the_audit_says_what_it_knows(
    tmp_path: Path, answer: dict[str, object] | None, code: int, says: str
) -> None:
    """With a pip-audit that answers `answer` for each dependency."""
    tool = tmp_path / "pip-audit"
    tool.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"answer = {answer!r}\n"
        "if answer is None: sys.exit('no way there')\n"
        "names = [line.split('==') for line in open(sys.argv[-1])]\n"
        "found = [{'name': n, 'version': v.strip(), **answer} for n, v in names]\n"
        "print(json.dumps({'dependencies': found}))\n"
    )
    tool.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-m", "release.audit", tool], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert says in done.stdout
    assert ("grpcio " in done.stdout) is (code == 1), "which one it is"
