"""Adopting, without processes: what begins, what is stated, what is refused and left as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw
import pytest

from slad.config.settings import FenceSettings, StorageSettings
from slad.daemon.fence.adoption import adopt
from slad.daemon.fence.lease import FenceError, look_at
from slad.engine.time_source import WallClock
from slad.storage.backup import look_into
from slad.storage.epoch import SEQUENCE_STRIDE
from slad.storage.lock import DatabaseError
from tests.slad_under_test import slad_running

NO_FENCE = FenceSettings()


class Ahead(WallClock):
    """A clock that is set wrong."""

    def __init__(self, ms: int) -> None:
        self._ms = ms

    def now(self) -> int:
        return super().now() + self._ms


async def copy_of_a_desk(folder: Path) -> Path:
    """A copy of the database of a slad with one ticket."""
    external = StorageSettings(checkpoints="external", heartbeat_ms=0)
    async with slad_running(folder / "first", now=None, storage=external) as slad:
        await slad.start("T-1")
        shutil.copytree(folder / "first", folder / "copy", ignore=shutil.ignore_patterns("*.sock"))
    return folder / "copy"


async def test_a_copy_goes_on_in_the_next_epoch(tmp_path: Path) -> None:
    data = await copy_of_a_desk(tmp_path)
    before = WallClock().now()
    (data / "slad.db-txid").write_text("1")
    adopted = await adopt(data, NO_FENCE, WallClock())
    assert (adopted.epoch, adopted.sequence_floor, adopted.former) == (1, SEQUENCE_STRIDE, None)
    assert adopted.known_until is not None
    assert before - 10_000 < adopted.known_until < before
    assert not (data / "slad.db-txid").exists()
    async with slad_running(data, now=None) as slad:
        events = await slad.events()
        assert [event.ticket_id for event in events] == ["T-1"]
        await slad.start("T-2")
        assert (await slad.events(events[-1].sequence))[0].sequence > SEQUENCE_STRIDE


async def test_a_heartbeat_is_newer_than_the_last_command(tmp_path: Path) -> None:
    external = StorageSettings(checkpoints="external", heartbeat_ms=1)
    async with slad_running(tmp_path, now=None, storage=external) as slad:
        await slad.start("T-1")
        with look_into(tmp_path / "slad.db") as store:
            command = store.newest_audit()
        await slad.start("T-2")
    with look_into(tmp_path / "slad.db") as store:
        assert command is not None
        heartbeat, newest = store.meta("heartbeat"), store.newest_audit()
        assert isinstance(heartbeat, int)
        assert newest is not None
        assert heartbeat >= command
        assert store.known_until() == max(heartbeat, newest)


async def test_a_machine_whose_clock_is_behind_what_the_copy_knows(tmp_path: Path) -> None:
    data = await copy_of_a_desk(tmp_path)
    with pytest.raises(
        FenceError, match=r"this machine's clock says \S+, but the copy knows of \S+; correct the"
    ):
        await adopt(data, NO_FENCE, Ahead(-60_000))
    with look_into(data / "slad.db") as store:
        assert store.lineage().epoch == 0


async def test_a_fence_is_taken_before_the_epoch_begins(tmp_path: Path) -> None:
    data = await copy_of_a_desk(tmp_path)
    fence = tmp_path / "fence"
    fence.mkdir()  # which can neither be read nor written as a file
    with pytest.raises(FenceError, match="cannot be reached"):
        await adopt(data, FenceSettings(str(fence)), WallClock())
    with look_into(data / "slad.db") as store:
        assert store.lineage().epoch == 0
    fence.rmdir()
    assert await look_at(str(fence)) is None
    adopted = await adopt(data, FenceSettings(str(fence)), WallClock())
    held = await look_at(str(fence))
    assert held is not None
    assert (held.epoch, held.host) == (adopted.epoch, os.uname().nodename)
    with look_into(data / "slad.db") as store:
        assert held.instance == store.lineage().instance


async def test_a_database_of_a_slad_that_knew_no_epochs(tmp_path: Path) -> None:
    data = await copy_of_a_desk(tmp_path)
    apsw.Connection(str(data / "slad.db")).execute(
        "DELETE FROM meta WHERE name IN ('instance', 'epoch', 'home')"
    )
    with pytest.raises(
        DatabaseError, match="was last served by an earlier version of slad: start this one on it once"
    ):
        await adopt(data, NO_FENCE, WallClock())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("PRAGMA application_id = 7", "is not a database of slad"),
        ("PRAGMA user_version = 9999", "has schema 9999, which a later slad wrote"),
    ],
)
async def test_a_database_that_is_not_slads_or_of_a_later_one(
    tmp_path: Path, change: str, complaint: str
) -> None:
    data = await copy_of_a_desk(tmp_path)
    apsw.Connection(str(data / "slad.db")).execute(change)
    with pytest.raises(DatabaseError, match=complaint):
        await adopt(data, NO_FENCE, WallClock())


async def test_what_is_being_served(tmp_path: Path) -> None:
    async with slad_running(tmp_path, now=None):
        with pytest.raises(DatabaseError, match="is held by another slad"):
            await adopt(tmp_path, NO_FENCE, WallClock())


async def test_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no database in"):
        await adopt(tmp_path, NO_FENCE, WallClock())
