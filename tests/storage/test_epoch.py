"""A database that is restored or copied by hand begins a new epoch: no number is used for two events."""

from __future__ import annotations

import shutil
from pathlib import Path

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.storage.backup import back_up, inspect, restore
from slad.storage.database import DataDirectory
from slad.storage.epoch import SEQUENCE_STRIDE, holder_of
from slad.storage.store import Lineage
from tests.slad_under_test import slad_running


async def life(data: Path) -> tuple[Lineage, int]:
    """A start and one ticket; whose sequences are told, and the one of the event."""
    async with slad_running(data) as slad:
        call = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest())
        told = dict(list(await call.initial_metadata()))
        await slad.start(f"T-{told['slad-head-sequence']}")
        sequence = (await call.read()).events[0].sequence
        call.cancel()
    return Lineage(str(told["slad-instance"]), int(told["slad-epoch"])), sequence


async def test_a_copy_by_hand_begins_a_new_epoch_once_and_the_original_goes_on(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    first, sequence = await life(original)
    assert (first.epoch, sequence) == (0, 1)
    assert len(first.instance) == 36
    shutil.copytree(original, copy)
    assert await life(original) == (first, 2)
    assert await life(copy) == (first._replace(epoch=1), SEQUENCE_STRIDE + 1)
    assert await life(copy) == (first._replace(epoch=1), SEQUENCE_STRIDE + 2)


async def test_a_directory_that_is_moved_is_no_copy(tmp_path: Path) -> None:
    first, _ = await life(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert await life(tmp_path / "there") == (first, 2)


async def test_a_restore_begins_one_epoch(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, _ = await life(data)
    back_up(data, tmp_path / "backup")
    for epoch in (1, 2):
        restore(tmp_path / "backup", data, replace=True)
        assert await life(data) == (first._replace(epoch=epoch), epoch * SEQUENCE_STRIDE + 1)
        (tmp_path / "backup").unlink()
        back_up(data, tmp_path / "backup")


def test_a_database_of_before_has_no_home_yet_and_is_no_copy(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    writer = directory.writer()
    writer.execute("DELETE FROM meta WHERE name IN ('home', 'instance', 'epoch')")
    writer.close()
    directory.close()
    DataDirectory(tmp_path).close()
    with inspect(tmp_path) as store:
        assert store.lineage().epoch == 0
        assert store.lineage().instance


def test_a_directory_keeps_its_id_where_it_is_moved_and_a_copy_has_another(tmp_path: Path) -> None:
    here, there, copy = tmp_path / "here", tmp_path / "there", tmp_path / "copy"
    here.mkdir()
    holder = holder_of(here)
    assert holder_of(here) == holder
    shutil.copytree(here, copy)
    assert holder_of(copy) != holder
    here.rename(there)
    assert holder_of(there) == holder
