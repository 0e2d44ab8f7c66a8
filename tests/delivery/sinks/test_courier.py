"""The courier with a sink that does as it is told: batches, parts of them, errors of its code, full disks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import apsw
import msgspec
import pytest
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.sinks import SinkSettings
from slad.core.errors import Refusal, Refused
from slad.delivery.sinks import kinds
from slad.delivery.sinks.courier import MIN_WINDOW
from slad.delivery.sinks.parked import ParkedEvents
from slad.delivery.sinks.sink import DeliveryError, Rejected, Unavailable
from slad.storage.store import Lineage
from tests.delivery.sinks.desk import Desk, eventually
from tests.slad_under_test import slad_running


class Puppets(SinkSettings, frozen=True, kw_only=True):
    """The settings of a type of sinks that only this test knows."""

    kind = "puppet"

    puppet: Any
    backoff_min_ms: int = 1
    backoff_max_ms: int = 20
    attempts: int = 3


def prepare(settings: Puppets) -> Callable[[Lineage], Puppet]:
    return lambda _: cast(Puppet, settings.puppet)


@pytest.fixture(autouse=True)
def puppets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds.KINDS, "puppet", kinds.Kind(__name__))


class Puppet:
    """A sink of its own: `behave` sees each batch first, and may raise."""

    target = "puppet"
    batch = 4
    parallel = 1

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.got: list[int] = []
        self.closed = 0
        self.behave: Callable[[Sequence[pb.SlaEvent]], None] = lambda events: None

    async def deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        sequences = [event.sequence for event in events]
        self.batches.append(sequences)
        try:
            self.behave(events)
        except DeliveryError as error:
            self.got += sequences[: error.delivered]
            raise
        self.got += sequences

    async def close(self) -> None:
        self.closed += 1


def raises_rejected(_: Sequence[pb.SlaEvent]) -> None:
    raise Rejected("no")


def running(data: Path, puppet: Puppet) -> Any:
    return slad_running(data, sinks={"s": Puppets(puppet=puppet)})


async def test_batches_are_bounded_and_in_order_and_the_sink_is_closed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await Desk(slad).tickets(*(f"T-{n}" for n in range(10)))
    puppet = Puppet()
    async with running(tmp_path, puppet) as slad:
        await Desk(slad).until(lag=0)
    assert puppet.batches == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert puppet.closed == 1


async def test_what_was_delivered_of_a_batch_does_not_come_again(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await Desk(slad).tickets(*(f"T-{n}" for n in range(6)))
    puppet = Puppet()
    fails = iter([True, True])

    def behave(events: Sequence[pb.SlaEvent]) -> None:
        if next(fails, False):
            raise Unavailable("not now", delivered=min(2, len(events) - 1))

    puppet.behave = behave
    async with running(tmp_path, puppet) as slad:
        sink = await Desk(slad).until(lag=0)
    assert puppet.got == [1, 2, 3, 4, 5, 6]
    assert puppet.batches == [[1, 2, 3, 4], [3], [3], [4, 5, 6]], "after a failure one is tried alone"
    assert (sink.delivered, sink.failures) == (6, 2)


async def test_an_error_of_the_sinks_code_is_a_failed_attempt_and_its_text_stays_inside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    puppet = Puppet()

    def behave(events: Sequence[pb.SlaEvent]) -> None:
        if any(event.ticket_id == "B" for event in events):
            raise KeyError("-".join(["hush", "hush"]))

    puppet.behave = behave
    async with running(tmp_path, puppet) as slad:
        desk = Desk(slad)
        await desk.tickets("A", "B", "C")
        await desk.until(lag=0, parked=1, state=rpc.SLA_SINK_STATE_READY)
        (parked,) = await desk.at_rest()
        assert parked.event.ticket_id == "B"
        assert parked.reason == "unexpected error (KeyError); the log says where"
    assert list(dict.fromkeys(puppet.got)) == [1, 3]
    assert "test_courier.py" in caplog.text
    assert "hush-hush" not in caplog.text


async def test_a_damaged_parked_event_is_not_delivered_and_holds_its_ticket_up(tmp_path: Path) -> None:
    puppet = Puppet()

    def refuse(events: Sequence[pb.SlaEvent]) -> None:
        if any(event.ticket_id == "B" for event in events):
            raise Rejected("no")

    puppet.behave = refuse
    async with running(tmp_path, puppet) as slad:
        desk = Desk(slad)
        await desk.tickets("A", "B", "C")
        await desk.until(lag=0, parked=1)
        await slad.advance(minutes=30)
        await desk.until(lag=0, parked=2)
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE parked_event SET reason = 'yes' WHERE sequence = 2")
    connection.close()
    healthy = Puppet()
    async with running(tmp_path, healthy) as slad:
        desk = Desk(slad)
        assert await desk.replay() == 2
        (after,) = await desk.at_rest()
        await desk.tickets("D")
        await desk.until(lag=0, parked=2)
    assert after.event.sequence > 2
    assert len(healthy.got) == 1, "that of D"


async def test_while_the_disk_refuses_parking_nothing_is_lost_and_it_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppet = Puppet()

    def behave(events: Sequence[pb.SlaEvent]) -> None:
        tickets = [event.ticket_id for event in events]
        if "B" in tickets:
            raise Rejected("no", delivered=tickets.index("B"))

    puppet.behave = behave
    async with running(tmp_path, puppet) as slad:
        refused = 0
        park = ParkedEvents._park

        async def full(*_: Any) -> None:
            nonlocal refused
            refused += 1
            raise Refused(Refusal.RESOURCE_EXHAUSTED, "DISK_FULL", "slad's disk is full")

        monkeypatch.setattr(ParkedEvents, "_park", full)
        monkeypatch.setattr("slad.delivery.sinks.courier.RESTART_S", 0.01)
        desk = Desk(slad)
        await desk.tickets("A", "B", "C")
        await eventually(lambda: refused > 2)
        assert (await desk.sink()).parked == 0
        monkeypatch.setattr(ParkedEvents, "_park", park)
        await desk.until(lag=0, parked=1)
    assert list(dict.fromkeys(puppet.got)) == [1, 3]


async def test_a_sink_that_cannot_be_closed_keeps_nobody_from_closing_or_opening(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Puppet):
        async def close(self) -> None:
            await super().close()
            raise OSError("the socket is gone")

    stuck, other, later = Stuck(), Puppet(), Puppet()
    sinks = {"a": Puppets(puppet=stuck), "b": Puppets(puppet=other)}
    async with slad_running(tmp_path, sinks=sinks) as slad:
        await Desk(slad).tickets("A")
        await Desk(slad).until("b", lag=0)
        settings = slad.daemon._settings
        await slad.daemon.reload(msgspec.structs.replace(settings, sinks={"b": Puppets(puppet=later)}))
        await Desk(slad).tickets("B")
        await Desk(slad).until("b", lag=0)
    assert (stuck.closed, other.closed, later.closed) == (1, 1, 1)
    assert (other.got, later.got) == ([1], [2])
    assert "sink a could not be closed" in caplog.text


async def test_of_more_than_there_is_room_for_everything_that_is_released_is_tried(tmp_path: Path) -> None:
    tickets = [f"T-{number}" for number in range(MIN_WINDOW + 20)]
    puppet = Puppet()
    puppet.behave = raises_rejected
    async with running(tmp_path, puppet) as slad:
        desk = Desk(slad)
        await desk.tickets(*tickets)
        await desk.until(lag=0, parked=len(tickets))
        tried = len(puppet.batches)
        assert await desk.replay() == len(tickets)
        await eventually(lambda: len(puppet.batches) == tried + len(tickets))
