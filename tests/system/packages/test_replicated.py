"""Two machines with the units of ops/litestream, under systemd: one serves, one follows and takes over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from tests.paths import ROOT
from tests.system.packages.machine import Machine, base, booted, need_tools, python_version
from tests.system.packages.wheelhouse import collect
from tests.trials.replication.litestream import LITESTREAM, tool

UNITS = ROOT / "ops" / "litestream"

PREPARE = """
python3 -m venv /opt/slad
/opt/slad/bin/pip install --quiet --no-index --find-links /wheels slad
ln -s /opt/slad/bin/slad /usr/local/bin/slad
"""

CONFIGURATION = """
listen = ["unix:/run/slad/slad.sock"]

[storage]
checkpoints = "external"
heartbeat = "1s"

[fence]
at = "/srv/fence/lease"
lease = "3s"
"""

REPLICA = 'SLAD_DATABASE=/var/lib/slad/slad.db\nSLAD_REPLICA="file:///srv/replica/epoch-{epoch}"\n'

CHECKS_FOLLOWED = """
[Service]
ExecStart=
ExecStart=slad replica check --data /var/lib/slad --max-age 1m /var/lib/slad/slad.db
"""


def set_up(machine: Machine) -> None:
    """As docs/high-availability.md says."""
    machine.run("slad", "install-service")
    machine.path("/etc/slad/slad.toml").write_text(CONFIGURATION)
    for unit in (*UNITS.glob("slad-*.service"), *UNITS.glob("slad-*.timer")):
        machine.path(f"/etc/systemd/system/{unit.name}").write_text(unit.read_text("utf-8"))
    machine.path("/etc/slad/litestream.yml").write_text((UNITS / "litestream.yml").read_text("utf-8"))
    replicate_to(machine, epoch=0)
    edit(machine, "slad.service", "[Service]\nReadWritePaths=/srv/fence\n")


def replicate_to(machine: Machine, *, epoch: int) -> None:
    machine.path("/etc/slad/replica.env").write_text(REPLICA.format(epoch=epoch))


def edit(machine: Machine, unit: str, text: str) -> None:
    """What `systemctl edit` does."""
    folder = machine.path(f"/etc/systemd/system/{unit}.d")
    folder.mkdir(exist_ok=True)
    (folder / "override.conf").write_text(text)
    machine.run("systemctl", "daemon-reload")


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]
) -> Iterator[tuple[Machine, Machine]]:
    """With slad and Litestream installed, and a shared folder; nothing runs yet."""
    need_tools()
    litestream = tool("litestream", LITESTREAM)
    wheels = collect(distributions[1], python_version(base()))
    shared = tmp_path_factory.mktemp("shared")
    shared.chmod(0o755)
    with ExitStack() as running:
        found = []
        for name in ("first", "second"):
            folder = tmp_path_factory.mktemp(name)
            machine = running.enter_context(booted(folder, PREPARE, wheels, shared=shared))
            binary = machine.path("/usr/local/bin/litestream")
            binary.write_bytes(Path(litestream).read_bytes())
            binary.chmod(0o755)
            set_up(machine)
            found.append(machine)
        first, second = found
        first.run("mkdir", "/srv/fence", "/srv/replica")
        first.run("chgrp", "slad-clients", "/srv/fence")
        first.run("chmod", "2770", "/srv/fence")
        yield first, second


def client(machine: Machine) -> SladClient:
    return SladClient(f"unix:{machine.path('/run/slad/slad.sock')}", timeout=60, wait_for_ready=True)


def start(machine: Machine, ticket_id: str) -> None:
    target = pb.SlaPolicyTarget(response_time_minutes=60, is_24x7=True)
    with client(machine) as slad:
        slad.start_sla_tracking(tenant_id="acme", ticket_id=ticket_id, targets=[target])


def tickets(machine: Machine) -> set[str]:
    with client(machine) as slad:
        return {tracking.ticket_id for tracking in slad.list_sla_trackings()}


def checks(machine: Machine) -> bool:
    return machine.try_run("systemctl", "start", "slad-replica-check").returncode == 0


def knows_of(machine: Machine, instant: float) -> bool:
    """Whether the check has read back what was known after an instant."""
    mark = machine.path("/var/lib/private/slad/replica-knows")
    return checks(machine) and mark.stat().st_mtime > instant


def test_the_primary_replicates_and_the_replica_is_read_back(machines: tuple[Machine, Machine]) -> None:
    first, _ = machines
    # Also when Litestream is there before slad, as it may be at a boot.
    first.run("systemctl", "enable", "--now", "slad-litestream", "slad-replica-check.timer")
    first.run("systemctl", "enable", "--now", "slad")
    start(first, "T-1")
    now = time.time()
    first.wait(lambda: knows_of(first, now), "it is replicated", "slad-replica-check")
    for unit in ("slad", "slad-litestream", "slad-replica-check.timer"):
        assert first.shown(unit, "ActiveState") == "active"
    assert first.shown("slad-litestream", "NRestarts") in ("0", "1"), "1: there was no database yet"
    # Root has left nothing that slad cannot use, and Litestream goes on over slad's restart.
    first.run("systemctl", "restart", "slad")
    start(first, "T-2")
    assert tickets(first) == {"T-1", "T-2"}
    now = time.time()
    first.wait(lambda: knows_of(first, now), "it is replicated", "slad-replica-check")
    journal = first.journal("slad-litestream")
    assert "truncated by another process" not in journal
    assert '"level": "error"' not in first.journal("slad")


def test_a_standby_takes_over(machines: tuple[Machine, Machine]) -> None:
    first, second = machines
    second.run("systemctl", "enable", "--now", "slad-standby")
    edit(second, "slad-replica-check.service", CHECKS_FOLLOWED)
    second.wait(lambda: checks(second), "it follows", "slad-standby")
    start(first, "T-3")
    now = time.time()
    second.wait(
        lambda: checks(second) and second.path("/var/lib/slad/replica-knows").stat().st_mtime > now,
        "it follows",
        "slad-standby",
    )

    # What is followed is not served, and what is served is not adopted.
    refused = second.try_run("slad", "adopt", "--config", "/etc/slad/slad.toml", "--data", "/var/lib/slad")
    assert "stop Litestream, which follows" in refused.stderr

    first.run("systemctl", "kill", "--signal=KILL", "slad", "slad-litestream")
    first.run("systemctl", "stop", "slad", "slad-litestream")
    second.run("systemctl", "disable", "--now", "slad-standby")
    told = second.run("slad", "adopt", "--config", "/etc/slad/slad.toml", "--data", "/var/lib/slad")
    assert "as epoch 1\n" in told
    replicate_to(second, epoch=1)
    second.run("systemctl", "revert", "slad-replica-check.service", "slad-replica-check.timer")
    second.run("systemctl", "enable", "--now", "slad", "slad-litestream", "slad-replica-check.timer")
    assert tickets(second) == {"T-1", "T-2", "T-3"}
    start(second, "T-4")
    now = time.time()
    second.wait(lambda: knows_of(second, now), "it is replicated", "slad-replica-check")
    assert "epoch 1 on " in second.run("slad", "fence", "--config", "/etc/slad/slad.toml")

    # The first comes back, as it was; then it stands by for the second.
    assert first.try_run("systemctl", "start", "slad").returncode != 0
    assert "epoch 1 was adopted" in first.journal("slad")
    first.run("systemctl", "disable", "--now", "slad", "slad-litestream", "slad-replica-check.timer")
    first.run("find", "/var/lib/slad/", "-mindepth", "1", "-delete")
    replicate_to(first, epoch=1)
    first.run("systemctl", "enable", "--now", "slad-standby")
    edit(first, "slad-replica-check.service", CHECKS_FOLLOWED)
    first.wait(lambda: checks(first), "it follows", "slad-standby")
