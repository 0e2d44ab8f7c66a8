"""What the tests of ReconcileSlaTrackings share: lists of a PSA, and what differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS
from tests.service.importing import CLIENT, FRIDAY_9, STATUS, pause_of, row
from tests.service.test_bad_input import add_holiday, schedule
from tests.slad_under_test import OFFICE, Slad, stamp

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
