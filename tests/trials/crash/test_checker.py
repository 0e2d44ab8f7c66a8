"""The checks of the crash trials are able to fail: each planted fault is found, and called by its name."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.slad_under_test import slad_running
from tests.trials.crash.caller import REPLIES, Caller
from tests.trials.crash.exam import Statuses, check_file, check_order, check_strangers, examine, statuses_of
from tests.trials.crash.faults import FaultError, FaultKind, Faults
from tests.trials.crash.journal import Attempt, Entry, TicketJournal, now_ms
from tests.trials.crash.lane import Lane
from tests.trials.crash.load import Request
from tests.trials.crash.log import EventLog, Reading, Session, content_of
from tests.trials.crash.replay import REACHED, RETRACTED, TimerEvent
from tests.trials.crash.ticket import Ticket
from tests.trials.crash.watchers import Consumer

TENANT = "acme"
HOUR_MS = 3_600_000


@dataclass
class Recording:
    """What a daemon and its client have really said, of five tickets."""

    journals: dict[str, TicketJournal] = field(default_factory=dict)
    events: list[pb.SlaEvent] = field(default_factory=list)
    statuses: Statuses = field(default_factory=dict)
    due_by: int = 0

    def copy(self) -> Recording:
        events = [pb.SlaEvent.FromString(event.SerializeToString()) for event in self.events]
        statuses = {
            key: pb.SlaStatus.FromString(status.SerializeToString()) for key, status in self.statuses.items()
        }
        return replace(self, events=events, statuses=statuses)

    def examine(self) -> set[FaultKind]:
        found = set()
        for name, journal in self.journals.items():
            try:
                examine(journal, [e for e in self.events if e.ticket_id == name], self.statuses, self.due_by)
            except FaultError as error:
                found.add(error.fault.kind)
        return found

    def event(self, ticket: str, kind: int, percent: int = 0) -> pb.SlaEvent:
        return next(
            e for e in self.events if (e.ticket_id, e.type, e.threshold.percent) == (ticket, kind, percent)
        )


def start(*, ago_ms: int = 0, minutes: int = 1) -> rpc.StartSlaTrackingRequest:
    target = pb.SlaPolicyTarget(response_time_minutes=minutes, resolution_time_minutes=600, is_24x7=True)
    request = rpc.StartSlaTrackingRequest(
        targets=[target], notification_thresholds=[1, 5, 10], request_id="start"
    )
    return at(request, "started_at", now_ms() - ago_ms) if ago_ms else request


def at(request: Any, name: str, instant_ms: int) -> Any:
    getattr(request, name).FromMilliseconds(instant_ms)
    return request


async def record(directory: Path) -> Recording:
    found, faults, address = Recording(), Faults(), f"unix:{directory}/s"
    lane = Lane("lane", TENANT, Random(7), pb.BusinessHoursSchedule(), faults)

    async def send(caller: Caller, ticket: str, request: Request) -> int:
        """When the ticket was started, epoch ms."""
        request.tenant_id, request.ticket_id = TENANT, ticket
        if request.request_id:
            request.request_id = f"{ticket}-{request.request_id}"
        journal = found.journals.setdefault(ticket, TicketJournal(Ticket(TENANT, ticket)))
        await lane.send(caller, journal, request)
        await asyncio.sleep(0.002)
        return int(journal.entries[0].answer.status.started_at.ToMilliseconds())

    async def fired(caller: Caller, ticket: str, percent: int) -> int:
        """The instant of a threshold, epoch ms, once it has fired."""
        async for events in caller.watch(rpc.WatchSlaEventsRequest(after_sequence=0)):
            for event in events:
                if (event.ticket_id, event.type, event.threshold.percent) == (ticket, REACHED, percent):
                    return int(event.occurred_at.ToMilliseconds())
        raise AssertionError("the stream has ended")

    async with slad_running(directory / "data", now=None, listen=[address]):
        caller = Caller(address)
        # Two thresholds fire with the start, one of them superseded; 10 % is still ahead. Then a pause.
        await send(caller, "paused", start(ago_ms=240_000, minutes=60))
        await send(
            caller, "paused", rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, request_id="pause")
        )
        # 1 % fires by itself; a pause that is told of late makes it untrue.
        late = await send(caller, "late", start())
        await send(caller, "timer", start())
        await fired(caller, "late", 1)
        found.due_by = await fired(caller, "timer", 1)
        await send(
            caller,
            "late",
            at(rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE), "effective_at", late + 300),
        )
        await send(caller, "done", start(ago_ms=10_000))
        await send(caller, "done", rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESPONSE, met=False))
        await send(caller, "done", rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESOLUTION))
        await send(caller, "done", rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME))
        # An end that is told of late lengthens the time that is out, of which no event tells.
        unheard = await send(caller, "unheard", start(ago_ms=10_000))
        await send(caller, "unheard", rpc.CancelSlaRequest())
        await send(caller, "unheard", rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME))
        await send(
            caller, "unheard", at(rpc.CancelSlaRequest(request_id="late"), "effective_at", unheard + 9_000)
        )
        async for events in caller.watch(rpc.WatchSlaEventsRequest(after_sequence=0)):
            found.events += events
            if len(found.events) >= await caller.head():
                break
        found.statuses = await statuses_of(caller)
        await caller.close()
    assert not faults
    return found


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return asyncio.run(record(tmp_path_factory.mktemp("recorded")))


def test_without_a_planted_fault_nothing_is_found(recording: Recording) -> None:
    assert recording.examine() == set()
    assert {event.type for event in recording.events} >= {REACHED, RETRACTED}


# --- planted in what slad tells

Plant = Callable[[Recording], None]
PLANTS: dict[str, tuple[Plant, FaultKind]] = {}


def plant(kind: FaultKind) -> Callable[[Plant], Plant]:
    def register(function: Plant) -> Plant:
        PLANTS[function.__name__] = function, kind
        return function

    return register


@plant(FaultKind.MISSING)
def a_timer_never_fired(found: Recording) -> None:
    found.events.remove(found.event("timer", REACHED, 1))


@plant(FaultKind.MISSING)
def an_overdue_threshold_did_not_fire_with_the_start(found: Recording) -> None:
    found.events.remove(found.event("paused", REACHED, 5))


@plant(FaultKind.MISSING)
def a_clock_stopped_firing(found: Recording) -> None:
    found.due_by += HOUR_MS


@plant(FaultKind.LOST)
def the_event_of_a_pause_is_gone(found: Recording) -> None:
    found.events.remove(found.event("paused", pb.SLA_EVENT_TYPE_PAUSED))


@plant(FaultKind.LOST)
def a_retraction_is_gone(found: Recording) -> None:
    found.events.remove(found.event("late", RETRACTED, 1))


@plant(FaultKind.LOST)
def an_acknowledged_pause_is_forgotten(found: Recording) -> None:
    found.statuses["paused", 1].is_paused = False


@plant(FaultKind.LOST)
def an_acknowledged_completion_is_forgotten(found: Recording) -> None:
    found.statuses["done", 1].response.ClearField("completed_at")


@plant(FaultKind.LOST)
def a_generation_is_forgotten(found: Recording) -> None:
    del found.statuses["done", 2]


@plant(FaultKind.LOST)
def a_pause_did_not_stop_the_clock(found: Recording) -> None:
    found.statuses["paused", 1].response.elapsed.FromMilliseconds(20_000)


@plant(FaultKind.DOUBLED)
def a_threshold_fired_twice_under_two_ids(found: Recording) -> None:
    event = found.event("timer", REACHED, 1)
    again = pb.SlaEvent.FromString(event.SerializeToString())
    again.event_id, again.sequence = "other", found.events[-1].sequence + 1
    found.events.append(again)


@plant(FaultKind.EARLY)
def a_threshold_fired_early(found: Recording) -> None:
    event = found.event("timer", REACHED, 1)
    early = event.threshold.scheduled_at.ToMilliseconds() - 1
    event.recorded_at.FromMilliseconds(early)
    event.threshold.fired_at.FromMilliseconds(early)


@plant(FaultKind.CHANGED)
def a_threshold_names_a_wrong_instant(found: Recording) -> None:
    event = found.event("timer", REACHED, 1)
    event.threshold.scheduled_at.FromMilliseconds(event.occurred_at.ToMilliseconds() + 1)


@plant(FaultKind.CHANGED)
def a_superseded_threshold_does_not_say_so(found: Recording) -> None:
    found.event("paused", REACHED, 1).threshold.superseded = False


@plant(FaultKind.UNEXPLAINED)
def an_event_comes_from_nowhere(found: Recording) -> None:
    event = found.event("paused", pb.SLA_EVENT_TYPE_PAUSED)
    found.events.append(pb.SlaEvent.FromString(event.SerializeToString()))
    found.events[-1].type = pb.SLA_EVENT_TYPE_RESUMED


@plant(FaultKind.UNEXPLAINED)
def the_state_shows_a_firing_that_no_event_told(found: Recording) -> None:
    clock = found.statuses["timer", 1].response
    clock.thresholds[2].fired_at.CopyFrom(clock.thresholds[0].fired_at)


@plant(FaultKind.LOST)
def the_state_does_not_show_a_firing(found: Recording) -> None:
    found.statuses["timer", 1].response.thresholds[0].ClearField("fired_at")


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(recording: Recording, name: str) -> None:
    function, kind = PLANTS[name]
    found = recording.copy()
    function(found)
    assert found.examine() == {kind}


# --- planted in streams


def read(log: EventLog, events: list[pb.SlaEvent], after: int = 0) -> FaultKind | None:
    reading = Reading(log, after)
    try:
        for event in events:
            reading.take(event)
    except FaultError as error:
        return error.fault.kind
    return None


@pytest.fixture
def log(recording: Recording) -> EventLog:
    log = EventLog()
    assert read(log, recording.events) is None
    return log


def test_events_must_come_again_as_they_were(recording: Recording, log: EventLog) -> None:
    events = recording.copy().events
    assert read(log, events) is None
    assert read(log, events[3:], after=events[2].sequence) is None
    assert read(log, [*events[:3], *events[4:]]) is FaultKind.LOST
    events[3].recorded_at.FromMilliseconds(1)
    assert read(log, events) is FaultKind.CHANGED


def test_a_sequence_is_not_given_to_another_event(recording: Recording, log: EventLog) -> None:
    other = pb.SlaEvent(sequence=log.last, event_id="other", ticket_id="other")
    assert read(log, [other], after=log.last - 1) is FaultKind.CHANGED


def test_an_event_id_is_not_given_to_another_event(recording: Recording, log: EventLog) -> None:
    again = recording.copy().events[0]
    again.sequence = log.last + 1
    assert read(log, [again], after=log.last) is FaultKind.DOUBLED


def test_sequences_grow(recording: Recording, log: EventLog) -> None:
    assert read(log, [pb.SlaEvent(sequence=log.last, event_id="new")], after=log.last) is FaultKind.DISORDER
    assert read(log, [recording.events[1]], after=recording.events[1].sequence) is FaultKind.DISORDER


def deliver(log: EventLog, session: Session, sequences: list[int]) -> FaultKind | None:
    session.delivered = [(sequence, hash(log.contents[sequence])) for sequence in sequences]
    try:
        session.check(log)
    except FaultError as error:
        return error.fault.kind
    return None


def test_a_consumer_gets_everything_from_its_acknowledgement_on(log: EventLog) -> None:
    all_of_them, session = log.sequences, Session("psa", TENANT, (3, 5))
    assert deliver(log, session, []) is None
    assert deliver(log, session, all_of_them[3:]) is None
    assert deliver(log, session, all_of_them[5:9]) is None, "an acknowledgement whose answer was lost"
    assert deliver(log, session, all_of_them[4:]) is FaultKind.LOST
    assert deliver(log, session, [*all_of_them[3:6], *all_of_them[7:]]) is FaultKind.LOST
    assert deliver(log, session, all_of_them[2:]) is FaultKind.REGRESSED
    assert deliver(log, session, [all_of_them[4], all_of_them[3]]) is FaultKind.DISORDER
    session.delivered = [(all_of_them[3], hash(b"other"))]
    with pytest.raises(FaultError, match="changed"):
        session.check(log)


def test_a_stream_that_stands_still_is_noticed(recording: Recording, log: EventLog) -> None:
    consumer = Consumer("psa", TENANT, Random(7), Faults())
    assert not consumer.is_behind(log), "it is away"
    consumer.streaming = True
    consumer.sessions.append(Session("psa", TENANT, (0,)))
    assert consumer.is_behind(log)
    consumer.sessions[0].delivered = [(sequence, 0) for sequence in log.sequences[:-1]]
    assert consumer.is_behind(log)
    consumer.sessions[0].delivered.append((log.last, 0))
    assert not consumer.is_behind(log)


def test_timers_fire_in_order_and_strangers_are_noticed(recording: Recording, log: EventLog) -> None:
    faults = Faults()
    played = examine(
        recording.journals["timer"], log.events_of("timer"), recording.statuses, recording.due_by
    )
    check_order([played], faults)
    check_strangers(recording.statuses, log, set(recording.journals), faults)
    assert not faults
    played.timers.append(TimerEvent(log.last + 1, 1))
    check_order([played], faults)
    check_strangers(recording.statuses, log, set(recording.journals) - {"late"}, faults)
    assert [fault.kind for fault in faults] == [FaultKind.DISORDER, FaultKind.UNEXPLAINED]


# --- planted in what becomes of a command whose reply was lost


class FakeCaller:
    """A daemon that tells what it is told to tell."""

    def __init__(self, timeline: rpc.GetSlaTimelineResponse, reply: bytes) -> None:
        self.timeline = timeline
        self.reply = reply

    async def ask(self, request: Any) -> Any:
        assert isinstance(request, rpc.GetSlaTimelineRequest)
        return self.timeline

    async def send(self, kind: Any, request: bytes) -> bytes:
        return self.reply


@dataclass
class Fate:
    """The pause of the ticket `paused`, as if its reply had been lost."""

    journal: TicketJournal
    entry: Entry
    before: rpc.GetSlaTimelineResponse
    after: rpc.GetSlaTimelineResponse

    async def learn(self, timeline: rpc.GetSlaTimelineResponse) -> Faults:
        assert self.entry.reply is not None
        faults, fake = Faults(), FakeCaller(timeline, self.entry.reply)
        lane = Lane("lane", TENANT, Random(7), pb.BusinessHoursSchedule(), faults)
        entry = replace(self.entry, reply=None, carried_out_at=0)
        journal = replace(self.journal, pending=entry, entries=self.journal.entries.copy())
        try:
            await lane.learn_fate(fake, journal, entry)  # type: ignore[arg-type]
        except FaultError as error:
            faults.append(error.fault)
        return faults


@pytest.fixture
def fate(recording: Recording) -> Fate:
    started, paused = recording.journals["paused"].entries
    journal = TicketJournal(Ticket(TENANT, "paused"))
    ticket, effect = journal.ticket.apply(started.message, started.carried_out_at)
    journal.accept(started, ticket, effect.told)
    entry = replace(paused, unknown=[Attempt(paused.carried_out_at - 5, paused.carried_out_at + 5)])
    events = [event for event in recording.events if event.ticket_id == "paused"]
    status = recording.statuses["paused", 1]
    unpaused = pb.SlaStatus.FromString(started.answer.status.SerializeToString())
    return Fate(
        journal,
        entry,
        rpc.GetSlaTimelineResponse(
            status=unpaused, events=[e for e in events if e.type != pb.SLA_EVENT_TYPE_PAUSED]
        ),
        rpc.GetSlaTimelineResponse(status=status, events=events),
    )


async def test_a_command_that_has_happened_wholly_is_fine(fate: Fate) -> None:
    assert await fate.learn(fate.after) == []


async def test_the_event_without_the_state_is_half(fate: Fate) -> None:
    half = rpc.GetSlaTimelineResponse(status=fate.before.status, events=fate.after.events)
    assert [fault.kind for fault in await fate.learn(half)] == [FaultKind.HALF]


async def test_the_state_without_the_event_is_half(fate: Fate) -> None:
    half = rpc.GetSlaTimelineResponse(status=fate.after.status, events=fate.before.events)
    assert [fault.kind for fault in await fate.learn(half)] == [FaultKind.HALF]


async def test_an_answer_without_what_it_answers_is_half(fate: Fate) -> None:
    """Nothing of the command is there, but sent again it gets its first answer."""
    assert [fault.kind for fault in await fate.learn(fate.before)] == [FaultKind.HALF]


@pytest.fixture
def unheard(recording: Recording) -> Fate:
    """The same of a command of which no event tells."""
    *before, late = recording.journals["unheard"].entries
    journal = TicketJournal(Ticket(TENANT, "unheard"))
    for entry in before:
        ticket, effect = journal.ticket.apply(entry.message, entry.carried_out_at)
        journal.accept(entry, ticket, effect.told)
    entry = replace(late, unknown=[Attempt(late.carried_out_at - 5, late.carried_out_at + 5)])
    events = [e for e in recording.events if (e.ticket_id, e.generation) == ("unheard", 2)]
    return Fate(
        journal,
        entry,
        rpc.GetSlaTimelineResponse(status=before[-1].answer.status, events=events),
        rpc.GetSlaTimelineResponse(status=recording.statuses["unheard", 2], events=events),
    )


async def test_a_command_of_which_no_event_tells_shows_in_the_status(unheard: Fate) -> None:
    assert unheard.entry.answer.changed
    assert await unheard.learn(unheard.after) == []


async def test_nothing_of_it_is_there_but_its_answer(unheard: Fate) -> None:
    assert [fault.kind for fault in await unheard.learn(unheard.before)] == [FaultKind.HALF]


async def test_another_event_of_the_time_is_unexplained(fate: Fate) -> None:
    other = rpc.GetSlaTimelineResponse(status=fate.after.status, events=fate.after.events)
    other.events[-1].recorded_at.FromMilliseconds(now_ms() + HOUR_MS)
    assert [fault.kind for fault in await fate.learn(other)] == [FaultKind.UNEXPLAINED]


async def test_a_repeated_request_must_get_its_first_answer(fate: Fate) -> None:
    faults, reply = Faults(), fate.entry.answer
    lane = Lane("lane", TENANT, Random(7), pb.BusinessHoursSchedule(), faults)
    fake = FakeCaller(fate.after, REPLIES[fate.entry.kind].SerializeToString(reply))
    assert fate.entry.reply is not None
    fake.reply = fate.entry.reply
    await lane.repeat(fake, fate.entry)  # type: ignore[arg-type]
    assert not faults
    reply.changed = not reply.changed
    fake.reply = reply.SerializeToString()
    await lane.repeat(fake, fate.entry)  # type: ignore[arg-type]
    assert [fault.kind for fault in faults] == [FaultKind.CHANGED]


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    path, faults = tmp_path / "slad.db", Faults()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE event (sequence INTEGER PRIMARY KEY, body BLOB)")
    connection.executemany("INSERT INTO event VALUES (?, ?)", [(n, b"x" * 500) for n in range(100)])
    connection.commit()
    connection.close()
    check_file(path, faults)
    assert not faults
    content = bytearray(path.read_bytes())
    content[8192:8292] = b"\xff" * 100
    path.write_bytes(content)
    check_file(path, faults)
    assert [fault.kind for fault in faults] == [FaultKind.DAMAGED]


def test_contents_are_equal_for_equal_events_only(recording: Recording) -> None:
    contents = [content_of(event) for event in recording.events]
    assert contents == [content_of(event) for event in recording.copy().events]
    assert len(set(contents)) == len(contents)
