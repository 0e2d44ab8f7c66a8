"""The Containerfile, built and run as far as a machine goes that reaches no image registry.

The base image is a Debian made here. What the build makes is the real thing. It is run as it is configured,
by systemd-nspawn: read-only, without a network, as its user.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.system.e2e.slad_process import COMMAND, is_serving
from tests.system.ops.test_deployment import compose
from tests.system.packages.machine import PATIENCE_S, base, need_tools, python_version
from tests.system.packages.wheelhouse import ROOT, collect, run

UNKNOWN_CALLER = 8
BASE, IMAGE = "localhost/python-for-slad", "localhost/slad"


class Image:
    def __init__(self, config: dict[str, Any], health: dict[str, Any], root: Path) -> None:
        self.config = config
        self.health = health
        self.root = root
        """Its file system."""

    def command(self, *arguments: str) -> list[str]:
        return [*self.config["Entrypoint"], *arguments]

    def nspawn(self, volumes: dict[str, Path]) -> list[str]:
        """How to run something in it."""
        uid = self.config["User"].split(":")[0]
        users = (self.root / "etc/passwd").read_text("utf-8").splitlines()
        (name,) = [line.split(":")[0] for line in users if line.split(":")[2] == uid]
        isolation = ("--private-network", "--read-only", "--drop-capability=all", f"--user={name}")
        return [
            *(
                "systemd-nspawn",
                "--quiet",
                f"--directory={self.root}",
                "--register=no",
                "--keep-unit",
                "--as-pid2",
            ),
            *isolation,
            *(f"--setenv={variable}" for variable in self.config["Env"]),
            *(f"--bind={path}:{inside}" for inside, path in volumes.items()),
        ]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]) -> Iterator[Image]:
    need_tools()
    if shutil.which("podman") is None:
        pytest.skip("podman is missing; install it: apt-get install podman")
    folder = tmp_path_factory.mktemp("container")
    podman = ("podman", f"--root={folder}/storage", f"--runroot={folder}/run")
    shutil.copytree(collect(distributions[1], python_version(base())), folder / "context" / "dist")
    try:
        tar = subprocess.Popen(
            ["tar", "--directory", base(), "--exclude=./var/cache", "--create", "."], stdout=subprocess.PIPE
        )
        run(*podman, "import", "--quiet", "-", BASE, stdin=tar.stdout)
        assert tar.wait(PATIENCE_S) == 0
        run(
            *podman, "build", "--isolation=chroot", "--format=docker", f"--tag={IMAGE}",
            f"--build-arg=PYTHON={BASE}", "--build-arg=PIP_NO_INDEX=1",
            f"--file={ROOT / 'Containerfile'}", folder / "context",
        )  # fmt: skip
        (told,) = json.loads(run(*podman, "image", "inspect", IMAGE))
        root = Path(run(*podman, "image", "mount", IMAGE).strip())
        yield Image(told["Config"], told["Healthcheck"], root)
    finally:
        subprocess.run([*podman, "image", "unmount", "--all"], check=False, capture_output=True)
        subprocess.run([*podman, "system", "reset", "--force"], check=False, capture_output=True)


def volumes(image: Image, folder: Path) -> dict[str, Path]:
    """A folder for each volume, with the mode and owner that the image gives it, as an engine does."""
    found = {}
    for inside in image.config["Volumes"]:
        given = (image.root / inside.lstrip("/")).stat()
        path = folder / inside.strip("/").replace("/", "-")
        path.mkdir(parents=True)
        os.chown(path, given.st_uid, given.st_gid)
        path.chmod(stat.S_IMODE(given.st_mode))
        found[inside] = path
    return found


@contextmanager
def running(image: Image, mounted: dict[str, Path]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*image.nspawn(mounted), *image.command(*image.config["Cmd"])],
        stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        # Killed, it would leave what runs in it behind.
        process.terminate()
        process.wait(PATIENCE_S)


def test_it_is_small_rights_and_says_what_it_needs(image: Image) -> None:
    assert image.config["User"] == "7523:7523"
    assert set(image.config["Volumes"]) == {"/var/lib/slad", "/run/slad"}
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.health["Test"] == ["CMD", "slad", "health"]
    assert not (image.root / "dist").exists(), "what only the build needed is not in it"
    owned = [path for path in (image.root / "opt/slad").rglob("*") if path.lstat().st_uid != 0]
    assert owned == [], "slad cannot change its own code"


def test_it_runs_read_only_as_its_user_and_its_health_check_tells(image: Image, tmp_path: Path) -> None:
    mounted = volumes(image, tmp_path)
    address = f"unix:{mounted['/run/slad']}/slad.sock"
    with running(image, mounted) as process:
        end = time.monotonic() + PATIENCE_S
        while not (mounted["/run/slad"] / "slad.sock").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.1)
        assert is_serving(address)
        done = subprocess.run(
            [*image.nspawn(mounted), *image.command(*image.health["Test"][2:])],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        done = subprocess.run(
            [COMMAND, "list", "--address", address], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert {path.stat().st_uid for path in mounted["/var/lib/slad"].iterdir()} == {7523}
        os.kill(_slad_in(process.pid), signal.SIGTERM)
        assert process.wait(60) == 0, "its exit code is the container's"
    done = subprocess.run(
        [*image.nspawn(mounted), *image.command(*image.health["Test"][2:])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0, "no daemon, no health"


def test_it_serves_over_tls_as_the_compose_file_configures_it(image: Image, tmp_path: Path) -> None:
    service, ca = compose()["services"]["slad"], trustme.CA()
    certificate = ca.issue_cert("localhost")
    mounted = volumes(image, tmp_path)
    tls = tmp_path / "tls"
    tls.mkdir()
    (tls / "tls.crt").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    (tls / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    ca.cert_pem.write_to_path(str(tls / "ca.crt"))
    env = [*image.config["Env"], *(f"{name}={value}" for name, value in service["environment"].items())]
    configured = Image(image.config | {"Env": env}, image.health, image.root)
    where = mounted | {"/etc/slad/tls": tls}
    with running(configured, where) as process:
        end = time.monotonic() + PATIENCE_S
        while not (mounted["/run/slad"] / "slad.sock").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.1)

        def over_tls(*command: str, token: str = "") -> int:
            network = ("nsenter", f"--target={_slad_in(process.pid)}", "--net")
            target = ("--address", "localhost:7523", "--ca", str(tls / "ca.crt"))
            done = subprocess.run(
                [*network, COMMAND, *command, *target], env=os.environ | {"SLAD_TOKEN": token}, check=False
            )
            return done.returncode

        assert over_tls("health", "--wait", "30s") == 0
        data = mounted["/var/lib/slad"]
        token = run(COMMAND, "tokens", "create", "--data", data, "--all-tenants", "--role", "write").strip()
        assert over_tls("list", token=token) == 0
        assert over_tls("list") == UNKNOWN_CALLER


def _slad_in(pid: int) -> int:
    """The daemon below a process."""
    waiting = [pid]
    for found in waiting:
        if Path(f"/proc/{found}/comm").read_text("ascii").strip() == "slad":
            return found
        waiting += map(int, Path(f"/proc/{found}/task/{found}/children").read_text("ascii").split())
    raise AssertionError(f"no slad below {pid}")
