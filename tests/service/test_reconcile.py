"""ReconcileSlaTrackings: every difference is told, and mended when asked; what is equal is left alone."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.service import bulk
from slad.storage.store import Store
from tests.service.test_bad_input import add_holiday, everything, schedule
from tests.service.test_import import (
    CLIENT,
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
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target, told

MISSING = rpc.SLA_DIFFERENCE_KIND_MISSING
ORPHANED = rpc.SLA_DIFFERENCE_KIND_ORPHANED
TARGET = rpc.SLA_DIFFERENCE_KIND_DIFFERENT_TARGET
PAUSE = rpc.SLA_DIFFERENCE_KIND_DIFFERENT_PAUSE
COMPLETION = rpc.SLA_DIFFERENCE_KIND_DIFFERENT_COMPLETION

Row = rpc.SlaTrackingImport


def requests(
    rows: Iterable[Row],
    *,
    tenant: str = "acme",
    apply: bool = False,
    size: int = 1_000,
    tolerance: Any = None,
) -> list[rpc.ReconcileSlaTrackingsRequest]:
    every = list(rows)
    parts = [every[at : at + size] for at in range(0, len(every), size)] or [[]]
    messages = [
        rpc.ReconcileSlaTrackingsRequest(
            tenant_id=tenant, apply=apply, explicit_end=apply, trackings=part, tolerance=tolerance
        )
        for part in parts
    ]
    messages[-1].end = True
    return messages


async def reconcile(slad: Slad, *rows: Row, **how: Any) -> rpc.ReconcileSlaTrackingsResponse:
    return await slad.backend.ReconcileSlaTrackings(iter(requests(rows, **how)))


async def differences(slad: Slad, *rows: Row, **how: Any) -> list[rpc.SlaDifference]:
    return list((await reconcile(slad, *rows, **how)).differences)


def seen(found: Iterable[rpc.SlaDifference]) -> list[tuple[str, int, str, str, str]]:
    return [(d.ticket_id, d.kind, d.field, d.psa_value, d.slad_value) for d in found]


async def complete(slad: Slad, ticket: str, phase: pb.SlaPhase, **fields: Any) -> None:
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id=ticket, phase=phase, **fields))


async def pause(slad: Slad, ticket: str, at: int, reason: pb.SlaPauseReason = CLIENT) -> None:
    await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id=ticket, reason=reason, effective_at=stamp(at)))


async def resume(slad: Slad, ticket: str, at: int) -> None:
    await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id=ticket, effective_at=stamp(at)))


# --- what is told


FULL = {
    "targets": [
        pb.SlaPolicyTarget(priority_id="low", resolution_time_minutes=9_000),
        pb.SlaPolicyTarget(
            priority_id="high",
            response_time_minutes=60,
            resolution_time_minutes=240,
            escalation_1_percent=70,
            escalation_2_percent=90,
            escalation_3_percent=110,
        ),
    ],
    "priority_id": "high",
    "notification_thresholds": [50, 80],
    "started_at": FRIDAY_9,
}
FULL_FACTS = {
    "pauses": [
        pause_of(FRIDAY_9 + HOUR_MS, FRIDAY_9 + 2 * HOUR_MS, STATUS),
        pause_of(FRIDAY_9 + 3 * HOUR_MS),
    ],
    "response_at": FRIDAY_9 + 10 * MINUTE_MS,
}
HOLIDAYS = schedule(lambda s: (add_holiday("2026-12-25")(s), add_holiday("2026-05-01")(s)))


def full(**changes: Any) -> Row:
    """The row that slad has as well, or one that differs in so much."""
    return row(**(FULL | FULL_FACTS | {"schedule": HOLIDAYS} | changes))


def targets(**changes: Any) -> list[pb.SlaPolicyTarget]:
    low, high = FULL["targets"]  # type: ignore[misc]
    changed = pb.SlaPolicyTarget()
    changed.CopyFrom(high)
    for name, value in changes.items():
        if value is None:
            changed.ClearField(name)
        else:
            setattr(changed, name, value)
    return [low, changed]


class Case(NamedTuple):
    name: str
    row: Row
    expected: list[tuple[int, str, str, str]]


ONE = "2026-02-27T10:00:00Z/2026-02-27T11:00:00Z STATUS_PAUSE"
BOTH = f"{ONE}, 2026-02-27T12:00:00Z/ AWAITING_CLIENT"
HIGH = "start.targets[1]"

CASES = [
    Case("nothing", full(), []),
    Case(
        "response minutes",
        full(targets=targets(response_time_minutes=61)),
        [(TARGET, f"{HIGH}.response_time_minutes", "61", "60")],
    ),
    Case(
        "no response clock",
        full(targets=targets(response_time_minutes=None)),
        [(TARGET, f"{HIGH}.response_time_minutes", "", "60")],
    ),
    Case(
        "resolution minutes",
        full(targets=targets(resolution_time_minutes=239)),
        [(TARGET, f"{HIGH}.resolution_time_minutes", "239", "240")],
    ),
    *(
        Case(
            f"escalation {level}",
            full(targets=targets(**{f"escalation_{level}_percent": 60})),
            [(TARGET, f"{HIGH}.escalation_{level}_percent", "60", str(percent))],
        )
        for level, percent in ((1, 70), (2, 90), (3, 110))
    ),
    Case(
        "no escalation",
        full(targets=targets(escalation_3_percent=0)),
        [(TARGET, f"{HIGH}.escalation_3_percent", "", "110")],
    ),
    Case(
        "thresholds",
        full(notification_thresholds=[80, 50, 95]),
        [(TARGET, "start.notification_thresholds", "50, 80, 95", "50, 80")],
    ),
    Case(
        "other thresholds",
        full(notification_thresholds=[50, 75, 90]),
        [(TARGET, "start.notification_thresholds", "50, 75, 90", "50, 80")],
    ),
    Case("thresholds left out", full(notification_thresholds=[]), []),
    Case("the same thresholds in another order", full(notification_thresholds=[80, 50, 80]), []),
    Case("policy", full(policy_id="silver"), [(TARGET, "start.policy_id", "silver", "gold")]),
    Case(
        "priority",
        full(priority_id="low"),
        [
            (TARGET, "start.priority_id", "low", "high"),
            (TARGET, "start.targets[0].response_time_minutes", "", "60"),
            (TARGET, "start.targets[0].resolution_time_minutes", "9000", "240"),
            (TARGET, "start.targets[0].escalation_1_percent", "", "70"),
            (TARGET, "start.targets[0].escalation_2_percent", "", "90"),
            (TARGET, "start.targets[0].escalation_3_percent", "", "110"),
        ],
    ),
    Case(
        "started later",
        full(started_at=FRIDAY_9 + 1),
        [(TARGET, "start.started_at", "2026-02-27T09:00:00.001Z", "2026-02-27T09:00:00Z")],
    ),
    Case("a schedule that slad has for another ticket", full(schedule=OFFICE), []),
    Case(
        "a schedule that slad has never seen",
        full(schedule=schedule(add_holiday("2026-12-24"))),
        [],
    ),
    Case("24x7", full(schedule=pb.BusinessHoursSchedule(is_24x7=True)), []),
    Case("names of a schedule", full(schedule=schedule(lambda s: None)), []),
    Case("no pauses", full(pauses=[]), [(PAUSE, "pauses", "", BOTH)]),
    Case("not paused any more", full(pauses=FULL_FACTS["pauses"][:1]), [(PAUSE, "pauses", ONE, BOTH)]),
    Case(
        "another reason",
        full(pauses=[FULL_FACTS["pauses"][0], pause_of(FRIDAY_9 + 3 * HOUR_MS, reason=STATUS)]),
        [(PAUSE, "pauses", BOTH.replace("AWAITING_CLIENT", "STATUS_PAUSE"), BOTH)],
    ),
    Case(
        "no response",
        full(response_at=None),
        [(COMPLETION, "response_completed_at", "", "2026-02-27T09:10:00Z")],
    ),
    Case(
        "another response",
        full(response_at=FRIDAY_9 + 1),
        [(COMPLETION, "response_completed_at", "2026-02-27T09:00:00.001Z", "2026-02-27T09:10:00Z")],
    ),
    Case(
        "several at once",
        full(policy_id="silver", pauses=[], response_at=None),
        [
            (TARGET, "start.policy_id", "silver", "gold"),
            (PAUSE, "pauses", "", BOTH),
            (COMPLETION, "response_completed_at", "", "2026-02-27T09:10:00Z"),
        ],
    ),
    Case("attributes are no terms", full(attributes={"queue": "mail"}), []),
]
SCHEDULES = {
    "a schedule that slad has for another ticket": "schedule 2",
    "a schedule that slad has never seen": "a schedule not seen before",
    "24x7": "24x7",
    "names of a schedule": "schedule 2",
}


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


# --- mending


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


# --- one consistent view


@pytest.fixture
def viewed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Is set when the view has been taken."""
    taken = asyncio.Event()
    snapshot = Store.snapshot

    def noticed(store: Store) -> Store:
        view = snapshot(store)
        taken.set()
        return view

    monkeypatch.setattr(Store, "snapshot", noticed)
    return taken


async def pauses_now(slad: Slad) -> None:
    await pause(slad, "T-1", MONDAY_9)


async def completes_now(slad: Slad) -> None:
    await complete(slad, "T-1", RESOLUTION)


async def retargets_now(slad: Slad) -> None:
    request = rpc.RetargetSlaRequest(ticket_id="T-1", targets=[target(7, 7)], schedule=OFFICE)
    await slad.backend.RetargetSla(request)


async def threshold_passes(slad: Slad) -> None:
    await slad.advance(minutes=30)


@pytest.mark.parametrize("change", [pauses_now, completes_now, retargets_now, threshold_passes])
@pytest.mark.parametrize("listed_first", [True, False])
async def test_what_changes_while_the_list_is_streaming_is_not_undone(
    tmp_path: Path, viewed: asyncio.Event, change: Callable[[Slad], Any], listed_first: bool
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1")
        await slad.start("orphan")
        psa = [row("T-1", policy_id="silver")]
        first, then = (psa, []) if listed_first else ([], psa)
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests(first, apply=True)[0])
        await viewed.wait()
        await change(slad)
        changed = await status_of(slad, "T-1")
        await call.write(requests(then)[0])
        await call.done_writing()
        found = (await call).differences
        assert seen(found)[0] == ("T-1", TARGET, "start.policy_id", "silver", "gold"), "as it was at first"
        assert [(d.ticket_id, d.mended) for d in found] == [
            ("T-1", False), ("orphan", change is not threshold_passes)
        ]  # fmt: skip
        assert await status_of(slad, "T-1") == changed


async def test_a_caller_learns_that_the_view_has_been_taken(tmp_path: Path, viewed: asyncio.Event) -> None:
    """By initial metadata, as with a watch: a list that is read after them misses no command."""
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1")
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([], apply=True)[0])
        learning = asyncio.create_task(call.initial_metadata())
        await viewed.wait()
        for _ in range(3):
            # On the same connection: what slad sent before its answer has arrived with it.
            await status_of(slad)
        learned = learning.done()
        await call.write(requests([row("T-1")])[0])
        await call.done_writing()
        assert (await call).differences == []
        await learning
        assert learned


async def test_a_ticket_that_starts_while_the_list_is_streaming_is_no_orphan_and_stays(
    tmp_path: Path, viewed: asyncio.Event
) -> None:
    async with slad_running(tmp_path) as slad:
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([], apply=True)[0])
        await viewed.wait()
        for ticket in ("listed", "unlisted"):
            await slad.start(ticket)
        before = await tracked(slad)
        await call.write(requests([row("listed", policy_id="silver")])[0])
        await call.done_writing()
        found = (await call).differences
        assert [(d.ticket_id, d.kind, d.mended) for d in found] == [("listed", MISSING, False)]
        assert await tracked(slad) == before


async def test_apply_and_tenant_are_those_of_the_first_message(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        stream = [*requests([row("A")]), *requests([row("B")], apply=True), *requests([row("C")], tenant="")]
        found = (await slad.backend.ReconcileSlaTrackings(iter(stream))).differences
        assert [(d.ticket_id, d.mended) for d in found] == [("A", False), ("B", False), ("C", False)]
        assert await tracked(slad) == {}


# --- what is refused


def good(number: int) -> list[Row]:
    return [row(f"T-{n}") for n in range(number)]


@pytest.mark.parametrize(
    ("stream", "field", "reason"),
    [
        ([], "tenant_id", "REQUIRED"),
        (requests(good(3), tenant="", apply=True), "tenant_id", "REQUIRED"),
        (requests(good(3), tenant="x" * 201, apply=True), "tenant_id", "TOO_LONG"),
        (
            requests([*good(5), row("")], apply=True, size=2),
            "trackings[5].start.ticket_id",
            "REQUIRED",
        ),
        (
            requests(
                [*good(5), row("T-9", schedule=schedule(lambda s: setattr(s, "timezone", "Mars")))],
                apply=True,
                size=5,
            ),
            "trackings[5].start.schedule.timezone",
            "UNKNOWN_TIME_ZONE",
        ),
        (
            requests([*good(5), row("T-9", pauses=[pause_of(MONDAY_9 - 1)])], apply=True, size=1),
            "trackings[5].pauses[0].paused_at",
            "OUT_OF_ORDER",
        ),
        (
            requests([*good(5), row("T-9", response_at=MONDAY_9 - 5_001)], apply=True),
            "trackings[5].response_completed_at",
            "BEFORE_START",
        ),
        (
            # Without a start nothing can have happened before now; slad's own start is not taken for it.
            requests([*good(5), row("live", started_at=None, response_at=MONDAY_9 - 5_001)], apply=True),
            "trackings[5].response_completed_at",
            "BEFORE_START",
        ),
        (
            requests([*good(5), row("T-9", tenant_id="globex")], apply=True),
            "trackings[5].start.tenant_id",
            "OTHER_TENANT",
        ),
        (
            requests([*good(5), row("T-3")], apply=True, size=4),
            "trackings[5].start.ticket_id",
            "LISTED_TWICE",
        ),
        (
            requests([row("live"), *good(4), row("live", policy_id="silver")], apply=True, size=4),
            "trackings[5].start.ticket_id",
            "LISTED_TWICE",
        ),
    ],
)
async def test_a_list_that_is_wrong_is_refused_by_its_field_and_nothing_is_mended(
    tmp_path: Path, stream: list[rpc.ReconcileSlaTrackingsRequest], field: str, reason: str
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", started_at=stamp(FRIDAY_9))
        before = await everything(slad)
        got = await refused(slad.backend.ReconcileSlaTrackings(iter(stream)))
        assert (got.code, got.fields, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, [field], reason)
        assert await everything(slad) == before


async def test_a_client_that_leaves_in_the_middle_has_mended_nothing(
    tmp_path: Path, viewed: asyncio.Event
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests(good(50), apply=True)[0])
        await viewed.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await everything(slad) == before


@pytest.mark.parametrize("is_wrong", [False, True])
async def test_a_client_that_leaves_while_its_list_is_compared_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_wrong: bool
) -> None:
    loop, compares, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold() -> None:
        loop.call_soon_threadsafe(compares.set)
        goes_on.wait(30)

    def held(_: object, reconciliation: Any, *rest: object) -> list[Any]:
        connection = reconciliation._store._connection
        connection.create_scalar_function("hold", hold)
        connection.execute("SELECT hold()").fetchall()
        if is_wrong:
            raise InvalidField("end", "REQUIRED", "the list is wrong")
        return []

    closed = asyncio.Event()
    close = Store.close
    monkeypatch.setattr(bulk.Bulk, "_compare", held)
    async with slad_running(tmp_path) as slad:
        monkeypatch.setattr(Store, "close", lambda store: (close(store), closed.set())[0])
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([row("T-1")])[0])
        await compares.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await slad.start("another")  # by then slad knows that the caller is gone
        assert not closed.is_set()
        goes_on.set()
        await asyncio.wait_for(closed.wait(), 30)
    gc.collect()  # asyncio tells of an error that nobody has asked for when its task goes
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_list_that_falls_silent_holds_the_view_no_longer_and_mends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Store] = []
    close = Store.close
    monkeypatch.setattr(bulk, "MAX_SILENCE_S", 0.05)
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        with monkeypatch.context() as patched:
            patched.setattr(Store, "close", lambda store: (closed.append(store), close(store))[1])
            call = slad.backend.ReconcileSlaTrackings()
            await call.write(requests(good(50), apply=True)[0])
            got = await refused(call)
        assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "LIST_SILENT")
        assert len(closed) == 1
        assert await everything(slad) == before


async def test_a_list_that_stops_before_its_explicit_end_mends_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        first = rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", apply=True, explicit_end=True)
        rows = rpc.ReconcileSlaTrackingsRequest(trackings=good(50))
        for messages in ([first], [first, rows]):
            got = await refused(slad.backend.ReconcileSlaTrackings(iter(messages)))
            assert got.code is grpc.StatusCode.INVALID_ARGUMENT
            assert (got.fields, got.reason) == (["end"], "REQUIRED")
            assert await everything(slad) == before
        end = rpc.ReconcileSlaTrackingsRequest(end=True)
        reply = await slad.backend.ReconcileSlaTrackings(iter([first, rows, end]))
        assert all(difference.mended for difference in reply.differences)
        assert await everything(slad) != before


async def test_apply_without_an_explicit_end_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        request = rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", apply=True, end=True)
        got = await refused(slad.backend.ReconcileSlaTrackings(iter([request])))
        assert got.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (got.fields, got.reason) == (["explicit_end"], "REQUIRED")
        assert await everything(slad) == before


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
