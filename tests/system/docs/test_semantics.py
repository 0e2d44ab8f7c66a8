"""The example of AlgaPSA's pause accounting in docs/semantics.md, played as it stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.paths import ROOT
from tests.slad_under_test import MONDAY_9, OFFICE, slad_running, target

SEMANTICS = (ROOT / "docs" / "semantics.md").read_text("utf-8")
HOUR_MS = 3_600_000


def table() -> dict[str, tuple[str, str]]:
    """What the example says, by row: (business time, wall clock)."""
    section = SEMANTICS.split("## AlgaPSA's pause accounting")[1].split("\n## ")[0]
    assert "\n| | `BUSINESS_TIME` | `ALGA_WALL_CLOCK` |\n" in section
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    return {name.strip(): (business.strip(), wall.strip()) for name, business, wall in rows}


def told(clock: pb.SlaClock, percent: int) -> str:
    (instant,) = [t.scheduled_at for t in clock.thresholds if t.percent == percent]
    return f"{instant.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}"


async def example(tmp_path: Path, accounting: pb.PauseAccounting.ValueType) -> list[str]:
    """What slad says to each row of the table."""
    assert datetime.fromtimestamp(MONDAY_9 / 1000, UTC) == datetime(2026, 3, 2, 9, tzinfo=UTC)
    async with slad_running(tmp_path) as slad:
        await slad.start(
            targets=[target(None, 600, (0, 0, 0))],
            schedule=OFFICE,
            notification_thresholds=[50, 75, 90],
            pause_accounting=accounting,
        )
        await slad.advance(hours=7)
        paused = await slad.backend.PauseSla(
            rpc.PauseSlaRequest(ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
        )
        before = told(paused.status.resolution, 100)
        await slad.advance(ms=18 * HOUR_MS + 59_000)
        resumed = await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id="T-1"))
        clock = resumed.status.resolution
        await slad.advance(ms=6 * HOUR_MS - 59_000)
        ended = await slad.backend.CompleteSla(
            rpc.CompleteSlaRequest(ticket_id="T-1", phase=pb.SLA_PHASE_RESOLUTION)
        )
    verdict = "met" if ended.met else "missed"
    return [before, *(told(clock, percent) for percent in (50, 75, 90, 100)), verdict]


async def test_the_example_of_wall_clock_pauses(tmp_path: Path) -> None:
    rows = table()
    business = await example(tmp_path / "business", pb.PAUSE_ACCOUNTING_BUSINESS_TIME)
    wall = await example(tmp_path / "wall", pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK)
    assert list(rows.values()) == list(zip(business, wall, strict=True))
