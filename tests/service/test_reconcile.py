"""ReconcileSlaTrackings: every difference is told, and what is near enough is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.instants import MINUTE_MS
from slad.service import bulk
from tests.service.importing import (
    FRIDAY_9,
    RESOLUTION,
    RESPONSE,
    STATUS,
    import_rows,
    pause_of,
    row,
    status_of,
)
from tests.service.reconciling import (
    CASES,
    MISSING,
    ORPHANED,
    SCHEDULES,
    TARGET,
    Row,
    complete,
    differences,
    full,
    pause,
    reconcile,
    resume,
    seen,
)
from tests.service.test_bad_input import everything
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target, told


async def test_every_kind_of_difference_is_told_with_its_field_and_both_values(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, full(), row("office", tenant_id="globex"))
        before = await everything(slad)
        for case in CASES:
            with subtests.test(case.name):
                found = await differences(slad, case.row)
                expected = case.expected
                if case.name in SCHEDULES:
                    expected = [(TARGET, "start.schedule", SCHEDULES[case.name], "schedule 1")]
                assert seen(found) == [("T-1", *each) for each in expected]
                assert not any(d.mended for d in found)
        assert await everything(slad) == before, "apply was not asked for"


async def test_missing_and_orphaned(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, *(row(name) for name in ("both", "done", "dropped", "orphan")))
        await complete(slad, "done", RESOLUTION)
        await slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="dropped"))
        found = await differences(slad, row("both"), row("new"), row("done"), row("dropped"))
        assert seen(found) == [
            ("new", MISSING, "state", "ACTIVE", ""),
            ("done", MISSING, "state", "ACTIVE", "COMPLETED"),
            ("dropped", MISSING, "state", "ACTIVE", "CANCELLED"),
            ("orphan", ORPHANED, "state", "", "ACTIVE"),
        ]
        assert seen(await differences(slad, tenant="nobody")) == []
        assert seen(await differences(slad, row("new", tenant_id=""), tenant="nobody")) == [
            ("new", MISSING, "state", "ACTIVE", "")
        ]


async def test_what_commands_made_equals_what_the_psa_says_of_it(tmp_path: Path) -> None:
    """Late, twice and in the wrong order; and terms that a retarget brought."""
    async with slad_running(tmp_path) as slad:
        await slad.start(started_at=stamp(FRIDAY_9))
        minute = [FRIDAY_9 + n * MINUTE_MS for n in range(100)]
        await resume(slad, "T-1", minute[50])
        await pause(slad, "T-1", minute[40])
        await pause(slad, "T-1", minute[45], STATUS)
        await complete(slad, "T-1", RESPONSE, effective_at=stamp(minute[30]), met=False)
        await complete(slad, "T-1", RESPONSE, effective_at=stamp(minute[20]))
        await pause(slad, "T-1", minute[70], STATUS)
        request = rpc.RetargetSlaRequest(
            ticket_id="T-1", policy_id="silver", targets=[target(90, 300)], schedule=OFFICE
        )
        await slad.backend.RetargetSla(request)
        same = row(
            started_at=FRIDAY_9,
            policy_id="silver",
            targets=[target(90, 300)],
            pauses=[pause_of(minute[40], minute[50]), pause_of(minute[70], reason=STATUS)],
            response_at=minute[20],
        )
        assert await differences(slad, same) == []


async def test_a_start_that_is_left_out_is_not_compared(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(started_at=stamp(FRIDAY_9))
        assert await differences(slad, row(started_at=None)) == []
        await reconcile(slad, row(started_at=None, policy_id="silver"), apply=True)
        assert (await status_of(slad)).started_at.ToMilliseconds() == FRIDAY_9


async def test_without_differences_nothing_is_mended(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, full())
        before = await everything(slad)
        assert await differences(slad, full(), apply=True) == []
        assert await everything(slad) == before


async def test_a_list_longer_than_a_reply_is_cut_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_LISTED", 10)
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, *(row(f"orphan-{n}") for n in range(8)))
        wanted = [row(f"T-{n}") for n in range(17)]
        rounds = []
        for _ in range(4):
            reply = await reconcile(slad, *wanted, apply=True, size=6)
            assert all(d.mended for d in reply.differences)
            rounds.append((len(reply.differences), reply.truncated))
        assert rounds == [(10, True), (10, True), (5, False), (0, False)]


async def test_a_reply_stays_within_what_clients_take(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        often = [pause_of(FRIDAY_9 + n * 10_000, FRIDAY_9 + n * 10_000 + 1_000, STATUS) for n in range(1_000)]
        rows = [row(f"T-{n}", started_at=FRIDAY_9) for n in range(45)]
        await import_rows(slad, *rows)
        for each in rows:
            each.pauses.extend(often)
        reply = await reconcile(slad, *rows, size=20)
        assert len(reply.differences) == 45
        assert reply.ByteSize() < 2 * 1024 * 1024
        assert all(len(difference.psa_value) == 501 for difference in reply.differences), (
            "cut, not for reading"
        )


async def test_what_does_not_fit_is_neither_listed_nor_mended_and_comes_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_REPLY_BYTES", 500)
    async with slad_running(tmp_path) as slad:
        rows = [row(f"T-{n}", started_at=FRIDAY_9) for n in range(30)]
        mended: list[str] = []
        for _ in range(10):
            reply = await reconcile(slad, *rows, apply=True)
            assert all(difference.mended for difference in reply.differences)
            mended += [difference.ticket_id for difference in reply.differences]
            if not reply.truncated:
                break
        assert mended == [f"T-{n}" for n in range(30)]
        assert reply.ByteSize() <= 600


# --- what a list leaves out, and what is near enough


async def test_a_row_without_thresholds_neither_differs_in_them_nor_changes_them(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(notification_thresholds=[60, 80], targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=40)
        before = await slad.events()
        silent = row(started_at=None, notification_thresholds=[], targets=[target(60, None, (0, 0, 0))])
        assert await differences(slad, silent, apply=True) == []
        assert await slad.events() == before
        silent.start.policy_id = "silver"
        found = await differences(slad, silent, apply=True)
        assert [(d.field, d.mended) for d in found] == [("start.policy_id", True)]
        clock = (await status_of(slad)).response
        assert [t.percent for t in clock.thresholds] == [60, 80, 100]
        assert told((await slad.events())[len(before) :]) == ["RETARGETED"], "60 stays fired"


async def test_an_imported_row_without_thresholds_leaves_those_of_a_live_ticket(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(notification_thresholds=[60, 80], targets=[target(60, None, (0, 0, 0))])
        reply = await import_rows(slad, row(notification_thresholds=[]))
        assert (reply.created, reply.kept) == (0, 1)
        assert [t.percent for t in (await status_of(slad)).response.thresholds] == [60, 80, 100]


def off(ms: int) -> Row:
    """The ticket of `test_…_within_the_tolerance…`, with each instant off by so much."""
    return row(
        started_at=MONDAY_9 + ms,
        pauses=[
            pause_of(MONDAY_9 + 5 * MINUTE_MS - ms, MONDAY_9 + 10 * MINUTE_MS + ms),
            pause_of(MONDAY_9 + 20 * MINUTE_MS + ms),
        ],
        response_at=MONDAY_9 + 15 * MINUTE_MS - ms,
    )


async def tolerated(slad: Slad) -> None:
    await slad.start("T-1")
    await slad.advance(minutes=30)
    await pause(slad, "T-1", MONDAY_9 + 5 * MINUTE_MS)
    await resume(slad, "T-1", MONDAY_9 + 10 * MINUTE_MS)
    await complete(slad, "T-1", RESPONSE, effective_at=stamp(MONDAY_9 + 15 * MINUTE_MS))
    await pause(slad, "T-1", MONDAY_9 + 20 * MINUTE_MS)


@pytest.mark.parametrize("ms", [1, 1_500, 2_000])
async def test_instants_within_the_tolerance_are_the_same_and_slads_stay(tmp_path: Path, ms: int) -> None:
    async with slad_running(tmp_path) as slad:
        await tolerated(slad)
        before = await everything(slad)
        assert await differences(slad, off(ms), apply=True, tolerance={"seconds": 2}) == []
        assert await everything(slad) == before
        found = await differences(slad, off(ms))
        assert {d.field for d in found} == {"start.started_at", "pauses", "response_completed_at"}, (
            "default: 0"
        )


async def test_instants_beyond_the_tolerance_differ_and_those_within_stay_when_mended(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await tolerated(slad)
        found = await differences(slad, off(2_001), tolerance={"seconds": 2})
        assert {d.field for d in found} == {"start.started_at", "pauses", "response_completed_at"}
        wanted = off(1_000)
        wanted.response_completed_at.FromMilliseconds(MONDAY_9 + 16 * MINUTE_MS)
        found = await differences(slad, wanted, apply=True, tolerance={"seconds": 2})
        assert [(d.field, d.mended) for d in found] == [("response_completed_at", True)]
        got = await status_of(slad)
        assert got.started_at.ToMilliseconds() == MONDAY_9
        assert got.response.completed_at.ToMilliseconds() == MONDAY_9 + 16 * MINUTE_MS
        assert got.total_pause_minutes == 15
        assert await differences(slad, wanted, tolerance={"seconds": 2}) == []


async def test_a_tolerance_is_not_negative(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        got = await refused(reconcile(slad, row("T-1"), tolerance={"seconds": -1}))
        assert (got.fields, got.reason) == (["tolerance"], "MALFORMED_DURATION")
