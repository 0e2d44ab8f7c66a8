"""docs/integration.md names a test for each thing it says; those that had none are here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import RetentionSettings
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from tests.paths import ROOT
from tests.service.importing import FRIDAY_9, announced, import_rows, pause_of, row, standing, status_of
from tests.service.reconciling import differences, reconcile
from tests.slad_under_test import (
    MONDAY_9,
    OFFICE,
    Slad,
    refused,
    slad_running,
    stamp,
    start_request,
    target,
    told,
)

DOCUMENT = ROOT / "docs" / "integration.md"
NAMED = re.compile(r"`(test_\w+)`")

CLIENT = pb.SLA_PAUSE_REASON_AWAITING_CLIENT
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION
IDS = {"tenant_id": "acme", "ticket_id": "T-1"}
PLAIN = (0, 0, 0)
"""No escalation levels."""


# --- the document itself


def sections() -> dict[str, str]:
    """Its text by heading."""
    parts = re.split(r"^(#{2,3} .*)$", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def statements(text: str) -> Iterator[str]:
    """The items of its lists, and the rows of its tables below their heads."""
    for block in re.split(r"\n\n+|\n(?=- )", text):
        if block.startswith("- "):
            yield block
        elif block.startswith("|"):
            yield from block.splitlines()[2:]


@cache
def decorators_by_name() -> dict[str, list[list[str]]]:
    """The decorators of every test function of the project, by its name."""
    found: dict[str, list[list[str]]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append([ast.unparse(one) for one in node.decorator_list])
    return found


def test_every_test_that_is_named_exists_and_is_expected_to_pass() -> None:
    named = NAMED.findall(DOCUMENT.read_text("utf-8"))
    assert named
    for name in named:
        assert name in decorators_by_name()
        assert not any("xfail" in one for decorators in decorators_by_name()[name] for one in decorators), (
            name
        )


@pytest.mark.parametrize("heading", sections())
def test_every_section_names_a_test_and_so_does_every_statement(heading: str) -> None:
    text = sections()[heading]
    assert NAMED.search(text)
    for statement in statements(text):
        assert NAMED.search(statement), statement


def test_every_reason_and_type_that_is_named_exists() -> None:
    contract = "".join(path.read_text("utf-8") for path in sorted((ROOT / "proto/slad/v1").glob("*.proto")))
    reasons = (ROOT / "docs/errors.md").read_text("utf-8")
    for word in re.findall(r"`([A-Z][A-Z_]+)`", DOCUMENT.read_text("utf-8")):
        assert re.search(rf"_{word}\b", contract) or f"`{word}`" in reasons or word in STATUS_CODES, word


STATUS_CODES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS",
                "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "INTERNAL"}  # fmt: skip


def test_the_limits_of_the_document_are_the_defaults() -> None:
    text = sections()["## What slad forgets"]
    defaults = RetentionSettings()
    assert f"{defaults.requests_ms // DAY_MS} days" in text
    assert f"{defaults.events_ms // DAY_MS} days" in text
    assert f"{defaults.max_events:,}" in text


# --- a PSA with an outbox


class Change(NamedTuple):
    """A row of the PSA's outbox: committed with what it changed, sent afterwards."""

    number: int
    minute: int
    what: type[Message]
    fields: dict[str, Any]

    def request(self) -> Message:
        at = stamp(MONDAY_9 + self.minute * MINUTE_MS)
        if self.what is rpc.StartSlaTrackingRequest:
            return start_request("T-1", started_at=at, request_id=f"psa/{self.number}", **self.fields)
        timed = {} if self.what is rpc.RetargetSlaRequest else {"effective_at": at}
        return self.what(**IDS, request_id=f"psa/{self.number}", **timed, **self.fields)


LIFE = [
    Change(17, 0, rpc.StartSlaTrackingRequest, {}),
    Change(18, 10, rpc.PauseSlaRequest, {"reason": CLIENT}),
    Change(19, 30, rpc.ResumeSlaRequest, {}),
    Change(20, 40, rpc.CompleteSlaRequest, {"phase": RESPONSE}),
    Change(21, 50, rpc.RetargetSlaRequest, {"targets": [target(60, 300)], "schedule": OFFICE}),
    Change(22, 90, rpc.CompleteSlaRequest, {"phase": RESOLUTION, "met": True}),
]


async def send(slad: Slad, changes: Iterable[Change]) -> list[Message]:
    """Sends what the outbox has, in its order."""
    replies = []
    for change in changes:
        request = change.request()
        call = getattr(slad.backend, type(request).__name__.removesuffix("Request"))
        replies.append(await call(request))
    return replies


async def at_minute(slad: Slad, minute: int) -> None:
    await slad.advance_to(max(slad.now, MONDAY_9 + minute * MINUTE_MS))


async def test_a_crash_between_commit_and_call_is_healed_by_sending_again(tmp_path: Path) -> None:
    """Wherever the PSA dies, before a call or before it has noted the answer, and for two hours."""
    async with slad_running(tmp_path / "well") as slad:
        for change in LIFE:
            await at_minute(slad, change.minute)
            await send(slad, [change])
        await at_minute(slad, 300)
        expected, stand = standing(await status_of(slad)), announced(await slad.events())
        kinds = [kind for kind in told(await slad.events()) if "REACHED" not in kind]
    for place in range(len(LIFE)):
        for was_called in (False, True):
            async with slad_running(tmp_path / f"{place}-{was_called}") as slad:
                for change in LIFE[:place]:
                    await at_minute(slad, change.minute)
                    await send(slad, [change])
                await at_minute(slad, LIFE[place].minute)
                first = await send(slad, [LIFE[place]]) if was_called else []
                # Dead; the outbox keeps what was not noted as answered.
                await at_minute(slad, 210)
                again = await send(slad, LIFE[place:])
                assert again[: len(first)] == first
                await at_minute(slad, 300)
                events = await slad.events()
                assert standing(await status_of(slad)) == expected
                assert announced(events).keys() == stand.keys()
                assert sorted(k for k in told(events) if "REACHED" not in k and "RETRACTED" not in k) == (
                    sorted(kinds)
                ), "nothing is told twice"


async def test_a_refused_command_has_not_used_up_its_request_id(tmp_path: Path) -> None:
    """The wrong order: a pause before its start. Sent again after it, it is carried out."""
    async with slad_running(tmp_path) as slad:
        (start, pause) = LIFE[:2]
        await slad.advance(minutes=20)
        got = await refused(send(slad, [pause]))
        assert got.reason == "TRACKING_NOT_FOUND"
        (_, reply) = await send(slad, [start, pause])
        assert reply.changed  # type: ignore[attr-defined]


async def test_request_ids_of_two_tenants_do_not_meet(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for tenant in ("acme", "globex"):
            reply = await slad.start(tenant_id=tenant, request_id="psa/17")
            assert reply.created
            assert reply.status.tenant_id == tenant


async def test_without_effective_at_a_late_command_counts_from_its_arrival(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await send(slad, LIFE[:1])
        await slad.advance(minutes=20)
        reply = await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=CLIENT))
        assert reply.status.response.elapsed.ToMilliseconds() == 20 * MINUTE_MS


async def test_a_command_sent_again_without_a_request_id_changes_nothing_if_it_says_when(
    tmp_path: Path,
) -> None:
    """As when slad has forgotten the id. Without effective_at the pause would begin anew."""
    async with slad_running(tmp_path) as slad:
        await send(slad, LIFE[:1])
        await slad.advance(minutes=60)
        minute = [stamp(MONDAY_9 + n * MINUTE_MS) for n in range(60)]
        for _ in range(2):
            paused = await slad.backend.PauseSla(
                rpc.PauseSlaRequest(**IDS, reason=CLIENT, effective_at=minute[10])
            )
            resumed = await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**IDS, effective_at=minute[30]))
        assert not paused.changed
        assert not resumed.changed
        assert resumed.status.total_pause_minutes == 20
        again = await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=CLIENT))
        assert again.changed


async def retarget(slad: Slad, minutes: int, request_id: str) -> rpc.RetargetSlaResponse:
    return await slad.backend.RetargetSla(
        rpc.RetargetSlaRequest(**IDS, targets=[target(minutes)], schedule=OFFICE, request_id=request_id)
    )


async def test_the_last_retarget_to_arrive_counts_and_one_sent_again_does_not(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        await retarget(slad, 90, "psa/2")
        await retarget(slad, 30, "psa/1")  # the earlier one, late
        assert (await status_of(slad)).response.target.ToMilliseconds() == 30 * MINUTE_MS
        await retarget(slad, 90, "psa/2")
        assert (await status_of(slad)).response.target.ToMilliseconds() == 30 * MINUTE_MS


async def test_a_replace_under_a_request_id_replaces_once(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start()
        for _ in range(3):
            await slad.start(on_existing=pb.ON_EXISTING_REPLACE, request_id="psa/5")
        assert (await status_of(slad)).generation == 2
        await slad.start(on_existing=pb.ON_EXISTING_REPLACE)
        await slad.start(on_existing=pb.ON_EXISTING_REPLACE)
        assert (await status_of(slad)).generation == 4, "each without an id is another one"


# --- import and reconciliation beside an outbox


async def test_commands_that_an_import_already_held_change_nothing(tmp_path: Path) -> None:
    """The outbox was begun before the list was read, so some of it is in the list."""
    async with slad_running(tmp_path) as slad:
        await slad.advance(minutes=60)
        await import_rows(
            slad,
            row(
                pauses=[pause_of(MONDAY_9 + 10 * MINUTE_MS, MONDAY_9 + 30 * MINUTE_MS)],
                response_at=MONDAY_9 + 40 * MINUTE_MS,
            ),
        )
        before, events = await status_of(slad), await slad.events()
        replies = await send(slad, LIFE[:4])
        assert [getattr(reply, "created", getattr(reply, "changed", None)) for reply in replies] == [
            False
        ] * 4
        assert await status_of(slad) == before
        assert await slad.events() == events


async def test_a_resolution_that_a_reconciliation_overtook_still_completes(tmp_path: Path) -> None:
    """The ticket is resolved, so it is not in the list; the command is still in the outbox."""
    async with slad_running(tmp_path) as slad:
        await slad.advance(minutes=120)
        await send(slad, LIFE[:4])
        assert [d.mended for d in await differences(slad, apply=True)] == [True]
        assert (await status_of(slad)).state == pb.SLA_TRACKING_STATE_CANCELLED
        (reply,) = await send(slad, LIFE[5:])
        assert reply.changed  # type: ignore[attr-defined]
        got = await status_of(slad)
        assert got.state == pb.SLA_TRACKING_STATE_COMPLETED
        assert got.resolution.completed_at.ToMilliseconds() == MONDAY_9 + 90 * MINUTE_MS


async def test_a_list_that_is_older_than_a_command_undoes_it(tmp_path: Path) -> None:
    """Why the list is read when the view has been taken, and not before."""
    async with slad_running(tmp_path) as slad:
        await send(slad, LIFE[:1])
        read_before_the_pause = row()
        await slad.advance(minutes=20)
        await send(slad, LIFE[1:2])
        await reconcile(slad, read_before_the_pause, apply=True)
        assert not (await status_of(slad)).is_paused
        await send(slad, LIFE[1:2])
        assert not (await status_of(slad)).is_paused, "its request_id was answered before"
        with_the_pause = row(pauses=[pause_of(MONDAY_9 + 10 * MINUTE_MS)])
        await reconcile(slad, with_the_pause, apply=True)
        assert (await status_of(slad)).is_paused, "the next reconciliation mends it"


# --- what events say


async def test_a_superseded_threshold_stands_when_the_higher_one_is_retracted(tmp_path: Path) -> None:
    """Who skipped the lower one because of the higher has to show it now; it is not told again."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, PLAIN)], started_at=stamp(FRIDAY_9))
        events = await slad.events()
        superseded = {e.threshold.percent: e.threshold.superseded for e in events[1:]}
        assert superseded == {50: True, 75: True, 90: True, 100: False}
        paused_at = stamp(FRIDAY_9 + 50 * MINUTE_MS)
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=CLIENT, effective_at=paused_at))
        later = await slad.events(events[-1].sequence)
        assert told(later) == ["PAUSED", "RESPONSE 90 RETRACTED", "RESPONSE 100 RETRACTED"]
        assert later[-1].threshold == events[-1].threshold, "as it was when it fired"
        assert {percent for _, percent in announced(await slad.events())} == {50, 75}


async def test_a_verdict_changes_with_the_breach_threshold(tmp_path: Path) -> None:
    """PHASE_COMPLETED is told once; a fact of before it that arrives later moves the breach."""
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(60, None, PLAIN)])
        await slad.advance(minutes=70)
        done = await slad.backend.CompleteSla(rpc.CompleteSlaRequest(**IDS, phase=RESPONSE))
        assert not done.met
        head = (await slad.events())[-1]
        assert told([head]) == ["RESPONSE PHASE_COMPLETED"]
        minute = [stamp(MONDAY_9 + n * MINUTE_MS) for n in range(60)]
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=CLIENT, effective_at=minute[10]))
        await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**IDS, effective_at=minute[30]))
        assert (await status_of(slad)).response.met
        assert [t for t in told(await slad.events(head.sequence)) if " 100 " in t] == [
            "RESPONSE 100 RETRACTED"
        ]


async def one_of_each(slad: Slad) -> Sequence[pb.SlaEvent]:
    """A life in which every type of event occurs."""
    await slad.start(targets=[target(60, 240, PLAIN)], attributes={"queue": "mail"})
    await slad.advance(minutes=40)
    paused_at = stamp(MONDAY_9 + 20 * MINUTE_MS)
    await slad.backend.PauseSla(rpc.PauseSlaRequest(**IDS, reason=CLIENT, effective_at=paused_at))
    await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**IDS))
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(**IDS, phase=RESPONSE))
    await slad.backend.RetargetSla(
        rpc.RetargetSlaRequest(**IDS, policy_id="silver", targets=[target(30, 300, PLAIN)], schedule=OFFICE)
    )
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(**IDS, phase=RESOLUTION))
    await slad.advance(minutes=10)
    await slad.backend.ReopenSla(rpc.ReopenSlaRequest(**IDS, mode=pb.REOPEN_MODE_RESTART))
    await slad.backend.CancelSla(rpc.CancelSlaRequest(**IDS))
    return await slad.events()


async def one_of_each_of_named_clocks(slad: Slad) -> Sequence[pb.SlaEvent]:
    """The same for what only a ticket with further clocks, owners and reasons is told of."""
    ids = {"tenant_id": "acme", "ticket_id": "T-clocks"}

    async def message(sender: pb.SlaMessageSender, minute: int) -> None:
        await slad.backend.RecordSlaMessage(
            rpc.RecordSlaMessageRequest(**ids, sender=sender, effective_at=stamp(minute))
        )

    clock = pb.SlaClockTerms(name="next-reply", kind=pb.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=600)
    start = slad.now
    await slad.start(
        "T-clocks", targets=[target(600, None, PLAIN)], clocks=[clock], attributes={"queue": "mail"}
    )
    await slad.advance(minutes=30)
    await slad.backend.AssignSla(rpc.AssignSlaRequest(**ids, owner="team-b"))
    await message(pb.SLA_MESSAGE_SENDER_AGENT, start)
    await message(pb.SLA_MESSAGE_SENDER_CUSTOMER, start + 10 * MINUTE_MS)
    await message(pb.SLA_MESSAGE_SENDER_CUSTOMER, start + 5 * MINUTE_MS)
    await message(pb.SLA_MESSAGE_SENDER_AGENT, start + 20 * MINUTE_MS)
    for reason in (CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE):
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**ids, reason=reason))
    return [event for event in await slad.events() if event.ticket_id == "T-clocks"]


ALWAYS_THERE = {"sequence", "event_id", "type", "occurred_at", "recorded_at", "tenant_id", "ticket_id",
                "policy_id", "generation", "attributes"}  # fmt: skip


async def test_every_type_of_event_carries_what_the_table_says(tmp_path: Path) -> None:
    table = {
        name: set(re.findall(r"`(\w+)`", carries))
        for name, carries in re.findall(
            r"^\| `([A-Z_]+)` \|[^|]*\|[^|]*\| ([^|]*) \|",
            sections()["### What each type says"],
            re.MULTILINE,
        )
    }
    async with slad_running(tmp_path) as slad:
        events = [*await one_of_each(slad), *await one_of_each_of_named_clocks(slad)]
    carried: dict[str, set[str]] = {}
    for event in events:
        # The due dates are of the change, whichever event is its last.
        fields = {field.name for field, _ in event.ListFields()} - {"due_dates"}
        assert fields >= ALWAYS_THERE
        name = pb.SlaEventType.Name(event.type).removeprefix("SLA_EVENT_TYPE_")
        carried.setdefault(name, fields - ALWAYS_THERE)
        assert carried[name] == fields - ALWAYS_THERE
    every = {name.removeprefix("SLA_EVENT_TYPE_") for name, _ in pb.SlaEventType.items()}
    assert carried.keys() == table.keys() == every - {"UNSPECIFIED"}
    assert carried == table


async def test_events_say_when_it_happened_and_when_it_was_recorded(tmp_path: Path) -> None:
    """occurred_at: the start, the effective time, the exact crossing; of a retraction: when it was found."""
    minutes = {
        "STARTED": 0, "RESPONSE 50 REACHED": 30, "PAUSED": 20, "RESPONSE 50 RETRACTED": 40, "RESUMED": 40,
        "RESPONSE PHASE_COMPLETED": 40, "RETARGETED": 40, "COMPLETED": 40, "REOPENED": 50, "CANCELLED": 50,
    }  # fmt: skip
    async with slad_running(tmp_path) as slad:
        events = await one_of_each(slad)
        await slad.advance(minutes=10)
        heir = await slad.start(on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)
        assert heir.status.started_at.ToMilliseconds() == MONDAY_9 + 50 * MINUTE_MS
        started = (await slad.events(events[-1].sequence))[0]
        assert started.occurred_at.ToMilliseconds() == slad.now, "of one that goes on: when it came"
    first: dict[str, int] = {}
    for event, name in zip(events, told(events), strict=True):
        first.setdefault(name, (event.occurred_at.ToMilliseconds() - MONDAY_9) // MINUTE_MS)
        assert event.recorded_at.ToMilliseconds() >= event.occurred_at.ToMilliseconds()
    assert {name: first[name] for name in minutes} == minutes
    assert [e.policy_id for e in events if e.type == pb.SLA_EVENT_TYPE_RETARGETED] == ["silver"]
    assert [e.generation for e in events if e.type == pb.SLA_EVENT_TYPE_REOPENED] == [2]


async def test_a_phase_without_a_clock_is_completed_without_a_word(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start(targets=[target(None, 240)])
        await slad.backend.CompleteSla(rpc.CompleteSlaRequest(**IDS, phase=RESPONSE))
        await slad.start("T-2", targets=[target(60, None)])
        await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-2", phase=RESOLUTION))
        events = await slad.events()
        assert told(events) == ["STARTED", "STARTED", "RESPONSE PHASE_COMPLETED", "COMPLETED"]
        assert not events[-1].HasField("met")
        assert (await status_of(slad)).resolution.elapsed.ToMilliseconds() < HOUR_MS
