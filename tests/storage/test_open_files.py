"""Files that are removed or replaced under a running daemon: it says so, and acknowledges nothing more."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slad.service.server import SLA_BACKEND
from slad.storage.open_files import FilesLost, OpenFiles
from tests.slad_under_test import Slad, refused, slad_running

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def _removed(data: Path) -> None:
    for path in data.glob("slad.db*"):
        path.unlink()


def _replaced(data: Path) -> None:
    shutil.copy(data / "slad.db", data / "copy")
    (data / "copy").rename(data / "slad.db")


def _wal_removed(data: Path) -> None:
    (data / "slad.db-wal").unlink()


def _moved(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


async def health(slad: Slad) -> int:
    stub = health_pb2_grpc.HealthStub(slad.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=SLA_BACKEND.full_name))).status)


async def becomes(slad: Slad, status: int) -> None:
    async with asyncio.timeout(30):
        while await health(slad) != status:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("happens", [_removed, _replaced, _wal_removed, _moved])
async def test_an_idle_daemon_notices_and_nothing_is_acknowledged(
    tmp_path: Path, happens: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    async with slad_running(data, now=None) as slad:
        await slad.start("A")
        happens(data)
        assert (await refused(slad.start("B"))).reason == "CANNOT_WRITE"
        await becomes(slad, NOT_SERVING)
        assert "while slad has it open" in slad.daemon.status()
    assert "while slad has it open" in caplog.text


async def test_without_a_command_it_is_noticed_too_and_what_is_put_back_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with slad_running(data, now=None) as slad:
        await slad.start("A")
        _moved(data)
        await becomes(slad, NOT_SERVING)
        data.with_name("elsewhere").rename(data)
        await becomes(slad, SERVING)
        await slad.start("B")


def test_only_what_was_seen_is_missed(tmp_path: Path) -> None:
    (tmp_path / "slad.db").touch()
    files = OpenFiles(tmp_path / "slad.db")
    files.check()
    (tmp_path / "slad.db-wal").touch()
    files.check()
    os.unlink(tmp_path / "slad.db-wal")
    with pytest.raises(FilesLost, match=r"slad.db-wal was removed or moved while"):
        files.check()
