"""What the operator sees and does: SlaAdmin's part about sinks, the command line, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import sla_backend_pb2 as backend
from slad_client.v1 import sla_backend_pb2_grpc

from slad.delivery.sinks import courier
from slad.delivery.sinks import parked as parked_module
from tests.delivery.sinks.desk import QUICK, desk
from tests.delivery.sinks.endpoint import Reply, endpoint, tickets
from tests.slad_under_test import refused
from tests.system.e2e.slad_process import slad_process
from tests.system.e2e.test_cli import slad as command


def table(url: str) -> dict[str, Any]:
    networks = ["127.0.0.1/32", "::1/128"]
    return {"type": "webhook", "url": url, "allow_http": True, "allow_networks": networks, **QUICK}


LIST, REPLAY, DISCARD = (
    rpc.ListParkedSlaEventsRequest,
    rpc.ReplayParkedSlaEventsRequest,
    rpc.DiscardParkedSlaEventsRequest,
)


@pytest.mark.parametrize(
    ("asked", "field", "reason"),
    [
        (LIST(), "sink", "REQUIRED"),
        (LIST(sink="s", after_sequence=-1), "after_sequence", "NEGATIVE"),
        (LIST(sink="s", page_size=501), "page_size", "OUT_OF_RANGE"),
        (LIST(sink="none"), "sink", "SINK_NOT_FOUND"),
        (REPLAY(sink="s"), "sequences", "REQUIRED"),
        (REPLAY(sink="s", all=True, sequences=[1]), "sequences", "CONTRADICTORY"),
        (REPLAY(sink="s", sequences=[1, 9]), "sequences", "EVENT_NOT_PARKED"),
        (REPLAY(sink="none", all=True), "sink", "SINK_NOT_FOUND"),
        (DISCARD(sink="s"), "sequences", "REQUIRED"),
        (DISCARD(sink="s", sequences=[1, 9]), "sequences", "EVENT_NOT_PARKED"),
        (DISCARD(sink="s", sequences=range(10_001)), "sequences", "TOO_MANY"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_input_is_refused_with_its_field_and_changes_nothing(
    tmp_path: Path, asked: Any, field: str, reason: str
) -> None:
    with endpoint() as target:
        target.behaviour = lambda request: Reply(400)
        async with desk(tmp_path, s=table(target.url)) as running:
            await running.tickets("A")
            await running.until(parked=1)
            method = type(asked).__name__.removesuffix("Request")
            got = await refused(getattr(running.admin, method)(asked))
            assert got.reason == reason
            assert got.fields == [field]
            (parked,) = await running.parked()
            assert not parked.replaying


async def test_the_names_of_sinks_are_not_for_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as running:
        watch = running.slad.backend.WatchSlaEvents(backend.WatchSlaEventsRequest(consumer="sink:s"))
        assert (await refused(watch.read())).reason == "RESERVED"
        ack = running.slad.backend.AckSlaEvents(backend.AckSlaEventsRequest(consumer="sink:s", sequence=1))
        assert (await refused(ack)).reason == "RESERVED"


async def test_a_running_sink_cannot_be_removed_and_a_former_one_can_with_all_that_it_parked(
    tmp_path: Path,
) -> None:
    remove = rpc.RemoveSlaConsumerRequest(consumer="sink:s")
    with endpoint() as target:
        target.behaviour = lambda request: Reply(400)
        async with desk(tmp_path, s=table(target.url)) as running:
            await running.tickets("A")
            await running.until(parked=1)
            assert (await refused(running.admin.RemoveSlaConsumer(remove))).reason == "CONSUMER_IN_USE"
        async with desk(tmp_path) as running:
            assert not (await running.admin.ListSlaSinks(rpc.ListSlaSinksRequest())).sinks
            await running.admin.RemoveSlaConsumer(remove)
        target.behaviour = lambda request: Reply()
        async with desk(tmp_path, s=table(target.url)) as running:
            sink = await running.until(lag=0, delivered=1)
            assert sink.parked == 0


async def test_pages_of_parked_events(tmp_path: Path) -> None:
    with endpoint() as target:
        target.behaviour = lambda request: Reply(400)
        async with desk(tmp_path, s=table(target.url)) as running:
            await running.tickets("A", "B", "C", "D", "E")
            await running.until(parked=5)
            found: list[int] = []
            more, after = True, 0
            while more:
                request = rpc.ListParkedSlaEventsRequest(sink="s", after_sequence=after, page_size=2)
                reply = await running.admin.ListParkedSlaEvents(request)
                assert 1 <= len(reply.events) <= 2
                found += [parked.event.sequence for parked in reply.events]
                more, after = reply.more, found[-1]
            assert found == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("parallel", [1, 8])
async def test_a_sink_that_has_parked_as_much_as_may_be_waits_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    """More wait than are held in memory: what was parked finds its way nevertheless."""
    monkeypatch.setattr(parked_module, "MAX_PARKED", 3)
    monkeypatch.setattr(courier, "MIN_WINDOW", 1)
    names = [f"T-{number}" for number in range(40)]
    with endpoint() as target:
        target.behaviour = lambda request: Reply(400)
        async with desk(tmp_path, s=table(target.url) | {"parallel": parallel}) as running:
            await running.tickets(*names)
            full = "events are parked; replay or discard them"
            sink = await running.until(parked=lambda count: count >= 3, last_error=lambda text: full in text)
            assert sink.lag >= 2
            target.behaviour = lambda request: Reply()
            await running.replay()
            await running.until(lag=0, parked=0)
        assert sorted(tickets(target.accepted)) == sorted(f"acme/{name}" for name in names)


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    with endpoint() as target:
        target.behaviour = lambda request: Reply(422 if request.event["subject"] == "B" else 200)
        config = tmp_path / "slad.toml"
        config.write_text(
            '[sinks.hook]\ntype = "webhook"\nallow_http = true\nallow_networks = ["127.0.0.0/8", "::1/128"]\n'
            f'backoff_min = "1ms"\nbackoff_max = "20ms"\nurl = "{target.url}"\n',
            "utf-8",
        )
        assert "# [sinks.hook] is as in" in command("config", "show", "--config", str(config)).stdout
        options = ["--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--config", str(config)]
        with slad_process(*options) as daemon:
            (address,) = daemon.addresses

            def start(ticket_id: str) -> None:
                request = backend.StartSlaTrackingRequest(tenant_id="acme", ticket_id=ticket_id)
                request.targets.add(response_time_minutes=60, is_24x7=True)
                with grpc.insecure_channel(address) as channel:
                    sla_backend_pb2_grpc.SlaBackendStub(channel).StartSlaTracking(request, timeout=30)

            def sinks(*arguments: str) -> str:
                done = command("sinks", *arguments, "--address", address)
                assert done.returncode == 0, done.stderr
                return done.stdout

            def until(**fields: str) -> None:
                sink: dict[str, Any] = {}
                while {name: sink.get(name) for name in fields} != fields:
                    (sink,) = json.loads(sinks("list", "--json"))

            # One after the other, so that the success after which B gets its second chance is A's.
            start("B")
            until(parked="1", failures="1")
            start("A")
            until(delivered="1", failures="2")
            start("C")
            until(delivered="2", lag="0")
            header, row = sinks("list").splitlines()
            assert header.split()[:7] == ["SINK", "TYPE", "STATE", "LAG", "DELIVERED", "FAILURES", "PARKED"]
            assert row.split()[:7] == ["hook", "webhook", "ready", "0", "2", "2", "1"]
            header, row = sinks("parked", "hook").splitlines()
            assert header.split() == ["SEQUENCE", "TENANT", "TICKET", "TYPE", "PARKED", "ATTEMPTS", "REASON"]
            assert row.split()[:4] == ["1", "acme", "B", "started"]
            assert row.endswith("2         answers 422: it does not take this event")
            (parked,) = map(json.loads, sinks("parked", "hook", "--json").splitlines())
            assert parked["event"]["ticket_id"] == "B"

            target.behaviour = lambda request: Reply()
            assert sinks("replay", "hook", "1") == "1 event will be delivered again\n"
            until(parked="0")
            assert sinks("discard", "hook", "--all") == "discarded 0 events\n"
            assert sinks("parked", "hook").splitlines()[1:] == []
            gone = command("sinks", "replay", "hook", "1", "--address", address)
            assert gone.returncode == 6
            assert gone.stderr.startswith("slad: sink 'hook' has not parked event 1")
            assert command("sinks", "parked", "none", "--address", address).returncode == 6
            assert command("sinks", "replay", "hook", "--address", address).returncode == 2
            assert command("sinks", "discard", "hook", "2", "--all", "--address", address).returncode == 2
        assert "hush-hush" not in daemon.output
    assert [request.event["subject"] for request in target.accepted] == ["A", "C", "B"]


def test_a_wrong_table_is_exit_code_2_with_its_key(tmp_path: Path) -> None:
    config = tmp_path / "slad.toml"
    config.write_text('[sinks.psa]\ntype = "redis"\n', "utf-8")
    for arguments in (["config", "check"], ["serve", "--data", str(tmp_path / "data")]):
        done = command(*arguments, "--config", str(config))
        assert done.returncode == 2
        assert f"{config}: sinks.psa.url: is missing" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()
