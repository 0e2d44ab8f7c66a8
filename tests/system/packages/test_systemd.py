"""slad under a real systemd, installed there from its wheel: the unit does what it says."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from tests.system.packages.machine import Machine, base, booted, need_tools, python_version
from tests.system.packages.wheelhouse import ROOT, collect

MAX_EXPOSURE = 1.5

INSTALL = """
python3 -m venv /opt/slad
/opt/slad/bin/pip install --quiet --no-index --find-links /wheels slad
"""

HANG = """
import os, time
from slad.cli.main import main
from slad.engine.engine import SlaEngine

turn = SlaEngine._turn

def hang(*arguments):
    while os.path.exists("/run/slad/hang"):
        time.sleep(1)
    return turn(*arguments)

SlaEngine._turn = hang
main()
"""
"""slad, but for a timer loop that hangs when told to; all other threads go on."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]) -> Iterator[Machine]:
    """With slad installed as its documentation says."""
    need_tools()
    wheels = collect(distributions[1], python_version(base()))
    with booted(tmp_path_factory.mktemp("machine"), INSTALL, wheels) as machine:
        told = machine.run("/opt/slad/bin/slad", "install-service")
        assert told.splitlines()[-1] == "next: systemctl enable --now slad slad-backup.timer"
        yield machine


@pytest.fixture
def slad(machine: Machine) -> Iterator[Machine]:
    """With the service running."""
    machine.try_run("systemctl", "reset-failed", "slad")
    machine.run("systemctl", "start", "slad")
    yield machine
    machine.run("systemctl", "stop", "slad")


def socket(machine: Machine, name: str = "slad") -> str:
    return f"unix:{machine.path(f'/run/{name}/slad.sock')}"


@contextmanager
def client(machine: Machine, name: str = "slad") -> Iterator[SladClient]:
    with SladClient(socket(machine, name), timeout=60, wait_for_ready=True) as found:
        yield found


def is_serving(machine: Machine) -> bool:
    with grpc.insecure_channel(socket(machine)) as channel:
        request = health_pb2.HealthCheckRequest(service="slad.v1.SlaBackend")
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        except grpc.RpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def start(slad: SladClient, ticket_id: str) -> None:
    target = pb.SlaPolicyTarget(response_time_minutes=1, is_24x7=True)
    slad.start_sla_tracking(
        tenant_id="acme", ticket_id=ticket_id, targets=[target], notification_thresholds=[10]
    )


def test_it_is_ready_when_it_serves_and_says_how_it_stands(slad: Machine) -> None:
    # `systemctl start` has returned, so READY=1 has come: the first call must not have to wait.
    assert is_serving(slad)
    status = slad.shown("slad", "StatusText")
    assert re.fullmatch(
        r"serving; \d+ timers due soon, last event \d+; listening on unix:/run/slad/slad.sock", status
    )
    assert slad.shown("slad", "Type") == "notify"


def test_it_gives_away_no_more_than_it_has_to(slad: Machine) -> None:
    told = slad.run("systemd-analyze", "security", "--no-pager", "slad")
    exposure = re.search(r"Overall exposure level for slad.service: ([0-9.]+)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= MAX_EXPOSURE
    assert f"**{exposure[1]}**" in (ROOT / "docs" / "security.md").read_text("utf-8"), (
        "the figure that is told"
    )
    process = slad.path(f"/proc/{slad.shown('slad', 'MainPID')}")
    uid = (process / "status").stat().st_uid
    assert 61184 <= uid <= 65519, "a user that exists only while it runs"
    group = int(slad.run("getent", "group", "slad-clients").split(":")[2])
    for path, mode, owner in (
        ("/run/slad/slad.sock", 0o660, group),
        ("/var/lib/private/slad", 0o700, None),
        ("/var/lib/private/slad/slad.db", 0o600, None),
        ("/var/lib/private/slad/control.sock", 0o600, None),
    ):
        found = slad.path(path).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (mode, uid), path
        assert owner is None or found.st_gid == owner


def test_killed_it_comes_back_with_its_clocks(slad: Machine) -> None:
    before = slad.shown("slad", "MainPID")
    with client(slad) as calls:
        start(calls, "T-kill")
    slad.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "slad")
    slad.wait(lambda: slad.shown("slad", "MainPID") not in ("0", before) and is_serving(slad), "it is back")
    assert slad.shown("slad", "Result") == "success"
    with client(slad) as calls:
        told = []
        for event in calls.watch_sla_events(after_sequence=0, reconnect=False):
            if event.ticket_id == "T-kill":
                told.append((event.threshold.percent, event.threshold.scheduled_at.ToMilliseconds()))
            if len(told) == 2:
                break
        status = calls.get_sla_status(ticket_id="T-kill").status
    assert told[1] == (10, status.started_at.ToMilliseconds() + 6_000), "the clock went on"


def test_the_watchdog_ends_it_when_the_timer_loop_hangs(slad: Machine) -> None:
    slad.path("/opt/hang.py").write_text(HANG)
    folder = slad.path("/etc/systemd/system/slad.service.d")
    folder.mkdir()
    try:
        command = slad.run("systemctl", "cat", "slad").split("ExecStart=")[1].split("\n")[0]
        program, _, arguments = command.partition(" ")
        (folder / "hang.conf").write_text(
            "[Service]\nWatchdogSec=3\nExecStart=\n"
            f"ExecStart={Path(program).parent}/python3 /opt/hang.py {arguments}\n"
        )
        slad.run("systemctl", "daemon-reload")
        slad.run("systemctl", "restart", "slad")
        before, pid = slad.shown("slad", "NRestarts"), slad.shown("slad", "MainPID")
        # Fed by the loop, it goes on for longer than the watchdog's time.
        slad.wait(lambda: slad.shown("slad", "WatchdogTimestampMonotonic") != "0", "the watchdog is fed")
        fed = slad.shown("slad", "WatchdogTimestampMonotonic")
        for _ in range(5):
            slad.wait(
                lambda fed=fed: slad.shown("slad", "WatchdogTimestampMonotonic") != fed, "it is fed again"
            )
            fed = slad.shown("slad", "WatchdogTimestampMonotonic")
        assert slad.shown("slad", "MainPID") == pid
        slad.path("/run/slad/hang").touch()
        slad.wait(lambda: slad.shown("slad", "NRestarts") != before, "it was ended and started anew")
        slad.wait(lambda: is_serving(slad), "it serves again")
        assert "Watchdog timeout (limit 3s)" in slad.journal("slad")
    finally:
        (folder / "hang.conf").unlink()
        folder.rmdir()
        slad.run("systemctl", "daemon-reload")


def test_reload_takes_what_is_new_and_refuses_what_is_wrong(slad: Machine) -> None:
    config = slad.path("/etc/slad/slad.toml")
    former, pid = config.read_text(), slad.shown("slad", "MainPID")
    try:
        config.write_text(former.replace("[log]", '[log]\nlevel = "debug"'))
        slad.run("systemctl", "reload", "slad")
        slad.wait(lambda: '"message": "reloaded"' in slad.journal("slad"), "it has reloaded")
        with client(slad) as calls, pytest.raises(Exception, match="no tracking of ticket"):
            calls.get_sla_status(ticket_id="T-nobody's")
        slad.wait(
            lambda: '"message": "refused: no tracking of ticket' in slad.journal("slad"), "it says more now"
        )
        config.write_text(former.replace("[log]", "[lgo]"))
        slad.run("systemctl", "reload", "slad")
        slad.wait(lambda: "reload failed" in slad.shown("slad", "StatusText"), "it says what is wrong")
        assert "lgo.format: there is no such setting; did you mean 'log.format'?" in slad.shown(
            "slad", "StatusText"
        )
        assert slad.shown("slad", "MainPID") == pid
        assert is_serving(slad)
    finally:
        config.write_text(former)


def test_it_ends_cleanly(slad: Machine) -> None:
    with client(slad) as calls:
        start(calls, "T-stop")
    slad.run("systemctl", "stop", "slad")
    assert (slad.shown("slad", "Result"), slad.shown("slad", "ExecMainStatus")) == ("success", "0")
    assert slad.journal("slad").count('"message": "stopped"') >= 1
    files = {path.name for path in slad.path("/var/lib/private/slad").iterdir()}
    assert files == {"slad.db", "slad.lock"}, "nothing is left in a WAL"
    assert not slad.path("/run/slad").exists()


def test_a_wrong_configuration_is_not_tried_again(slad: Machine) -> None:
    config = slad.path("/etc/slad/slad.toml")
    former = config.read_text()
    slad.run("systemctl", "stop", "slad")
    try:
        config.write_text('listen = ["0.0.0.0:7523"]\n')
        assert slad.try_run("systemctl", "start", "slad").returncode != 0
        assert slad.shown("slad", "ExecMainStatus") == "2"
        assert (slad.shown("slad", "ActiveState"), slad.shown("slad", "NRestarts")) == ("failed", "0")
        assert "0.0.0.0:7523 can be reached from other machines, so it needs TLS" in slad.journal("slad")
    finally:
        config.write_text(former)


def test_tokens_are_made_while_it_runs_and_while_it_does_not(slad: Machine) -> None:
    create = (
        "/opt/slad/bin/slad",
        "tokens",
        "create",
        "--all-tenants",
        "--role",
        "read",
        "--data",
        "/var/lib/slad",
    )
    first = slad.run(*create).strip()
    slad.run("systemctl", "stop", "slad")
    second = slad.run(*create).strip()
    slad.run("systemctl", "start", "slad")
    assert is_serving(slad), "root has left nothing behind that slad cannot read"
    listed = json.loads(slad.run("/opt/slad/bin/slad", "tokens", "list", "--json", "--data", "/var/lib/slad"))
    assert [t["token_id"] for t in listed][-2:] == [first.split("_")[1], second.split("_")[1]]
    with SladClient(socket(slad), token=first, timeout=60) as calls:
        assert isinstance(list(calls.list_sla_trackings()), list)


def test_backups_are_taken_and_the_oldest_go(slad: Machine) -> None:
    with client(slad) as calls:
        start(calls, "T-backup")
    slad.run("systemctl", "enable", "--now", "slad-backup.timer")
    assert slad.shown("slad-backup.timer", "ActiveState") == "active"
    slad.run("systemctl", "start", "slad-backup")
    # Out of the way of the next, which may be of the same second, and so of the same name.
    (first,) = slad.run("ls", "/var/lib/slad-backup").split()
    slad.run("mv", f"/var/lib/slad-backup/{first}", "/var/lib/slad-backup/slad-20200101T000100Z.db")
    for second in range(15):
        slad.run("touch", f"/var/lib/slad-backup/slad-20200101T0000{second:02}Z.db")
    slad.run("systemctl", "start", "slad-backup")
    names = slad.run("ls", "/var/lib/slad-backup").split()
    assert len(names) == 14
    assert names[-1] > "slad-2026"
    told = slad.run("/opt/slad/bin/slad", "backup", "--verify", f"/var/lib/slad-backup/{names[-1]}")
    assert told.startswith("ok: ")
    slad.run("test", "-e", "/var/lib/slad/last-backup")
    slad.run("systemctl", "disable", "--now", "slad-backup.timer")


def test_instances_run_side_by_side(slad: Machine) -> None:
    for name in ("one", "two"):
        slad.run("/opt/slad/bin/slad", "install-service", "--template", "--instance", name)
    slad.run("systemctl", "start", "slad@one", "slad@two")
    try:
        for name in ("one", "two"):
            with client(slad, f"slad-{name}") as calls:
                assert list(calls.list_sla_trackings()) == []
                start(calls, f"T-{name}")
        with client(slad, "slad-two") as calls:
            assert [t.ticket_id for t in calls.list_sla_trackings()] == ["T-two"]
    finally:
        slad.run("systemctl", "stop", "slad@one", "slad@two")
