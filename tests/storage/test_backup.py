"""Backup while it is written to, restore, and what a restored daemon tells its consumers."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.engine.doctor import Severity, examine
from slad.storage import backup as backups
from slad.storage.backup import back_up, back_up_into, inspect, restore, verify
from slad.storage.database import DataDirectory
from slad.storage.epoch import SEQUENCE_STRIDE
from slad.storage.kill_points import DATABASE_MOVED, RESTORE_COPIED, WAL_MOVED
from slad.storage.lock import DatabaseError
from tests.slad_under_test import MONDAY_9, slad_running, target, told

IDS = {"tenant_id": "acme", "ticket_id": "A"}


async def test_a_backup_of_a_running_slad_is_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "PAGES_AT_ONCE", 1)
    copied: list[tuple[int, int]] = []
    async with slad_running(tmp_path / "data") as slad:
        await asyncio.gather(*(slad.start(f"T-{n}") for n in range(200)))
        loop = asyncio.get_running_loop()

        def progress(done: int, total: int) -> None:
            copied.append((done, total))
            # A commit between any two pages: the copy must neither see it nor begin anew.
            asyncio.run_coroutine_threadsafe(slad.start(f"later-{done}"), loop).result(30)

        await asyncio.to_thread(back_up, tmp_path / "data", tmp_path / "copy", progress)
        assert copied[-1][0] == copied[-1][1] == len(copied)
    restore(tmp_path / "copy", tmp_path / "restored")
    async with slad_running(tmp_path / "restored") as slad:
        found = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(page_size=1000))
        assert len(found.trackings) == 200


async def test_a_restored_backup_fires_what_is_overdue_under_the_ids_it_had(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "data") as slad:
        await slad.start("A", targets=[target(60, None, (0, 0, 0))])
        await asyncio.to_thread(back_up, tmp_path / "data", tmp_path / "copy")
        await slad.advance(hours=1)
        first = await slad.events()
    moved = restore(tmp_path / "copy", tmp_path / "data", replace=True)
    assert moved == tmp_path / "data" / "slad.db.before-restore-1"
    async with slad_running(tmp_path / "data", now=MONDAY_9 + 2 * HOUR_MS) as slad:
        again = await slad.events()
        assert told(again) == told(first)
        assert [e.event_id for e in again] == [e.event_id for e in first]
        assert again[1].sequence == SEQUENCE_STRIDE + 1, "no sequence is used twice"
        await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=1, **IDS))
    async with slad_running(tmp_path / "data", now=MONDAY_9 + 2 * HOUR_MS) as slad:
        assert [e.event_id for e in (await slad.events())[: len(again)]] == [e.event_id for e in again]


async def test_restore_refuses_a_running_slad_and_a_database_that_is_there(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "data") as slad:
        await slad.start()
        back_up(tmp_path / "data", tmp_path / "copy")
        with pytest.raises(DatabaseError, match="held by another slad"):
            restore(tmp_path / "copy", tmp_path / "data", replace=True)
    with pytest.raises(DatabaseError, match="give --replace"):
        restore(tmp_path / "copy", tmp_path / "data")


def test_what_is_no_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello" * 1000)
    other = apsw.Connection(str(tmp_path / "other"))
    other.execute("CREATE TABLE t (x)")
    other.close()
    for name, complaint in (("text", "damaged"), ("other", "not a database of slad"), ("none", "no file")):
        with pytest.raises(DatabaseError, match=complaint):
            restore(tmp_path / name, tmp_path / "data")
    assert not (tmp_path / "data").exists()


async def test_a_backup_never_overwrites_and_leaves_nothing_half(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "data") as slad:
        await slad.start()
    with open(tmp_path / "copy", "w") as file:  # noqa: ASYNC230
        file.write("precious")
    with pytest.raises(DatabaseError, match="exists already"):
        back_up(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(DatabaseError, match="cannot be written"):
        back_up(tmp_path / "data", tmp_path / "missing" / "copy")
    with pytest.raises(DatabaseError, match="no database"):
        back_up(tmp_path / "nowhere", tmp_path / "new")
    assert (tmp_path / "copy").read_text() == "precious"
    assert set(os.listdir(tmp_path)) == {"copy", "data"}


async def test_of_backups_in_a_folder_the_newest_are_kept_and_other_files_stay(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "data") as slad:
        await slad.start()
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "slad-before-the-move.db").write_text("precious")
    kept = []
    for day in range(5):
        path, removed = back_up_into(folder, tmp_path / "data", 2, MONDAY_9 / 1_000 + day * 86_400)
        kept.append(path)
        assert removed == kept[-3:-2]
    assert kept[0].name == "slad-20260302T090000Z.db"
    assert {path.name for path in folder.iterdir()} == {
        "slad-before-the-move.db", kept[-2].name, kept[-1].name,
    }  # fmt: skip
    with pytest.raises(DatabaseError, match="exists already"):
        back_up_into(folder, tmp_path / "data", 1, MONDAY_9 / 1_000 + 4 * 86_400)
    assert kept[-2].exists(), "one that fails removes nothing"


async def test_a_backup_is_verified_down_to_its_values(tmp_path: Path) -> None:
    async with slad_running(tmp_path / "data") as slad:
        await slad.start("A")
        await slad.start("B")
    good = tmp_path / "good.db"
    back_up(tmp_path / "data", good)
    before = good.read_bytes()
    assert verify(good) == 2
    assert good.read_bytes() == before
    assert set(os.listdir(tmp_path)) == {"data", "good.db"}
    connection = apsw.Connection(str(good))
    connection.execute("UPDATE tracking SET body = x'93010203' WHERE ticket_id = 'B'")
    connection.close()
    with pytest.raises(DatabaseError, match=r"good\.db is damaged: 1 values, the first is .*B"):
        verify(good)
    with pytest.raises(DatabaseError, match="no file"):
        verify(tmp_path / "none")


async def test_the_doctor_finds_all_well_and_then_what_is_wrong(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("A")
        await slad.start("B")
        await slad.advance(minutes=31)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=1, **IDS))
        with inspect(tmp_path) as store:
            findings = list(examine(store, slad.now))
        assert {finding.severity for finding in findings} == {Severity.OK}
        with inspect(tmp_path) as store:
            late = list(examine(store, slad.now + HOUR_MS))
        assert [f.check for f in late if f.severity is Severity.WARNING] == ["overdue"]
        with inspect(tmp_path) as store:
            early = list(examine(store, slad.now - 10 * MINUTE_MS))
        assert [f.check for f in early if f.severity is Severity.WARNING] == ["clock"]
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE tracking SET wake_at = wake_at + 60000 WHERE ticket_id = 'B'")
    with inspect(tmp_path) as store:
        sick = {f.check: f for f in examine(store, MONDAY_9 + 31 * MINUTE_MS)}
    assert sick["timers"].severity is Severity.FAILURE
    assert "1 stored wakes differ from the facts, such as B" in sick["timers"].text
    connection.execute("UPDATE meta SET value = '2000.1' WHERE name = 'tzdata'")
    connection.close()
    with inspect(tmp_path) as store:
        sick = {f.check: f for f in examine(store, MONDAY_9 + 31 * MINUTE_MS)}
    assert sick["time zones"].severity is Severity.WARNING
    assert "timers" not in sick, "they are derived anew anyway"


async def test_the_doctor_warns_of_a_day_that_ends_a_minute_early(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        short = pb.BusinessHoursSchedule(timezone="UTC")
        short.entries.add(day_of_week=1, start_time="00:00", end_time="23:59", is_enabled=True)
        await slad.start(schedule=short)
        with inspect(tmp_path) as store:
            (found,) = (finding for finding in examine(store, slad.now) if finding.check == "hours")
    assert found.severity is Severity.WARNING
    assert found.text.startswith("1 schedules have a window from 00:00 to 23:59")


RESTORE = [sys.executable, "-m", "slad", "restore", "--replace"]


@pytest.mark.parametrize("moment", [RESTORE_COPIED, WAL_MOVED, DATABASE_MOVED])
async def test_a_restore_that_is_killed_is_completed_by_the_next_start(tmp_path: Path, moment: str) -> None:
    data = tmp_path / "data"
    async with slad_running(data) as slad:
        await slad.start("kept")
        await asyncio.to_thread(back_up, data, tmp_path / "copy")
        await slad.start("lost")
        # As a daemon that was killed leaves it: with a WAL.
        shutil.copytree(data, tmp_path / "killed", ignore=shutil.ignore_patterns("*.sock"))
    data = tmp_path / "killed"
    command = [*RESTORE, "--data", str(data), str(tmp_path / "copy")]
    killed = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, "SLAD_KILL_POINT": f"{moment}:1"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    async with slad_running(data) as slad:
        assert await tickets(slad) == {"kept"}
    former = tmp_path / "former"
    former.mkdir()
    for path in data.glob("slad.db.before-restore-1*"):
        shutil.copy(path, former / path.name.replace(".before-restore-1", ""))
    async with slad_running(former) as slad:
        assert await tickets(slad) == {"kept", "lost"}, "the former database is whole, its WAL beside it"


async def tickets(slad: Any) -> set[str]:
    found = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(page_size=1000))
    return {tracking.ticket_id for tracking in found.trackings}


@pytest.mark.parametrize("left", ["slad.db-wal", "slad.db.before-restore-2", "slad.db.incoming"])
def test_no_database_begins_anew_beside_what_is_left_of_another(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_bytes(b"something")
    with pytest.raises(
        DatabaseError, match=f"there is no slad.db in {tmp_path}, but {left}: .*slad restore FILE"
    ):
        DataDirectory(tmp_path)
    assert not (tmp_path / "slad.db").exists()
    (tmp_path / left).unlink()
    DataDirectory(tmp_path).close()


async def test_to_look_at_a_database_leaves_and_changes_nothing(tmp_path: Path) -> None:
    data, killed = tmp_path / "data", tmp_path / "killed"
    async with slad_running(data) as slad:
        await slad.start("A")
        shutil.copytree(data, killed, ignore=shutil.ignore_patterns("*.sock", "*-shm"))
    for place in (data, killed):
        before = {path.name: path.read_bytes() for path in place.iterdir() if path.suffix != ".sock"}
        with inspect(place) as store:
            assert len(list(store.of_all(0, 10))) == 1
        after = {path.name: path.read_bytes() for path in place.iterdir() if path.suffix != ".sock"}
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) <= {"slad.db-shm"}, "there is no WAL, unless there was one"


async def test_a_database_that_cannot_be_written_is_sound_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("A")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with inspect(tmp_path) as store:
        assert all(verdict is Severity.OK for verdict, _, _ in examine(store, MONDAY_9))
    assert not [name for name in os.listdir(tmp_path) if name.startswith("slad.db-")]


def test_without_permission_it_is_said_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DataDirectory(tmp_path).close()
    monkeypatch.setattr(Path, "open", _forbidden)
    told = r"slad.db cannot be opened: Permission denied: .* belongs to .*slad runs as"
    with pytest.raises(DatabaseError, match=told), inspect(tmp_path):
        pass


def _forbidden(*_: Any, **__: Any) -> Any:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
