"""Deadlines, retries and watches without a server and without time."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import grpc
import pytest
import slad_client
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from slad_client import NO_RETRY, RetryPolicy, _calls
from slad_client._policy import Attempts, Defaults, Ledger, Subscription, UnaryCall
from slad_client.errors import from_rpc_error
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

DETAILS = "grpc-status-details-bin"


def failure(code: grpc.StatusCode, message: str = "", details: bytes | None = None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*([(DETAILS, details)] if details is not None else []))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, message)


def packed(code: grpc.StatusCode, message: str, *details: Any) -> bytes:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


GONE = failure(grpc.StatusCode.UNAVAILABLE)
LATE = failure(grpc.StatusCode.DEADLINE_EXCEEDED)


# --- errors


def test_details_that_are_not_of_the_error_are_left_alone() -> None:
    code = grpc.StatusCode.NOT_FOUND
    for strange in (b"\xff\xff", b"", packed(grpc.StatusCode.ABORTED, "x"), packed(code, "another message")):
        error = from_rpc_error(failure(code, "message", strange))
        assert isinstance(error, slad_client.NotFound)
        assert (error.reason, error.message, error.violations) == ("", "message", ())


def test_details_that_nobody_knows_are_passed_over() -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    info = error_details_pb2.ErrorInfo(reason="WHY", domain="slad", metadata={"a": "b"})
    unknown = AnyMessage(type_url="type.googleapis.com/of.tomorrow", value=b"?")
    error = from_rpc_error(failure(code, "no", packed(code, "no", unknown, info)), "r-1")
    assert isinstance(error, slad_client.InvalidArgument)
    assert (error.reason, error.metadata, error.field, error.request_id) == ("WHY", {"a": "b"}, "", "r-1")
    assert str(error) == "WHY: no"


def test_every_status_has_a_class() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            error = from_rpc_error(failure(code))
            assert error.code is code
            assert type(error).__name__ in slad_client.__all__
            assert str(error).startswith(code.name)


def test_an_error_is_copied_and_pickled_whole() -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    info = error_details_pb2.ErrorInfo(reason="WHY", domain="slad", metadata={"a": "b"})
    request = error_details_pb2.BadRequest()
    request.field_violations.add(field="x", description="no", reason="WHY")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(2)
    error = from_rpc_error(failure(code, "no", packed(code, "no", info, request, retry)), "r-1")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.about("r-1")):
        assert type(other) is slad_client.InvalidArgument
        assert (str(other), other.field, vars(other)) == ("WHY: no", "x", vars(error))


# --- retries


def test_the_bound_of_the_pause_doubles_up_to_a_limit() -> None:
    policy = RetryPolicy(first_delay=0.1, max_delay=1.0, random=lambda: 1.0)
    assert [policy.delay(n) for n in (1, 2, 3, 4, 5, 10_000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@given(failures=st.integers(1, 100), asked=st.floats(0, 60))
def test_the_pause_is_random_below_its_bound_and_never_shorter_than_asked(
    failures: int, asked: float
) -> None:
    policy = RetryPolicy()
    assert asked <= policy.delay(failures, asked) <= asked + policy.max_delay


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(clock: Clock, call: UnaryCall[Any], policy: RetryPolicy) -> Attempts:
    return Attempts(call, Defaults(5.0, policy, False), clock)


STEADY = RetryPolicy(random=lambda: 1.0, attempts=10, first_delay=1.0, max_delay=1.0)
COMMAND = _calls.cancel_sla(ticket_id="T-1")
QUERY = _calls.get_sla_status(ticket_id="T-1")


def test_the_attempts_of_a_command_share_its_timeout() -> None:
    clock = Clock()
    way = attempts(clock, COMMAND, STEADY)
    assert way.timeout() == 2.0
    clock.now += 2
    assert way.after(LATE) == 1.0
    clock.now += 1
    assert way.timeout() == 2.0
    clock.now += 1.5
    assert way.timeout() == 0.5
    with pytest.raises(slad_client.DeadlineExceeded) as caught:
        way.after(LATE)  # the pause alone would be too long
    assert caught.value.request_id == COMMAND.request.request_id  # type: ignore[attr-defined]


def test_a_query_has_all_its_timeout_for_one_attempt() -> None:
    way = attempts(Clock(), QUERY, STEADY)
    assert way.timeout() == 5.0
    with pytest.raises(slad_client.DeadlineExceeded):
        way.after(LATE)


def test_without_retries_a_command_too() -> None:
    way = attempts(Clock(), COMMAND, NO_RETRY)
    assert way.timeout() == 5.0
    with pytest.raises(slad_client.Unavailable):
        way.after(GONE)


def test_a_timeout_that_is_over_is_none_left() -> None:
    clock = Clock()
    way = attempts(clock, QUERY, STEADY)
    clock.now += 6
    assert way.timeout() == 0.0


def test_what_a_call_says_goes_before_what_the_client_says() -> None:
    way = attempts(Clock(), _calls.cancel_sla(ticket_id="T", timeout=timedelta(minutes=1)), NO_RETRY)
    assert way.timeout() == 60.0
    assert _calls.seconds("timeout", 3) == 3


# --- watches


def watch(**fields: Any) -> Any:
    return _calls.watch_sla_events(**fields)


def reply(*sequences: int) -> rpc.WatchSlaEventsResponse:
    return rpc.WatchSlaEventsResponse(events=[pb.SlaEvent(sequence=sequence) for sequence in sequences])


def fresh(subscription: Subscription, *sequences: int) -> list[int]:
    return [event.sequence for event in subscription.fresh(reply(*sequences))]


def test_no_event_is_handed_out_twice() -> None:
    subscription = Subscription(watch(consumer="psa"), RetryPolicy())
    assert fresh(subscription, 3, 4) == [3, 4]
    subscription.after(GONE)
    assert fresh(subscription, 2, 3, 4, 7) == [7]


def test_a_look_goes_on_behind_the_last_event_and_a_consumer_where_slad_knows() -> None:
    look = Subscription(watch(tenant_id="acme", types=[1]), RetryPolicy())
    assert not look.request().HasField("after_sequence")
    fresh(look, 8, 9)
    assert look.request() == rpc.WatchSlaEventsRequest(
        tenant_id="acme", types=[pb.SLA_EVENT_TYPE_STARTED], after_sequence=9
    )
    consumer = Subscription(watch(consumer="psa", after_sequence=5), RetryPolicy())
    fresh(consumer, 8, 9)
    assert consumer.request() == rpc.WatchSlaEventsRequest(consumer="psa", after_sequence=5)


def test_pauses_between_streams_grow_until_an_event_comes() -> None:
    subscription = Subscription(watch(), RetryPolicy(random=lambda: 1.0, first_delay=0.1, max_delay=0.4))
    assert [subscription.after(GONE) for _ in range(4)] == [0.1, 0.2, 0.4, 0.4]
    fresh(subscription, 1)
    assert subscription.after(None) == 0.1


def test_an_internal_error_of_slads_own_ends_a_watch() -> None:
    code = grpc.StatusCode.INTERNAL
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain="slad")
    with pytest.raises(slad_client.Internal):
        Subscription(watch(), RetryPolicy()).after(failure(code, "", packed(code, "", info)))
    assert Subscription(watch(), RetryPolicy(random=lambda: 0.0)).after(failure(code)) == 0.0


def ledger(every: int = 3) -> Ledger:
    return Ledger(watch(consumer="psa", acknowledge=True, ack_every=every))


def due(book: Ledger) -> int | None:
    call = book.due()
    return call.request.sequence if call else None  # type: ignore[attr-defined]


def test_a_ledger_asks_for_an_acknowledgement_every_so_many_events() -> None:
    book = ledger()
    assert due(book) is None
    assert [book.deal(sequence) for sequence in (1, 2, 5, 6, 7, 8)] == [False, False, True] * 2
    assert due(book) == 8


def settle(book: Ledger, error: slad_client.SladError | None = None) -> None:
    call = book.due()
    assert call
    book.settle(call, error)


def test_a_ledger_asks_once_unless_it_failed() -> None:
    book = ledger()
    book.deal(1)
    settle(book, from_rpc_error(GONE))
    assert due(book) == 1
    settle(book, from_rpc_error(LATE))
    assert due(book) == 1
    settle(book)
    assert due(book) is None
    book.deal(2)
    settle(book, slad_client.OutOfRange(grpc.StatusCode.OUT_OF_RANGE, "", reason="ACK_BEHIND"))
    assert due(book) is None


def test_what_is_dealt_with_during_an_acknowledgement_is_due_afterwards() -> None:
    book = ledger()
    book.deal(1)
    call = book.due()
    assert call
    book.deal(2)
    book.settle(call)
    assert due(book) == 2


def test_a_refused_acknowledgement_is_told_and_not_repeated() -> None:
    book = ledger()
    book.deal(1)
    settle(book, slad_client.OutOfRange(grpc.StatusCode.OUT_OF_RANGE, "", reason="ACK_BEYOND_SENT"))
    assert book.due() is None
    with pytest.raises(slad_client.OutOfRange):
        book.deal(2)
