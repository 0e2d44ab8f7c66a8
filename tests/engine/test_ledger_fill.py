"""The ledger is filled for tickets of before it: whole, once, whenever slad is stopped (A1)."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import apsw
import pytest
from slad_client.v1 import attainment_pb2 as pb

from slad.engine import ledger_fill
from tests.slad_under_test import MONDAY_9, Slad, slad_running
from tests.system.upgrade.make_fixture import FIXTURES, LATER

BEFORE_THE_LEDGER = "schema-0006"
MINUTE = 60_000


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    """The data of a slad that kept no ledger."""
    (tmp_path / "slad.db").write_bytes(
        gzip.decompress((FIXTURES / f"{BEFORE_THE_LEDGER}.db.gz").read_bytes())
    )
    return tmp_path


async def report(slad: Slad, as_of: int | None = None) -> pb.ReportSlaResponse:
    request = pb.ReportSlaRequest(
        tenant_id="acme", by=pb.SLA_REPORT_BY_CLOSED, group_by=[pb.SLA_GROUP_KEY_CLOCK]
    )
    request.from_time.FromMilliseconds(MONDAY_9 - 100 * 3_600_000)
    request.to_time.FromMilliseconds(MONDAY_9 + 100 * 3_600_000)
    if as_of is not None:
        request.as_of.FromMilliseconds(as_of)
    return await slad.backend.ReportSla(request)


async def filled(slad: Slad) -> pb.ReportSlaResponse:
    async with asyncio.timeout(60):
        while (reply := await report(slad)).unfilled:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
    return reply


def stored(data: Path, query: str) -> int:
    connection = apsw.Connection(str(data / "slad.db"))
    try:
        return int(connection.execute(query).get)
    finally:
        connection.close()


def figures(reply: pb.ReportSlaResponse) -> dict[str, tuple[int, int, int]]:
    return {row.group[0]: (row.met, row.missed, row.none) for row in reply.rows}


# The fixture has a response that was given, one that a resolution brought with it (and which the reopened
# generation has now), and a ticket that was cancelled.
EXPECTED = {"response": (2, 0, 1), "resolution": (0, 0, 1)}


async def test_what_had_closed_is_taken_in(old_database: Path) -> None:
    async with slad_running(old_database, now=LATER) as slad:
        reply = await filled(slad)
        assert figures(reply) == EXPECTED
        earlier = await report(slad, as_of=MONDAY_9 + 39 * MINUTE)
        assert figures(earlier) == {}, "as of before the closing nothing had closed"
        at_the_closing = await report(slad, as_of=MONDAY_9 + 40 * MINUTE)
        assert figures(at_the_closing) == EXPECTED


async def test_a_fill_that_was_cut_off_goes_on(old_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = stored(old_database, "SELECT max(tracking_key) FROM tracking")
    with monkeypatch.context() as slow:
        slow.setattr(ledger_fill, "AT_ONCE", 2)
        slow.setattr(ledger_fill, "PAUSE_S", 3_600)
        async with slad_running(old_database, now=LATER) as slad:
            async with asyncio.timeout(60):
                while (unfilled := (await report(slad)).unfilled) == newest:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.02)
            assert 0 < unfilled < newest
    async with slad_running(old_database, now=LATER) as slad:
        assert figures(await filled(slad)) == EXPECTED
    assert stored(old_database, "SELECT max(revision) FROM ledger") == 1


async def test_what_would_be_older_than_the_ledger_is_kept_is_left_out(
    old_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slad_running(old_database, now=LATER + 800 * 86_400_000) as slad:
        assert figures(await filled(slad)) == {}


async def test_a_new_database_has_nothing_to_fill(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        assert (await report(slad)).unfilled == 0
