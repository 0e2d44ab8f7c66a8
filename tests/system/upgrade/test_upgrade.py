"""A database of every schema that ever landed is opened, and tells what it told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from slad.storage.database import migrations
from tests.slad_under_test import slad_running
from tests.system.upgrade.make_fixture import FIXTURES, LATER, seen

NAMES = sorted(path.name.removesuffix(".db.gz") for path in FIXTURES.glob("*.db.gz"))


def test_every_schema_has_a_fixture() -> None:
    assert [f"schema-{number:04}" for number, _ in migrations()] == NAMES


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


def _holds(now: Any, then: Any) -> bool:
    """Whether `now` says all that `then` said; it may say more."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and _holds(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return len(now) == len(then) and all(map(_holds, now, then))
    return bool(now == then)
