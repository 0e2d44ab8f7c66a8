"""ReconcileSlaTrackings with `apply`: what differs is mended, what is equal is left alone."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.importing import (
    FRIDAY_9,
    RESOLUTION,
    RESPONSE,
    STATUS,
    announced,
    held_slad,
    import_rows,
    pause_of,
    row,
    standing,
    status_of,
    tracked,
)
from tests.service.reconciling import (
    CASES,
    FULL_FACTS,
    SCHEDULES,
    Row,
    complete,
    differences,
    full,
    pause,
    reconcile,
    resume,
    seen,
)
from tests.slad_under_test import MONDAY_9, OFFICE, slad_running, target, told


@pytest.mark.slow
async def test_apply_mends_each_kind_and_a_second_run_finds_nothing(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, row("office", tenant_id="globex"))
        for number, case in enumerate(CASES):
            tenant = f"tenant-{number}"
            with subtests.test(case.name):
                await import_rows(slad, full(tenant_id=tenant))
                case.row.start.tenant_id = tenant
                found = await differences(slad, case.row, tenant=tenant, apply=True)
                assert bool(found) is bool(case.expected or case.name in SCHEDULES)
                assert all(d.mended for d in found)
                assert await differences(slad, case.row, tenant=tenant, apply=True) == []


async def test_apply_starts_what_is_missing_and_cancels_what_is_orphaned(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await import_rows(slad, *(row(name) for name in ("done", "orphan")))
        await complete(slad, "done", RESOLUTION)
        missing = row("new", **FULL_FACTS, started_at=FRIDAY_9, suppress_past=True)
        found = await differences(slad, missing, row("done"), apply=True)
        assert [(d.ticket_id, d.mended) for d in found] == [("new", True), ("done", True), ("orphan", True)]
        assert (await status_of(slad, "new")).is_paused
        assert (await status_of(slad, "done")).generation == 2
        assert (await status_of(slad, "orphan")).state == pb.SLA_TRACKING_STATE_CANCELLED
        assert told(e for e in await slad.events() if e.ticket_id == "new") == [
            "STARTED", "RESPONSE PHASE_COMPLETED", "PAUSED", "RESUMED", "PAUSED"
        ]  # fmt: skip
        assert await differences(slad, missing, row("done"), apply=True) == []


@pytest.mark.usefixtures("engine")
async def test_mending_keeps_fired_thresholds_that_are_still_true_and_retracts_the_others_once(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await slad.advance(minutes=50)  # 50 and 75 % have fired
        psa = row(
            targets=[target(60, None, (0, 0, 0))],
            pauses=[pause_of(MONDAY_9 + 10 * MINUTE_MS, MONDAY_9 + 20 * MINUTE_MS)],
        )
        before = await slad.events()
        assert [d.mended for d in await differences(slad, psa, apply=True)] == [True]
        await reconcile(slad, psa, apply=True)
        events = await slad.events(before[-1].sequence)
        assert told(events) == ["PAUSED", "RESUMED", "RESPONSE 75 RETRACTED"]
        assert [e.occurred_at.ToMilliseconds() for e in events[:2]] == [
            MONDAY_9 + 10 * MINUTE_MS, MONDAY_9 + 20 * MINUTE_MS
        ]  # fmt: skip
        assert (await status_of(slad)).response.elapsed.ToMilliseconds() == 40 * MINUTE_MS
        await slad.advance(minutes=5)
        assert told(await slad.events(events[-1].sequence)) == ["RESPONSE 75 REACHED"]


@pytest.mark.usefixtures("engine")
async def test_mending_to_shorter_terms_fires_what_is_past_at_once_or_silently(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for ticket in ("loud", "quiet"):
            await slad.start(ticket, targets=[target(100, None, (0, 0, 0))])
        await slad.advance(minutes=50)
        before = await slad.events()
        shorter = [target(60, None, (0, 0, 0))]
        rows = row("loud", targets=shorter), row("quiet", targets=shorter, suppress_past=True)
        await reconcile(slad, *rows, apply=True)
        events = await slad.events(before[-1].sequence)
        assert [(e.ticket_id, t) for e, t in zip(events, told(events), strict=True)] == [
            ("loud", "RETARGETED"), ("loud", "RESPONSE 75 REACHED"), ("quiet", "RETARGETED")
        ]  # fmt: skip


@pytest.mark.usefixtures("engine")
async def test_a_pause_that_never_was_is_taken_back(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, (0, 0, 0))])
        await pause(slad, "T-1", MONDAY_9)
        await slad.advance(minutes=50)
        await reconcile(slad, row(targets=[target(60, None, (0, 0, 0))]), apply=True)
        assert told(await slad.events()) == [
            "STARTED", "PAUSED", "RESUMED", "RESPONSE 50 REACHED", "RESPONSE 75 REACHED"
        ]  # fmt: skip
        assert not (await status_of(slad)).is_paused


async def test_other_tenants_are_left_alone(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for tenant in ("acme", "globex"):
            await import_rows(slad, row("shared", tenant_id=tenant), row(f"{tenant}-only", tenant_id=tenant))
        before = await tracked(slad, "globex")
        found = await differences(slad, row("shared", targets=[target(5, 5)]), apply=True)
        assert {d.ticket_id for d in found} == {"shared", "acme-only"}
        assert await tracked(slad, "globex") == before
        assert {e.tenant_id for e in (await slad.events())[4:]} == {"acme"}


class Told(NamedTuple):
    """What one side says of a ticket; ms before now."""

    minutes: int
    percents: tuple[int, ...]
    office: bool
    started: int
    pauses: tuple[tuple[int, int | None], ...]
    response: int | None

    def row(self, ticket: str, tenant: str, now: int) -> Row:
        return row(
            ticket,
            tenant_id=tenant,
            targets=[target(self.minutes, 4 * self.minutes, (0, 80, 0))],
            notification_thresholds=self.percents,
            schedule=OFFICE if self.office else pb.BusinessHoursSchedule(is_24x7=True),
            started_at=now - self.started,
            pauses=[pause_of(now - p, None if r is None else now - r) for p, r in self.pauses],
            response_at=None if self.response is None else now - self.response,
        )


@st.composite
def tellings(draw: st.DrawFn) -> Told:
    # Few values, so that the two sides often agree in something.
    started = draw(st.sampled_from([0, 30, 300, 3_000])) * MINUTE_MS
    ago = st.sampled_from([n * started // 8 for n in range(9)])
    cuts = sorted(draw(st.sets(ago, max_size=5)), reverse=True)
    ends: list[int | None] = [*cuts[1::2], None]
    return Told(
        draw(st.sampled_from([20, 60, 500])),
        draw(st.sampled_from([(50,), (25, 75), (110,)])),
        draw(st.booleans()),
        started,
        tuple(zip(cuts[::2], ends, strict=False)),
        draw(st.none() | ago),
    )


class Both(NamedTuple):
    """One ticket as slad has it (None: not at all), how it ended there, and as the PSA has it open."""

    slad: Told | None
    ending: str
    psa: Told | None


BOTH_SIDES = st.builds(
    Both,
    st.none() | tellings(),
    st.sampled_from(["", "", "", "completed", "cancelled"]),
    st.none() | tellings(),
) | tellings().map(lambda told: Both(told, "", told))


@pytest.mark.slow
def test_after_mending_slad_says_what_the_psa_says(tmp_path: Path) -> None:
    """Whatever slad had: a second run finds nothing, and each ticket stands as if it had been imported."""
    numbers = count()

    with held_slad(tmp_path) as held:
        slad = held.slad

        async def mend(tickets: list[Both], later_minutes: int) -> None:
            tenant, pristine, now = f"mended-{(n := next(numbers))}", f"pristine-{n}", slad.now
            first = (await slad.start("orphan", tenant_id=tenant)).status
            names = [f"T-{place}" for place in range(len(tickets))]
            await import_rows(
                slad,
                *(both.slad.row(t, tenant, now) for t, both in zip(names, tickets, strict=True) if both.slad),
            )
            for ticket, both in zip(names, tickets, strict=True):
                if both.slad and both.ending == "completed":
                    await complete(slad, ticket, RESOLUTION, tenant_id=tenant)
                elif both.slad and both.ending:
                    await slad.backend.CancelSla(rpc.CancelSlaRequest(tenant_id=tenant, ticket_id=ticket))
            await slad.advance(minutes=later_minutes)
            psa = {t: both.psa for t, both in zip(names, tickets, strict=True) if both.psa}
            rows = [each.row(t, tenant, now) for t, each in psa.items()]
            looked = await differences(slad, *rows, tenant=tenant)
            found = await differences(slad, *rows, tenant=tenant, apply=True)
            assert seen(found) == seen(looked)
            assert all(d.mended for d in found)
            assert await differences(slad, *rows, tenant=tenant, apply=True) == []

            await import_rows(slad, *(each.row(t, pristine, now) for t, each in psa.items()))
            events = [e for e in await slad.events() if e.tenant_id in (tenant, pristine)]
            assert first.ticket_id in {e.ticket_id for e in events if e.type == pb.SLA_EVENT_TYPE_CANCELLED}
            for ticket in psa:
                mended = await status_of(slad, ticket, tenant)
                imported = await status_of(slad, ticket, pristine)
                assert standing(mended) == standing(imported)
                of_mended, of_imported = (
                    announced(
                        e
                        for e in events
                        if (e.ticket_id, e.tenant_id, e.generation) == (ticket, t, s.generation)
                    )
                    for t, s in ((tenant, mended), (pristine, imported))
                )
                # A percent that the new terms do not name stays announced while it is true.
                assert of_imported.keys() <= of_mended.keys()
                named = {
                    (phase, threshold.percent)
                    for phase, clock in ((RESPONSE, mended.response), (RESOLUTION, mended.resolution))
                    for threshold in clock.thresholds
                }
                assert named & of_mended.keys() == of_imported.keys()

        @settings(max_examples=30)
        @given(tickets=st.lists(BOTH_SIDES, min_size=1, max_size=5), later=st.sampled_from([0, 10, 600]))
        def property_holds(tickets: list[Both], later: int) -> None:
            held.run(mend(tickets, later))

        property_holds()


# --- what mending gets wrong


async def test_a_response_that_the_resolution_left_unjudged_is_no_difference(tmp_path: Path) -> None:
    """K7, of a ticket that was reopened: what slad exports of it is what it has."""
    async with slad_running(tmp_path) as slad:
        await slad.start(response_on_resolution=pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED)
        await complete(slad, "T-1", RESOLUTION)
        await slad.advance(hours=1)
        mode = pb.REOPEN_MODE_RESUME
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=mode))
        export = slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest())
        rows = [row async for reply in export for row in reply.trackings]
        assert [row.closed[0].resolved for row in rows] == [True]
        assert await differences(slad, *rows) == []


@pytest.mark.usefixtures("engine")
async def test_mending_a_reopened_ticket_leaves_the_time_out_in_which_it_was_closed(tmp_path: Path) -> None:
    """M5, RESUME: the closed time does not count; a new target does not change that."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 100)])
        await slad.advance(minutes=60)
        await complete(slad, "T-1", RESOLUTION)
        await slad.advance(minutes=120)
        await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-1", mode=pb.REOPEN_MODE_RESUME))
        psa = row(targets=[target(None, 200)], response_at=MONDAY_9 + HOUR_MS)
        await reconcile(slad, psa, apply=True)
        assert (await status_of(slad)).resolution.elapsed.ToMilliseconds() == HOUR_MS


@pytest.mark.usefixtures("engine")
async def test_mending_announces_that_a_ticket_is_paused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await slad.advance(minutes=20)
        await pause(slad, "T-1", MONDAY_9 + 5 * MINUTE_MS)
        await resume(slad, "T-1", MONDAY_9 + 10 * MINUTE_MS)
        before = await slad.events()
        await reconcile(slad, row(pauses=[pause_of(MONDAY_9 + 5 * MINUTE_MS)]), apply=True)
        assert (await status_of(slad)).is_paused
        assert told(await slad.events(before[-1].sequence)) == ["PAUSED"]


@pytest.mark.parametrize(
    "psa",
    [
        row(pauses=[pause_of(MONDAY_9, reason=STATUS)], response_at=MONDAY_9),
        row(pauses=[pause_of(MONDAY_9)]),
    ],
    ids=["reason", "completion"],
)
async def test_every_change_by_mending_commits_an_event(tmp_path: Path, psa: Row) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await complete(slad, "T-1", RESPONSE)
        await pause(slad, "T-1", MONDAY_9)
        before = await slad.events()
        assert [d.mended for d in await differences(slad, psa, apply=True)] == [True]
        assert await slad.events(before[-1].sequence)


async def test_a_difference_in_pause_accounting_is_told(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        found = await differences(slad, row(pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK))
        assert [d.field for d in found] == ["start.pause_accounting"]
