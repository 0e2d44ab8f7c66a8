"""The commands that people type, against a running daemon."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import apsw
import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from slad.storage.database import migrations
from tests.system.e2e.slad_process import COMMAND, slad_process
from tests.system.upgrade.make_fixture import FIXTURES


def slad(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_consumers_are_listed_with_their_lag_and_removed(tmp_path: Path) -> None:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path)) as daemon:
        (address,) = daemon.addresses
        with grpc.insecure_channel(address) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            for number in range(3):
                request = rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id=f"T-{number}")
                request.targets.add(response_time_minutes=60, is_24x7=True)
                stub.StartSlaTracking(request, timeout=30)
            watch = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"), timeout=300)
            next(watch)
            stub.AckSlaEvents(rpc.AckSlaEventsRequest(consumer="psa", sequence=1), timeout=30)

            listed = slad("consumers", "list", "--address", address)
            assert listed.returncode == 0
            header, row = listed.stdout.splitlines()
            assert header.split()[:4] == ["CONSUMER", "ACKNOWLEDGED", "LAG", "STREAMS"]
            assert row.split()[:4] == ["psa", "1", "2", "1"]

            in_use = slad("consumers", "remove", "psa", "--address", address)
            assert in_use.returncode == 7
            assert in_use.stderr == "slad: consumer 'psa' has 1 stream(s) open; stop it first\n"
            watch.cancel()
            while json.loads(slad("consumers", "list", "--address", address, "--json").stdout)[0]["streams"]:
                pass
            removed = slad("consumers", "remove", "psa", "--address", address)
            assert removed.stdout == "removed psa\n"
            assert slad("consumers", "list", "--address", address, "--json").stdout == "[]\n"


def test_a_daemon_that_is_not_there_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    done = slad("consumers", "list", "--address", f"unix:{tmp_path}/nobody")
    assert done.returncode == 4
    assert done.stderr.startswith(f"slad: no daemon answers at unix:{tmp_path}/nobody; start it with")
    assert len(done.stderr.splitlines()) == 1


def test_wrong_spans_are_refused(tmp_path: Path) -> None:
    done = slad("serve", "--data", str(tmp_path), "--retention-events", "soon")
    assert done.returncode == 2
    assert "'soon' is not a length of time, such as 250ms, 45s, 30m, 12h or 7d" in done.stderr


def test_backup_restore_and_doctor(tmp_path: Path) -> None:
    data, copy, elsewhere = str(tmp_path / "data"), str(tmp_path / "copy"), str(tmp_path / "new")
    with slad_process("--listen", "127.0.0.1:0", "--data", data):
        done = slad("backup", copy, "--data", data)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"backed up {data}/slad.db to {copy}\n"
        sound = slad("backup", "--verify", copy)
        assert (sound.returncode, sound.stdout) == (0, f"ok: {copy} is a sound backup with 0 tickets\n")
        folder = tmp_path / "kept"
        folder.mkdir()
        assert slad("backup", "--keep", "1", str(folder), "--data", data).returncode == 0
        (kept,) = folder.iterdir()
        assert slad("backup", "--verify", str(kept)).returncode == 0
        assert slad("backup", "--verify", f"{data}/lock").returncode == 5
        healthy = slad("doctor", "--data", data)
        assert healthy.returncode == 0
        assert healthy.stdout.splitlines()[:2] == [
            "ok    integrity: sound",
            f"ok    schema: {migrations()[-1][0]}",
        ]
        checks = [json.loads(line) for line in slad("doctor", "--data", data, "--json").stdout.splitlines()]
        assert [check["verdict"] for check in checks] == ["OK"] * len(healthy.stdout.splitlines())
        held = slad("restore", copy, "--data", data, "--replace")
        assert held.returncode == 3
        assert "held by another slad" in held.stderr
    assert slad("restore", copy, "--data", elsewhere).returncode == 0
    with (tmp_path / "new" / "slad.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff" * 20_000)
    sick = slad("doctor", "--data", elsewhere)
    assert sick.returncode in (3, 5)
    assert "damaged" in sick.stdout + sick.stderr
    assert "Traceback" not in sick.stderr


def test_a_backup_of_nothing_says_so(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with slad_process("--listen", f"unix:{tmp_path}/s", "--data", data):
        done = slad("backup", str(tmp_path / "copy"), "--data", data)
        assert done.returncode == 0
        assert f"slad: the backup holds no tickets; is {data} the directory that slad uses?\n" in done.stderr
        start = ("start", "acme", "T-1", "--24x7", "--response", "1h", "--address", f"unix:{tmp_path}/s")
        assert slad(*start).returncode == 0
        again = slad("backup", str(tmp_path / "other"), "--data", data)
        assert "holds no tickets" not in again.stderr
    typo = slad("backup", str(tmp_path / "third"), "--data", str(tmp_path / "typo"))
    assert typo.returncode == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["data"]


def of_schema(directory: Path, number: int) -> str:
    """The data directory of a database that says it has such a schema; it has the first one."""
    directory.mkdir()
    fixture = FIXTURES / "schema-0001.db.gz"
    (directory / "slad.db").write_bytes(gzip.decompress(fixture.read_bytes()))
    connection = apsw.Connection(str(directory / "slad.db"))
    connection.pragma("user_version", number)
    connection.close()
    return str(directory)


def test_doctor_tells_an_earlier_schema_from_damage(tmp_path: Path) -> None:
    done = slad("doctor", "--data", of_schema(tmp_path / "data", 1))
    assert done.returncode == 0
    integrity, schema, *_ = done.stdout.splitlines()
    assert integrity == "ok    integrity: sound"
    assert schema.startswith("WARN  schema: schema 1, from an earlier slad; the next start upgrades it to ")


def test_a_downgrade_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    later = migrations()[-1][0] + 1
    data = of_schema(tmp_path / "data", later)
    before = (tmp_path / "data" / "slad.db").read_bytes()
    advice = "run the slad that wrote it, or a later one"
    served = slad("serve", "--data", data, "--listen", f"unix:{tmp_path}/s")
    assert served.returncode == 3
    assert served.stderr == (
        f"slad: the database has schema {later}, this slad knows up to {later - 1}: {advice}\n"
    )
    restored = slad("restore", f"{data}/slad.db", "--data", str(tmp_path / "new"))
    assert restored.returncode == 3
    assert f"has schema {later}, which a later slad wrote" in restored.stderr
    examined = slad("doctor", "--data", data)
    assert examined.returncode == 5
    assert f"FAIL  schema: schema {later}, this slad knows up to {later - 1}: {advice}" in examined.stdout
    assert (tmp_path / "data" / "slad.db").read_bytes() == before, "nothing was written"


def test_a_damaged_database_stops_the_start_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    data = of_schema(tmp_path / "data", 1)
    with (tmp_path / "data" / "slad.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    done = slad("serve", "--data", data, "--listen", f"unix:{tmp_path}/s")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "is damaged" in done.stderr
    assert "restore a backup: slad restore --replace FILE" in done.stderr
