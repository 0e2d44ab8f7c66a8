"""slad as its users get it: a wheel made from an sdist, and all that it depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

TOOLS = ROOT / ".tools"


def run(*command: str | Path, timeout_s: float = 300, **options: object) -> str:
    """What `command` prints; an error with all that it printed when it fails."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=timeout_s, check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return str(done.stdout)


def build(folder: Path, source: Path = ROOT, name: str = "slad") -> tuple[Path, Path]:
    """(sdist, wheel) of the package `name`, the wheel made from the sdist."""
    run(sys.executable, "-m", "build", "--outdir", folder, source)
    (sdist,), (wheel,) = folder.glob(f"{name}-*.tar.gz"), folder.glob(f"{name}-*.whl")
    return sdist, wheel


def build_client(folder: Path) -> tuple[Path, Path]:
    """The same of `slad-client`."""
    return build(folder, ROOT / "clients" / "python", "slad_client")


def collect(wheel: Path, python_version: str) -> Path:
    """A folder with `wheel` and those that it depends on, for a Python such as `3.11`.

    What lies beside `wheel` is taken from there.
    """
    folder = wheel.parent / python_version
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    of_version = ("--only-binary=:all:", "--python-version", python_version)
    run(*pip, "download", "--quiet", *of_version, "--find-links", wheel.parent, "--dest", folder, wheel)
    return folder
