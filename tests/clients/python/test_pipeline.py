"""Pipelines of both clients against a daemon, and against a relay that loses answers."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import slad_client
from slad_client import NO_RETRY, RetryPolicy, aio, sync
from slad_client._pipeline import FIELDS, MAX_UNDER_WAY, PER_MESSAGE
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refusal
from tests.clients.python.conftest import AT_ONCE, Client, Connect
from tests.clients.python.relay import HANGS, Fault, Relay, refusing
from tests.slad_under_test import OFFICE, Slad, slad_running, target, told

GONE = Fault(grpc.StatusCode.UNAVAILABLE)
NOT_FORWARDED = Fault(grpc.StatusCode.UNAVAILABLE, forward=False)

AWAY = (slad_client.Unavailable, slad_client.DeadlineExceeded)
"""What commands end with when slad does not come; which of them depends on how far gRPC has got."""

PATIENT = {"timeout": 60.0}
"""For what is sure to come, on a machine that may be slow."""


def tickets(count: int) -> list[str]:
    return [f"T-{number}" for number in range(count)]


def start(pipeline: Any, ticket_id: str = "T-1", **fields: Any) -> Any:
    given = {"tenant_id": "acme", "ticket_id": ticket_id, "targets": [target()], "schedule": OFFICE}
    return pipeline.start_sla_tracking(**(given | fields))


def start_command(ticket_id: str, **fields: Any) -> rpc.SlaCommand:
    given = {"tenant_id": "acme", "ticket_id": ticket_id, "targets": [target()], "schedule": OFFICE}
    return rpc.SlaCommand(start=rpc.StartSlaTrackingRequest(**(given | fields)))


def commands_of(relay: Relay) -> list[list[str]]:
    """The request_ids of the commands of each message that has come."""
    return [
        [
            getattr(command, command.WhichOneof("command") or "cancel").request_id
            for command in message.commands
        ]
        for message in relay.requests("ExecuteSla")
    ]


# --- the methods


@pytest.mark.parametrize("module", [aio, sync])
def test_a_pipeline_has_a_method_for_every_command_with_the_signature_of_the_clients(module: Any) -> None:
    by_request = {
        "StartSlaTracking": "start_sla_tracking",
        "RecordSlaMessage": "record_sla_message",
    }
    for full_name in FIELDS.keys() - {"slad.v1.SlaCommand"}:
        name = full_name.removeprefix("slad.v1.").removesuffix("Request")
        method = by_request.get(name, "_".join(_words(name)))
        assert getattr(module.SladPipeline, method).__signature__ == (
            getattr(module.SladClient, method).__signature__
        )
        assert "Raises " in getattr(module.SladPipeline, method).__doc__


def _words(name: str) -> list[str]:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).split()


async def test_every_command_does_through_a_pipeline_what_it_does_alone(client: Client, slad: Slad) -> None:
    ids = {"tenant_id": "acme", "ticket_id": "T-1"}
    async with client.pipeline() as pipeline:
        # Of one ticket, and none waits for the one before: they are carried out in order all the same.
        (
            started,
            paused,
            resumed,
            assigned,
            written,
            retargeted,
            completed,
            cancelled,
            reopened,
        ) = await asyncio.gather(
            start(pipeline, policy_id="gold"),
            pipeline.pause_sla(**ids, reason="AWAITING_CLIENT"),
            pipeline.resume_sla(**ids),
            pipeline.assign_sla(**ids, owner="ann"),
            pipeline.record_sla_message(**ids, sender="AGENT"),
            pipeline.retarget_sla(**ids, targets=[target(resolution=480)], schedule=OFFICE),
            pipeline.complete_sla(**ids, phase="RESPONSE", met=False),
            pipeline.cancel_sla(**ids),
            pipeline.reopen_sla(**ids, mode="RESTART"),
        )
    assert started.created
    assert started.status.policy_id == "gold"
    assert paused.status.is_paused
    assert resumed.changed
    assert not resumed.status.is_paused
    assert assigned.changed
    assert written.changed
    assert retargeted.status.resolution.target.ToSeconds() == 480 * 60
    assert (completed.changed, completed.met) == (False, True), "the agent's message was the response"
    assert cancelled.status.state == pb.SLA_TRACKING_STATE_CANCELLED
    assert reopened.status.generation == 2
    assert reopened.status == (await client.get_sla_status(**ids)).status
    kinds = "STARTED", "PAUSED", "RESUMED", "OWNER_CHANGED", "RESPONSE PHASE_COMPLETED", "RETARGETED"
    assert told(await slad.events()) == [*kinds, "CANCELLED", "REOPENED"]


async def test_a_command_that_is_refused_raises_what_it_raises_alone(client: Client) -> None:
    async def wrong(sender: Any, ticket: str) -> list[Exception]:
        schedule = pb.BusinessHoursSchedule(timezone="Mars/Olympus", entries=OFFICE.entries)
        calls = [
            start(sender, ticket, schedule=schedule, request_id="r-1"),
            sender.pause_sla(ticket_id="nobody", reason="STATUS_PAUSE", request_id="r-2"),
            start(sender, ticket, on_existing="FAIL", request_id="r-3"),
            start(sender, ticket, on_existing="FAIL", request_id="r-4"),
        ]
        return [e for e in await asyncio.gather(*calls, return_exceptions=True) if isinstance(e, Exception)]

    async with client.pipeline() as pipeline:
        through = await wrong(pipeline, "T-1")
    alone = []
    for call in (
        start(client, "T-1", schedule=pb.BusinessHoursSchedule(timezone="Mars/Olympus"), request_id="r-1"),
        client.pause_sla(ticket_id="nobody", reason="STATUS_PAUSE", request_id="r-2"),
        start(client, "T-1", on_existing="FAIL", request_id="r-4"),
    ):
        with pytest.raises(slad_client.SladError) as caught:
            await call
        alone.append(caught.value)
    expected = [slad_client.InvalidArgument, slad_client.NotFound, slad_client.AlreadyExists]
    assert [type(error) for error in through] == [type(error) for error in alone] == expected
    for one, other in zip(through, alone, strict=True):
        assert isinstance(one, slad_client.SladError)
        assert (one.code, one.reason, one.request_id) == (other.code, other.reason, other.request_id)
    assert isinstance(through[0], slad_client.InvalidArgument)
    assert through[0].field == "schedule.timezone"


async def test_without_status_replies_say_what_changed_and_no_more(client: Client) -> None:
    async with client.pipeline(omit_status=True) as pipeline:
        reply = await start(pipeline)
    assert reply == rpc.StartSlaTrackingResponse(created=True)


async def test_how_many_tickets_stand_in_one_call(client: Client) -> None:
    await client.execute([start_command(ticket) for ticket in tickets(3)])
    page = await client.batch_get_sla_status(tenant_id="acme", ticket_ids=["T-2", "nobody", "T-0"])
    assert [status.ticket_id for status in page.statuses] == ["T-2", "T-0"]
    assert page.not_found == ["nobody"]


# --- messages


async def test_commands_share_messages_and_each_has_its_own_reply(relay: Relay, relayed: Client) -> None:
    async with relayed.pipeline() as pipeline:
        replies = await asyncio.gather(*(start(pipeline, ticket) for ticket in tickets(300)))
        again = await asyncio.gather(*(start(pipeline, ticket) for ticket in tickets(300)))
    assert [reply.status.ticket_id for reply in replies] == tickets(300)
    assert all(reply.created for reply in replies)
    assert not any(reply.created for reply in again)
    messages = relay.requests("ExecuteSla")
    assert sum(len(message.commands) for message in messages) == 600
    assert max(len(message.commands) for message in messages) <= PER_MESSAGE
    if isinstance(relayed.client, aio.SladClient):  # of the other it depends on the threads
        assert len(messages) == 2 * -(-300 // PER_MESSAGE)


# --- streams that break


async def test_a_command_whose_answer_was_lost_is_carried_out_once(
    relay: Relay, relayed: Client, slad: Slad
) -> None:
    relay.fail("ExecuteSla", GONE, NOT_FORWARDED)
    async with relayed.pipeline() as pipeline:
        replies = await asyncio.gather(*(start(pipeline, ticket) for ticket in tickets(20)))
    assert all(reply.created for reply in replies), "the first answer, not that of the repetition"
    assert [reply.status.ticket_id for reply in replies] == tickets(20)
    sent = [request_id for message in commands_of(relay) for request_id in message]
    assert len(set(sent)) == 20
    assert len(sent) > 20
    assert told(await slad.events()) == ["STARTED"] * 20


async def test_order_is_kept_over_a_stream_that_breaks(relay: Relay, relayed: Client, slad: Slad) -> None:
    relay.fail("ExecuteSla", GONE, None, NOT_FORWARDED, None, GONE)  # type: ignore[arg-type]
    ids = {"tenant_id": "acme", "ticket_id": "T-1"}
    async with relayed.pipeline() as pipeline:
        await start(pipeline)
        for _ in range(5):
            paused, resumed = await asyncio.gather(
                pipeline.pause_sla(**ids, reason="AWAITING_CLIENT"), pipeline.resume_sla(**ids)
            )
            assert (paused.changed, resumed.changed) == (True, True)
    assert told(await slad.events()) == ["STARTED", *["PAUSED", "RESUMED"] * 5]


async def test_a_server_that_falls_silent_is_asked_again_over_another_stream(
    relay: Relay, connect: Connect, slad: Slad
) -> None:
    client = connect(relay.address, retry=RetryPolicy(attempt_timeout=0.2, random=lambda: 0.0))
    relay.fail("ExecuteSla", HANGS)
    async with client.pipeline(**PATIENT) as pipeline:
        assert (await start(pipeline)).created
    assert len({request_id for message in commands_of(relay) for request_id in message}) == 1
    assert told(await slad.events()) == ["STARTED"]


async def test_a_pipeline_outlasts_a_restart_of_slad(connect: Connect, tmp_path: Path) -> None:
    socket, data = f"unix:{tmp_path}/slad.sock", tmp_path / "data"
    client = connect(socket)
    client.moment = 0.02
    async with client.pipeline(**PATIENT) as pipeline:
        async with slad_running(data, listen=[socket]):
            await start(pipeline, "T-1")
        waiting = asyncio.gather(*(start(pipeline, ticket) for ticket in ["T-1", "T-2"]))
        async with slad_running(data, listen=[socket]) as slad:
            assert [reply.created for reply in await waiting] == [False, True]
            assert told(await slad.events()) == ["STARTED", "STARTED"]
            await pipeline.close()


async def test_a_slad_that_does_not_come_ends_all_that_waits_and_a_later_one_serves(
    connect: Connect, tmp_path: Path
) -> None:
    socket = f"unix:{tmp_path}/slad.sock"
    client = connect(socket)
    client.moment = 0.02
    async with client.pipeline(timeout=0.3) as pipeline:
        outcomes = await asyncio.gather(
            *(start(pipeline, ticket, request_id=ticket) for ticket in tickets(200)), return_exceptions=True
        )
        assert all(isinstance(outcome, AWAY) for outcome in outcomes), outcomes
        assert [outcome.request_id for outcome in outcomes] == tickets(200)  # type: ignore[union-attr]
        async with slad_running(tmp_path / "data", listen=[socket]):
            served = None
            while not served:  # gRPC tries again in its own time
                with suppress(*AWAY):
                    served = await start(pipeline, request_id="r-1")
            assert served.created
            await pipeline.close()


async def test_a_command_with_a_timeout_of_its_own_ends_alone(relay: Relay, connect: Connect) -> None:
    client = connect(relay.address, retry=RetryPolicy(attempt_timeout=60.0))
    relay.hold = asyncio.Event()
    async with client.pipeline(**PATIENT) as pipeline:
        late = asyncio.create_task(start(pipeline, "late", timeout=0.1, request_id="r-1"))
        await asyncio.sleep(0)
        others = asyncio.gather(*(start(pipeline, ticket) for ticket in tickets(3)))
        with pytest.raises(slad_client.DeadlineExceeded) as caught:
            await late
        assert caught.value.request_id == "r-1"
        relay.hold.set()
        assert [reply.status.ticket_id for reply in await others] == tickets(3)


async def test_without_retries_a_command_is_sent_once(relay: Relay, relayed: Client) -> None:
    relay.fail("ExecuteSla", NOT_FORWARDED)
    async with relayed.pipeline() as pipeline:
        with pytest.raises(slad_client.Unavailable):
            await start(pipeline, retry=NO_RETRY)
        assert (await start(pipeline)).created


async def test_a_pause_that_slad_asks_for_is_kept(relay: Relay, relayed: Client) -> None:
    relay.fail("ExecuteSla", refusing(Refusal.UNAVAILABLE, "STOPPING"))
    async with relayed.pipeline() as pipeline:
        assert (await start(pipeline)).created
    assert relayed.pauses == [1.0]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED])
async def test_an_error_that_no_other_stream_would_mend_is_told_at_once(
    relay: Relay, relayed: Client, code: grpc.StatusCode
) -> None:
    relay.fail("ExecuteSla", Fault(code, forward=False))
    async with relayed.pipeline() as pipeline:
        outcomes = await asyncio.gather(
            *(start(pipeline, ticket) for ticket in tickets(3)), return_exceptions=True
        )
        assert [getattr(outcome, "code", None) for outcome in outcomes] == [code] * 3
        assert (await start(pipeline)).created
    assert relayed.pauses == []


async def test_a_token_that_cannot_be_had_is_told_to_all(slad: Slad, connect: Connect) -> None:
    have = False

    def token() -> str:
        if not have:
            raise OSError("the vault is sealed")
        return "secret"

    client = connect(slad.daemon.addresses[0], token=token)
    async with client.pipeline() as pipeline:
        for ticket in ("T-1", "T-2"):
            with pytest.raises(OSError, match="sealed"):
                await start(pipeline, ticket)
        have = True
        assert (await start(pipeline)).created


# --- closing


async def test_leaving_the_block_waits_for_what_is_under_way(client: Client, slad: Slad) -> None:
    async with client.pipeline() as pipeline:
        sending = [asyncio.ensure_future(start(pipeline, ticket)) for ticket in tickets(300)]
        await asyncio.sleep(0)
    assert sum(future.done() for future in sending) >= 299, "the last is told in the same moment"
    assert len(told(await slad.events())) == 300
    with pytest.raises(slad_client.Cancelled, match="pipeline was closed"):
        await start(pipeline)


async def test_a_pipeline_that_nothing_was_sent_through_is_closed_at_once(client: Client) -> None:
    async with client.pipeline():
        pass
    pipeline = client.pipeline()
    await pipeline.close()
    await pipeline.close()


async def test_a_closed_client_ends_its_pipelines(relay: Relay, relayed: Client) -> None:
    relay.hold = asyncio.Event()
    pipeline = relayed.pipeline()
    waiting = asyncio.ensure_future(start(pipeline, request_id="r-1"))
    await relay.until(lambda: len(relay.seen) == 1)
    await relayed.close()
    with pytest.raises(slad_client.Cancelled, match="client was closed") as caught:
        await waiting
    assert caught.value.request_id == "r-1"
    with pytest.raises(slad_client.Cancelled, match="client was closed"):
        await start(pipeline)
    await relay.until(lambda: relay.streams == 0)


async def test_every_stream_comes_to_its_end(relay: Relay, relayed: Client) -> None:
    async with relayed.pipeline() as pipeline:
        await start(pipeline)
        assert relay.streams == 1
    await relay.until(lambda: relay.streams == 0)
    assert relay.cancelled == 0, "slad has heard that nothing more comes"


# --- batches


async def test_a_batch_has_an_outcome_for_each_command_in_their_order(relay: Relay, relayed: Client) -> None:
    pause = rpc.PauseSlaRequest(ticket_id="T-0", reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, request_id="r-7")
    given = [
        *(start_command(ticket) for ticket in tickets(200)),
        rpc.SlaCommand(pause=pause),
        rpc.SlaCommand(cancel=rpc.CancelSlaRequest(ticket_id="nobody")),
        rpc.SlaCommand(),
        rpc.SlaCommand(resume={"ticket_id": "T-0"}),  # type: ignore[arg-type]
    ]
    before = [command.SerializeToString() for command in given]
    *started, paused, missing, empty, resumed = await relayed.execute(given, omit_status=True)
    assert started == [rpc.StartSlaTrackingResponse(created=True)] * 200
    assert paused == rpc.PauseSlaResponse(changed=True)
    assert isinstance(missing, slad_client.NotFound)
    assert missing.reason == "TRACKING_NOT_FOUND"
    assert isinstance(empty, slad_client.InvalidArgument)
    assert (empty.field, empty.reason) == ("command", "REQUIRED")
    assert resumed == rpc.ResumeSlaResponse(changed=True)
    assert [command.SerializeToString() for command in given] == before
    messages = commands_of(relay)
    assert [len(message) for message in messages] == [128, 76]
    assert messages[1][72] == "r-7"
    assert sum(not request_id for message in messages for request_id in message) == 1, "the empty one"


async def test_an_empty_batch_sends_nothing(relay: Relay, relayed: Client) -> None:
    assert await relayed.execute([]) == []
    assert relay.seen == []


async def test_a_batch_with_something_else_in_it_sends_nothing(relay: Relay, relayed: Client) -> None:
    with pytest.raises(TypeError, match="is not a SlaCommand"):
        await relayed.execute([start_command("T-1"), rpc.CancelSlaRequest(ticket_id="T-1")])
    assert relay.seen == []


async def test_a_batch_goes_on_over_a_stream_that_breaks(relay: Relay, relayed: Client, slad: Slad) -> None:
    relay.fail("ExecuteSla", None, GONE, NOT_FORWARDED)  # type: ignore[arg-type]
    outcomes = await relayed.execute([start_command(ticket) for ticket in tickets(500)])
    assert [outcome.status.ticket_id for outcome in outcomes] == tickets(500)
    assert all(outcome.created for outcome in outcomes)
    assert told(await slad.events()) == ["STARTED"] * 500


# --- what is of one of them alone


async def test_no_more_than_slad_reads_is_under_way_and_the_rest_waits(relay: Relay) -> None:
    relay.hold = asyncio.Event()
    retry = RetryPolicy(attempt_timeout=60.0)
    async with (
        aio.SladClient(relay.address, retry=retry) as client,
        client.pipeline(timeout=60) as pipeline,
    ):
        sending = asyncio.gather(*(start(pipeline, ticket) for ticket in tickets(1_500)))
        under_way = pipeline._backlog._under_way
        await relay.until(lambda: len(under_way) == MAX_UNDER_WAY, polled=True)
        assert len(pipeline._backlog) == 1_500
        assert pipeline._backlog.message() is None
        relay.hold.set()
        assert [reply.status.ticket_id for reply in await sending] == tickets(1_500)


async def test_a_task_that_is_cancelled_takes_its_command_back_if_it_can(relay: Relay) -> None:
    async with aio.SladClient(relay.address, retry=AT_ONCE) as client, client.pipeline() as pipeline:
        task = asyncio.create_task(start(pipeline, "T-1"))
        await asyncio.sleep(0)
        task.cancel()
        assert (await start(pipeline, "T-2")).created
        with pytest.raises(asyncio.CancelledError):
            await task
    sent = [command.start.ticket_id for m in relay.requests("ExecuteSla") for command in m.commands]
    assert sent == ["T-2"]


async def test_a_task_that_is_cancelled_in_the_block_leaves_it_at_once(relay: Relay) -> None:
    relay.hold = asyncio.Event()
    async with aio.SladClient(relay.address, retry=AT_ONCE) as client:

        async def work() -> None:
            async with client.pipeline(timeout=3600) as pipeline:
                await start(pipeline)

        task = asyncio.create_task(work())
        await relay.until(lambda: len(relay.seen) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_threads_share_a_pipeline(slad: Slad) -> None:
    def work(count: int) -> None:
        with sync.SladClient(slad.daemon.addresses[0]) as client, client.pipeline(**PATIENT) as pipeline:
            told_in: list[str] = []

            def send(thread: int) -> None:
                futures = [start(pipeline, f"{thread}-{number}") for number in range(count)]
                for future in futures:
                    future.add_done_callback(lambda done: told_in.append(done.result().status.ticket_id))

            threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for number in range(4):
            mine = [ticket for ticket in told_in if ticket.startswith(f"{number}-")]
            assert mine == [f"{number}-{place}" for place in range(count)]

    await asyncio.to_thread(work, 800)


async def test_a_callback_may_send_more_even_when_there_is_no_room(slad: Slad) -> None:
    def work() -> int:
        more: list[Any] = []
        with sync.SladClient(slad.daemon.addresses[0]) as client, client.pipeline(**PATIENT) as pipeline:

            def go_on(done: Any) -> None:
                more.append(pipeline.cancel_sla(tenant_id="acme", ticket_id=done.result().status.ticket_id))

            for ticket in tickets(2_500):
                start(pipeline, ticket).add_done_callback(go_on)
            while len(more) < 2_500:
                time.sleep(0.01)
        return sum(future.result().changed for future in more)

    assert await asyncio.to_thread(work) == 2_500


async def test_a_caller_waits_when_there_is_no_room(relay: Relay) -> None:
    relay.hold = asyncio.Event()
    client = sync.SladClient(relay.address, retry=RetryPolicy(attempt_timeout=60.0))
    put: list[Any] = []

    def work() -> None:
        with client, client.pipeline(**PATIENT) as pipeline:
            for ticket in tickets(2_100):
                put.append(start(pipeline, ticket))  # noqa: PERF401 - looked at meanwhile

    working = asyncio.create_task(asyncio.to_thread(work))
    await relay.until(lambda: len(put) == 2 * MAX_UNDER_WAY, polled=True)
    relay.hold.set()
    await working
    assert len({future.result().status.ticket_id for future in put}) == 2_100
