"""The places of a lease, each as it really is: a file, an object of an S3 server, a command."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slad.daemon.fence.lease import Holding
from slad.daemon.fence.places import Changed, Place, Seen, Unreachable, place_at
from tests.paths import ROOT
from tests.trials.replication.lease_api import Leases, lease_api
from tests.trials.replication.litestream import BUCKET, KEYS, s3_server

COMMAND = """#!/bin/sh
# A place as the documents describe it: versions are numbers, the document a file.
cd {folder} || exit 1
case $1 in
read)
  [ -e version ] || exit 0
  cat version document
  ;;
write)
  exec 9>lock && flock 9
  [ "$(cat version 2>/dev/null)" = "$2" ] || exit 3
  cat >document
  echo $(($2 + 1)) | tee version
  ;;
esac
"""


@pytest.fixture(params=["file", "s3", "exec"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "file":
        yield place_at(str(tmp_path / "fence"))
    elif request.param == "exec":
        command = tmp_path / "lease"
        command.write_text(COMMAND.format(folder=tmp_path))
        command.chmod(0o700)
        yield place_at(f"exec:{command}")
    else:
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        with s3_server(tmp_path) as address:
            yield place_at(f"s3://{BUCKET}/fence?endpoint=http://{address}&region=us-east-1")


@pytest.mark.slow
async def test_a_document_is_only_replaced_by_who_knows_its_version(place: Place) -> None:
    assert await place.read() is None
    first = await place.write(b"one", None)
    for version in (None, "1234"):
        with pytest.raises(Changed):
            await place.write(b"two", version)
    seen = await place.read()
    assert seen is not None
    assert (seen.content, seen.version) == (b"one", first)
    second = await place.write(b"two", first)
    with pytest.raises(Changed):
        await place.write(b"three", first)
    seen = await place.read()
    assert seen is not None
    assert (seen.content, seen.version) == (b"two", second)


@pytest.mark.slow
async def test_of_many_writers_of_one_version_one_succeeds(place: Place) -> None:
    version = await place.write(b"zero", None)
    for _ in range(5):
        outcomes = await asyncio.gather(
            *(place.write(f"{number} after {version}".encode(), version) for number in range(8)),
            return_exceptions=True,
        )
        (version,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert all(isinstance(outcome, Changed | str) for outcome in outcomes)


@pytest.mark.slow
async def test_the_age_of_a_document_is_told_by_one_clock(place: Place) -> None:
    await place.write(b"one", None)
    seen, now = await place.read(), await place.now()
    assert seen is not None
    if now is None:
        assert seen.modified_at is None
    else:
        assert seen.modified_at is not None
        assert 0 <= now - seen.modified_at <= 5_000
        assert abs(now / 1_000 - time.time()) <= 5


async def test_a_file_that_somebody_else_is_changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slad.daemon.fence.places.LOCK_S", 0.05)
    other = os.open(tmp_path / "fence.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(Unreachable, match="Resource temporarily unavailable"):
        await place_at(str(tmp_path / "fence")).write(b"one", None)
    os.close(other)
    await place_at(str(tmp_path / "fence")).write(b"one", None)
    assert sorted(os.listdir(tmp_path)) == ["fence", "fence.lock"]


async def test_what_root_adopts_is_the_folders_and_its_groups(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 1234, 5678)
    await place_at(str(tmp_path / "fence")).write(b"one", None)
    owner = os.stat(tmp_path)
    for name in ("fence", "fence.lock"):
        found = os.stat(tmp_path / name)
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o660, owner.st_uid, owner.st_gid)


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        ("/nowhere/fence", "No such file or directory"),
        ("exec:/nowhere/lease", "/nowhere/lease: No such file or directory"),
        ("exec:/bin/false", "/bin/false: "),
        ("s3://acme-slad/fence?endpoint=http://127.0.0.1:1&region=us-east-1", "127.0.0.1:1"),
    ],
)
async def test_a_place_that_does_not_answer(
    where: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unreachable, match=complaint):
        await place_at(where).write(b"one", None)


async def test_a_store_that_does_not_heed_conditions_is_no_place(tmp_path: Path) -> None:
    """Some stores take If-None-Match and If-Match for headers that they need not know."""

    async def careless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n')

    os.environ.update(KEYS)
    server = await asyncio.start_server(careless, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with pytest.raises(Unreachable, match="the store ignores If-None-Match and If-Match"):
        await place_at(f"s3://acme/fence?endpoint=http://{host}:{port}&region=us-east-1").write(b"one", None)
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_lease_in_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def document(epoch: int, lease_ms: int = 15_000) -> bytes:
        return msgspec.json.encode(Holding("i", epoch, "h", "r", "desk-1", 1_800_000_000_123, lease_ms))

    place, leases = place_at(f"exec:{ROOT}/ops/kubernetes/replicated/slad-lease"), Leases()
    with lease_api(tmp_path, leases, host) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert await place.read() is None
        assert await place.write(document(0), "7"), "removed meanwhile: it is made again"
        leases.objects.clear()
        first = await place.write(document(0), None)
        with pytest.raises(Changed):
            await place.write(document(1), None)
        second = await place.write(document(1), first)
        with pytest.raises(Changed):
            await place.write(document(2), first)
        assert await place.read() == Seen(document(1), second)
        assert leases.objects["slad"]["spec"] == {
            "holderIdentity": "desk-1",
            "leaseDurationSeconds": 15,
            "renewTime": "2027-01-15T08:00:00.123000Z",
            "leaseTransitions": 1,
        }
        await place.write(document(1, lease_ms=0), second)  # given back
        Path(env["SLAD_LEASE_ACCOUNT"], "token").write_text("another")  # noqa: ASYNC240 - a few bytes
        with pytest.raises(Unreachable, match="401"):
            await place.read()
    with pytest.raises(Unreachable, match="Connection refused"):
        await place.read()
