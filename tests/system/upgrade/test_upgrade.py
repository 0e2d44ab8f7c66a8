"""A database of every schema that ever landed is opened, and tells what it told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.storage.database import migrations
from tests.slad_under_test import OFFICE, slad_running
from tests.system.upgrade.make_fixture import FIXTURES, LATER, seen

NAMES = sorted(path.name.removesuffix(".db.gz") for path in FIXTURES.glob("*.db.gz"))


def test_every_schema_has_a_fixture() -> None:
    of_schemas = [name for name in NAMES if name.startswith("schema-")]
    assert [f"schema-{number:04}" for number, _ in migrations()] == of_schemas


@pytest.mark.parametrize("name", NAMES)
async def test_a_database_of_an_earlier_slad_is_read_and_goes_on(tmp_path: Path, name: str) -> None:
    (tmp_path / "slad.db").write_bytes(gzip.decompress((FIXTURES / f"{name}.db.gz").read_bytes()))
    expected = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    async with slad_running(tmp_path, now=LATER) as slad:
        got = await seen(slad)
        # What was added to the contract since may be there too; what was there has to be as it was.
        for kind in ("trackings", "events"):
            assert len(got[kind]) == len(expected[kind])
            for now, then in zip(got[kind], expected[kind], strict=True):
                assert _holds(now, then), (now, then)
        assert (await slad.start("running", request_id="start-running", attributes={"number": "0"})).created


async def test_named_clocks_of_an_earlier_slad_go_on(tmp_path: Path) -> None:
    (tmp_path / "slad.db").write_bytes(gzip.decompress((FIXTURES / "clocks-0006.db.gz").read_bytes()))
    async with slad_running(tmp_path, now=LATER) as slad:
        sender = pb.SLA_MESSAGE_SENDER_AGENT
        message = rpc.RecordSlaMessageRequest(tenant_id="acme", ticket_id="open", sender=sender)
        status = (await slad.backend.RecordSlaMessage(message)).status
        clocks = {clock.name: clock for clock in status.clocks}
        assert (clocks["next-reply"].cycle, clocks["next-reply"].cycles_met) == (1, 1)
        assert clocks["updates"].cycle == 3
        # Of its schedules no ids are known: a clock that counted by that of the ticket goes on to do so.
        request = rpc.RetargetSlaTrackingsRequest(
            tenant_id="acme", which=rpc.SlaTrackingSelection(ticket_ids=["open"])
        )
        request.schedule.CopyFrom(OFFICE)
        request.schedule.timezone = "Asia/Tokyo"
        moved = {
            d.clock async for reply in slad.backend.RetargetSlaTrackings(request) for d in reply.differences
        }
        assert moved == {"resolution", "updates"}, "level-2 and fix count by schedules of their own"


def _holds(now: Any, then: Any) -> bool:
    """Whether `now` says all that `then` said; it may say more."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and _holds(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return len(now) == len(then) and all(map(_holds, now, then))
    return bool(now == then)
