"""What pipelines put into messages, and whose result is whose: without a server and without time."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import grpc
import pytest
import slad_client
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from slad_client import NO_RETRY, RetryPolicy, _calls
from slad_client._pipeline import (
    MAX_MESSAGE_BYTES,
    MAX_UNDER_WAY,
    PER_MESSAGE,
    Backlog,
    call_of,
    deliver,
)
from slad_client.errors import SladError, from_rpc_error
from slad_client.v1 import sla_backend_pb2 as rpc

from tests.clients.python.test_policy import GONE, Clock, failure

POLICY = RetryPolicy(random=lambda: 1.0, first_delay=0.1, max_delay=10.0)
TIMEOUT_S = 5.0


class Pipe:
    """A backlog, with its caller and its server."""

    def __init__(self, retry: RetryPolicy = POLICY) -> None:
        self.clock = Clock()
        self.backlog = Backlog(retry, TIMEOUT_S, omit_status=False, clock=self.clock)

    def put(self, *names: str, **fields: Any) -> list[Future[Any]]:
        """Cancels of tickets, each under its name as the request_id too."""
        futures = []
        for name in names:
            futures.append(Future[Any]())
            call = _calls.cancel_sla(ticket_id=name, request_id=name, **fields)
            deliver(self.backlog.put(call, futures[-1]))
        return futures

    def sent(self) -> list[str]:
        """The tickets of the next message."""
        message = self.backlog.message()
        return [command.cancel.ticket_id for command in message.commands] if message else []

    def answer(self, *changed: bool) -> None:
        self.respond(*map(result, changed))

    def respond(self, *results: rpc.SlaResult) -> None:
        settled, refused = self.backlog.answer(rpc.ExecuteSlaResponse(results=results))
        deliver(settled)
        if refused:
            deliver(self.backlog.broke(refused))

    def breaks(self, error: grpc.RpcError | None = GONE) -> None:
        deliver(self.backlog.broke(from_rpc_error(error) if error else None))


def result(changed: bool) -> rpc.SlaResult:
    return rpc.SlaResult(cancel=rpc.CancelSlaResponse(changed=changed))


def refusal(code: grpc.StatusCode, reason: str, retry_after_s: int = 0) -> rpc.SlaResult:
    status = status_pb2.Status(code=code.value[0], message="no")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason))
    if retry_after_s:
        pause = error_details_pb2.RetryInfo()
        pause.retry_delay.seconds = retry_after_s
        status.details.add().Pack(pause)
    return rpc.SlaResult(error=status)


def changed(futures: list[Future[Any]]) -> list[bool]:
    return [future.result(0).changed for future in futures]


def names(count: int) -> list[str]:
    return [f"T-{number}" for number in range(count)]


# --- messages


def test_what_waits_goes_together() -> None:
    pipe = Pipe()
    assert pipe.sent() == []
    futures = pipe.put("A", "B", "C")
    assert pipe.sent() == ["A", "B", "C"]
    assert pipe.sent() == []
    futures += pipe.put("D")
    assert pipe.sent() == ["D"]
    pipe.answer(True, False)  # a response need not be that of one message
    pipe.answer(True, True)
    assert changed(futures) == [True, False, True, True]
    assert len(pipe.backlog) == 0


def test_a_message_is_bounded_and_so_is_what_is_under_way() -> None:
    pipe = Pipe()
    pipe.put(*names(MAX_UNDER_WAY + 300))
    sizes = []
    while tickets := pipe.sent():
        sizes.append(len(tickets))
    assert sum(sizes) == MAX_UNDER_WAY
    assert max(sizes) == PER_MESSAGE
    # A little room is left alone: many small messages would follow.
    pipe.answer(*[True] * (PER_MESSAGE - 1))
    assert pipe.sent() == []
    pipe.answer(True)
    assert len(pipe.sent()) == PER_MESSAGE


def test_the_bytes_of_a_message_are_bounded() -> None:
    pipe = Pipe()
    third = "x" * (MAX_MESSAGE_BYTES // 6)  # the name stands twice in a command
    pipe.put(third, third, "A", third, third * 8, "B")
    assert [len(pipe.sent()) for _ in range(5)] == [3, 1, 1, 1, 0]


def test_what_no_message_can_hold_is_refused_alone() -> None:
    pipe = Pipe()
    first, large, last = pipe.put("A", "x" * (4 << 20), "B")
    with pytest.raises(slad_client.ResourceExhausted) as caught:
        large.result(0)
    assert caught.value.request_id == "x" * (4 << 20)
    assert pipe.sent() == ["A", "B"]
    pipe.answer(True, True)
    assert changed([first, last]) == [True, True]


def test_a_query_is_no_command() -> None:
    with pytest.raises(TypeError, match="GetSlaStatus"):
        Pipe().backlog.put(_calls.get_sla_status(ticket_id="T"), Future())


def test_every_command_of_the_contract_has_a_place() -> None:
    for field in rpc.SlaCommand.DESCRIPTOR.fields:
        request = getattr(rpc, field.message_type.name)(ticket_id="T-1")  # type: ignore[union-attr]
        given = rpc.SlaCommand(**{field.name: request})
        backlog = Backlog(POLICY, TIMEOUT_S, omit_status=True)
        backlog.put(call_of(given), Future())
        message = backlog.message()
        assert message is not None
        assert message.omit_status
        sent = getattr(message.commands[0], field.name)
        assert sent.request_id
        sent.request_id = ""
        assert message.commands[0] == given, "the caller's own is left as it was"


@pytest.mark.parametrize("thing", [rpc.CancelSlaRequest(), None])
def test_what_is_no_command_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError):
        call_of(thing)


# --- results


def test_a_refusal_is_of_its_command_alone() -> None:
    pipe = Pipe()
    before, refused, after = pipe.put("A", "B", "C")
    assert len(pipe.sent()) == 3
    ended = refusal(grpc.StatusCode.FAILED_PRECONDITION, "TRACKING_COMPLETED")
    pipe.respond(result(True), ended, result(False))
    assert changed([before, after]) == [True, False]
    with pytest.raises(slad_client.FailedPrecondition) as caught:
        refused.result(0)
    assert (caught.value.reason, caught.value.request_id) == ("TRACKING_COMPLETED", "B")


def test_what_slad_refuses_for_now_is_sent_again_with_all_that_was_sent_behind_it() -> None:
    pipe = Pipe()
    futures = pipe.put(*"ABCDE")
    assert pipe.sent() == [*"ABCDE"]
    for_now = refusal(grpc.StatusCode.UNAVAILABLE, "CANNOT_WRITE", retry_after_s=1)
    # C may be of the ticket that B would have started: what it says counts for nothing.
    no_ticket = refusal(grpc.StatusCode.NOT_FOUND, "TRACKING_NOT_FOUND")
    pipe.respond(result(True), for_now, no_ticket, result(True))
    assert [future.done() for future in futures] == [True, False, False, False, False]
    assert pipe.backlog.pause() == pytest.approx(1.1)
    assert pipe.backlog.pause() == 0.0
    futures += pipe.put("F")
    assert pipe.sent() == [*"BCDEF"]
    pipe.answer(*[True] * 5)
    assert changed(futures) == [True] * 6


def test_a_result_that_says_nothing_is_an_error_of_its_command() -> None:
    pipe = Pipe()
    (future,) = pipe.put("A")
    pipe.sent()
    pipe.respond(rpc.SlaResult())
    with pytest.raises(slad_client.Internal):
        future.result(0)


def test_more_results_than_commands_are_no_results() -> None:
    pipe = Pipe()
    with pytest.raises(slad_client.Internal):
        pipe.answer(True)


# --- streams that break


@pytest.mark.parametrize(
    "error",
    [
        None,
        GONE,
        failure(grpc.StatusCode.CANCELLED),
        failure(grpc.StatusCode.INTERNAL),
        failure(grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=lambda error: error.code().name if error else "without a word",
)
def test_what_has_no_answer_is_sent_again_in_order(error: grpc.RpcError | None) -> None:
    pipe = Pipe()
    futures = pipe.put(*"ABCD")
    pipe.sent()
    futures += pipe.put(*"EF")
    pipe.answer(True, False)
    pipe.breaks(error)
    assert pipe.backlog.pause() == 0.1
    assert pipe.sent() == [*"CDEF"]
    pipe.answer(True, True, True, False)
    assert changed(futures) == [True, False, True, True, True, False]


def test_pauses_grow_until_an_answer_comes() -> None:
    pipe = Pipe()
    pipe.put(*"AB")
    pauses = []
    for _ in range(3):
        pipe.sent()
        pipe.breaks()
        pauses.append(pipe.backlog.pause())
    assert pauses == [0.1, 0.2, 0.4]
    pipe.sent()
    pipe.answer(True)
    pipe.breaks()
    assert pipe.backlog.pause() == 0.1


def test_a_stream_that_nobody_needs_may_break() -> None:
    pipe = Pipe()
    pipe.put("A")
    pipe.sent()
    pipe.answer(True)
    pipe.breaks(failure(grpc.StatusCode.UNAUTHENTICATED))
    assert pipe.backlog.pause() == 0.0
    pipe.put("B")
    assert pipe.sent() == ["B"]


def test_an_error_that_no_other_stream_would_mend_ends_all() -> None:
    pipe = Pipe()
    futures = pipe.put(*"AB")
    pipe.sent()
    futures += pipe.put("C")
    pipe.breaks(failure(grpc.StatusCode.PERMISSION_DENIED))
    told = []
    for future in futures:
        with pytest.raises(slad_client.PermissionDenied) as caught:
            future.result(0)
        told.append(caught.value.request_id)
    assert told == [*"ABC"]
    pipe.put("D")
    assert pipe.sent() == ["D"]


def test_without_retries_a_command_is_sent_once() -> None:
    pipe = Pipe()
    once, again = pipe.put("A", retry=NO_RETRY)[0], pipe.put("B")[0]
    pipe.sent()
    pipe.breaks()
    with pytest.raises(slad_client.Unavailable):
        once.result(0)
    assert pipe.sent() == ["B"]
    pipe.answer(True)
    assert changed([again]) == [True]
    pipe = Pipe(NO_RETRY)
    (once,) = pipe.put("C")
    pipe.sent()
    pipe.respond(refusal(grpc.StatusCode.UNAVAILABLE, "STOPPING"))
    with pytest.raises(slad_client.Unavailable):
        once.result(0)


# --- time


def test_a_pipeline_that_hears_nothing_gives_everything_up() -> None:
    pipe = Pipe()
    futures = pipe.put(*"AB")
    pipe.sent()
    pipe.clock.now += TIMEOUT_S - 1
    pipe.answer(True)  # it counts from here
    assert pipe.backlog.due_in() == pytest.approx(2.0), "is slad silent?"
    pipe.clock.now += TIMEOUT_S - 0.1
    deliver(pipe.backlog.expire())
    assert not futures[1].done()
    pipe.clock.now += 0.2
    deliver(pipe.backlog.expire())
    with pytest.raises(slad_client.DeadlineExceeded) as caught:
        futures[1].result(0)
    assert caught.value.request_id == "B"


def test_what_was_wrong_is_told_in_the_end() -> None:
    pipe = Pipe()
    (future,) = pipe.put("A")
    pipe.sent()
    pipe.breaks()
    pipe.clock.now += TIMEOUT_S
    deliver(pipe.backlog.expire())
    with pytest.raises(slad_client.Unavailable) as caught:
        future.result(0)
    assert caught.value.__cause__ is GONE
    assert pipe.sent() == []


def test_a_command_that_was_given_up_leaves_the_results_of_others_where_they_belong() -> None:
    pipe = Pipe()
    late, other = pipe.put("A", timeout=1.0)[0], pipe.put("B")[0]
    pipe.sent()
    assert pipe.backlog.due_in() == 1.0
    pipe.clock.now += 1
    deliver(pipe.backlog.expire())
    with pytest.raises(slad_client.DeadlineExceeded):
        late.result(0)
    pipe.answer(True, False)
    assert changed([other]) == [False]
    assert pipe.backlog.due_in() == float("inf")


def test_a_command_that_was_given_up_before_it_was_sent_is_not_sent() -> None:
    pipe = Pipe()
    pipe.put("A", timeout=1.0)
    abandoned, other = pipe.put(*"BC")
    assert abandoned.cancel()
    pipe.clock.now += 1
    deliver(pipe.backlog.expire())
    assert pipe.sent() == ["C"]
    assert len(pipe.backlog) == 1
    pipe.answer(True)
    assert changed([other]) == [True]
    assert len(pipe.backlog) == 0


def test_slad_is_silent_when_it_does_not_say_a_word_of_what_is_under_way() -> None:
    pipe = Pipe()
    pipe.clock.now += 100
    assert not pipe.backlog.is_silent
    pipe.put(*"AB")
    assert not pipe.backlog.is_silent
    pipe.sent()
    pipe.clock.now += 1.9
    pipe.answer(True)
    pipe.clock.now += 1.9
    assert not pipe.backlog.is_silent
    pipe.clock.now += 0.1
    assert pipe.backlog.is_silent


def test_without_retries_silence_is_waited_through() -> None:
    pipe = Pipe(NO_RETRY)
    pipe.put("A")
    pipe.sent()
    pipe.clock.now += 4.9
    assert not pipe.backlog.is_silent


# --- all of it together


@given(data=st.data())
def test_whatever_happens_each_command_has_its_own_result_once_and_in_order(data: st.DataObject) -> None:
    """A server that carries each request_id out once, streams that break anywhere, responses cut anywhere."""
    pipe = Pipe()
    backlog, futures, done, order = pipe.backlog, [], {}, []  # type: ignore[var-annotated]
    wire: list[str] = []
    unsent: list[str] = []
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["put", "send", "carry out", "answer", "break"])):
            case "put":
                futures += pipe.put(*names(len(futures) + data.draw(st.integers(1, 5)))[len(futures) :])
            case "send":
                wire += pipe.sent()
            case "carry out":
                for name in wire[: data.draw(st.integers(0, 5))]:
                    wire.remove(name)
                    unsent.append(name)
                    if name not in done:
                        order.append(name)
                    done.setdefault(name, len(order) % 2 == 0)
            case "answer":
                told = unsent[: data.draw(st.integers(0, 5))]
                del unsent[: len(told)]
                pipe.answer(*(done[name] for name in told))
            case "break":
                wire, unsent = [], []
                pipe.breaks()
    pipe.breaks()
    while rest := pipe.sent():
        for name in rest:
            if name not in done:
                order.append(name)
            done.setdefault(name, len(order) % 2 == 0)
        pipe.answer(*(done[name] for name in rest))
    assert order == names(len(futures))
    assert changed(futures) == [done[name] for name in order]
    assert len(backlog) == 0


def test_an_error_about_another_command_is_the_same_but_for_its_request_id() -> None:
    error: SladError = slad_client.Unavailable(
        grpc.StatusCode.UNAVAILABLE, "no", reason="STOPPING", metadata={"a": "b"}, request_id="r-1"
    )
    other = error.about("r-2")
    assert (type(other), other.request_id, str(other)) == (slad_client.Unavailable, "r-2", str(error))
    assert vars(other) == vars(error) | {"request_id": "r-2"}
