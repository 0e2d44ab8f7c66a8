"""What both clients do alike, with no input or output of its own: deadlines, retries, watches."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from slad_client.credentials import Token, bearer
from slad_client.errors import (
    Cancelled,
    DeadlineExceeded,
    OutOfRange,
    SladError,
    Unavailable,
    from_rpc_error,
)
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

log = logging.getLogger("slad_client")

Reply = TypeVar("Reply")

DEFAULT_TARGET: Final = "127.0.0.1:7523"
DEFAULT_TIMEOUT_S: Final = 5.0

CHANNEL_OPTIONS: Final[Mapping[str, int]] = {
    # While a watch is open, a daemon or a network that vanished without a word is noticed within 40 s. slad
    # allows a ping every 10 s.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.http2.max_pings_without_data": 0,
    # gRPC's own default, up to two minutes between attempts, is for servers that are far away.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    # 512 events with all the attributes that slad allows are more than gRPC's default of 4 MiB.
    "grpc.max_receive_message_length": -1,
    # slad is a neighbour; the proxy of the environment is for the world.
    "grpc.enable_http_proxy": 0,
}
"""How a channel is made; the clients' `options` come on top."""

RETRIED_QUERY: Final = frozenset({grpc.StatusCode.UNAVAILABLE})
RETRIED_COMMAND: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""A command may have been carried out when no answer comes; its request_id makes the repetition safe."""

ACK_TIMEOUT_S: Final = 2.0
"""How long an acknowledgement of a watch may take; it also bounds the end of the watch."""

_BROKEN_STREAM: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL}
)

_MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How calls are repeated: after UNAVAILABLE, and commands after DEADLINE_EXCEEDED too. Never otherwise.

    The whole call, retries and pauses included, ends with its timeout. The pause before a retry is random
    between nothing and a bound that doubles each time ("full jitter"); when slad asks for a pause
    (RetryInfo), that comes first.
    """

    attempts: int = 6
    """How often a call is sent at most; 1: no retries. A pipeline goes on until its timeout, but for 1."""
    attempt_timeout: float = 2.0
    """Seconds after which a command that has no answer is sent again. At most the call's timeout."""
    first_delay: float = 0.1
    """The first bound of the random pause, in seconds."""
    max_delay: float = 2.0
    """The last one."""
    random: Callable[[], float] = random.random
    """Gives numbers from 0 to 1."""

    def delay(self, failures: int, asked: float = 0.0) -> float:
        """Seconds to wait after so many failures in a row, when slad asks for at least `asked`."""
        bound = min(self.max_delay, self.first_delay * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
        return asked + self.random() * bound


NO_RETRY: Final = RetryPolicy(attempts=1)
"""Every call is sent once."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for the calls of a client that do not say otherwise."""

    timeout: float
    retry: RetryPolicy
    wait_for_ready: bool
    token: Token | None = field(default=None, repr=False)

    def call_options(self) -> dict[str, Any]:
        """Further arguments of every gRPC call."""
        # Left out when false: the channel of grpcio-testing does not know it.
        options: dict[str, Any] = {"wait_for_ready": True} if self.wait_for_ready else {}
        if self.token is not None:
            options["metadata"] = bearer(self.token)
        return options


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[Reply]):
    """A call with one request and one reply, before it is sent."""

    rpc: str
    request: Message
    retry_on: frozenset[grpc.StatusCode]
    timeout: float | None = None
    retry: RetryPolicy | None = None


class Attempts:
    """The way of one call through its attempts, within its timeout."""

    def __init__(
        self, call: UnaryCall[Any], defaults: Defaults, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call = call
        self._retry = call.retry or defaults.retry
        self._clock = clock
        self._deadline = clock() + (defaults.timeout if call.timeout is None else call.timeout)
        self._failures = 0

    def timeout(self) -> float:
        """Seconds that the next attempt may take."""
        left = max(0.0, self._deadline - self._clock())
        if self._retry.attempts > 1 and grpc.StatusCode.DEADLINE_EXCEEDED in self._call.retry_on:
            return min(left, self._retry.attempt_timeout)
        return left

    def after(self, failure: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt. Raises the typed error when there is none."""
        error = from_rpc_error(failure, getattr(self._call.request, "request_id", ""))
        self._failures += 1
        if error.code not in self._call.retry_on or self._failures >= self._retry.attempts:
            raise error from failure
        delay = self._retry.delay(self._failures, asked(error))
        if self._clock() + delay >= self._deadline:
            raise error from failure
        log.debug("%s: %s; again in %.3f s", self._call.rpc, error, delay)
        return delay


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch, before it is begun."""

    request: rpc.WatchSlaEventsRequest
    acknowledge: bool
    ack_every: int
    ack_interval: float
    reconnect: bool


class Subscription:
    """Where a watch stands, over all the streams that it takes."""

    def __init__(self, watch: Watch, retry: RetryPolicy) -> None:
        self._watch = watch
        self._retry = retry
        self._failures = 0
        self._last: int | None = None

    def request(self) -> rpc.WatchSlaEventsRequest:
        """What to ask for now: a consumer goes on where slad knows it is, a look after what it has seen."""
        request = rpc.WatchSlaEventsRequest()
        request.CopyFrom(self._watch.request)
        if not request.consumer and self._last is not None:
            request.after_sequence = self._last
        return request

    def fresh(self, reply: rpc.WatchSlaEventsResponse) -> Iterator[pb.SlaEvent]:
        """The events of `reply` that have not been handed out before."""
        self._failures = 0
        for event in reply.events:
            if self._last is None or event.sequence > self._last:
                self._last = event.sequence
                yield event

    def after(self, failure: grpc.RpcError | None) -> float:
        """Seconds to wait before the next stream; `failure` None: the stream ended without a word.

        Raises the typed error when there is to be no next stream.
        """
        error = from_rpc_error(failure) if failure else stream_ended()
        if not is_broken(error) or not self._watch.reconnect:
            raise error from failure
        self._failures += 1
        delay = self._retry.delay(self._failures, asked(error))
        log.warning("the watch of %s broke, again in %.1f s: %s", self._name(), delay, error)
        return delay

    def _name(self) -> str:
        return f"consumer {self._watch.request.consumer!r}" if self._watch.request.consumer else "events"


class Ledger:
    """Which events of a watch have been dealt with, and which of them slad knows of.

    One thread deals, another (or the same) sends acknowledgements: `due`, send, `settle`, one at a time.
    """

    def __init__(self, watch: Watch) -> None:
        self._consumer = watch.request.consumer
        self._every = watch.ack_every
        self.interval = watch.ack_interval
        self._dealt = 0
        self._acknowledged = 0
        self._since = 0
        self._refusal: SladError | None = None

    def deal(self, sequence: int) -> bool:
        """Everything up to `sequence` has been dealt with. True: enough that slad should be told now.

        Raises the error with which slad refused an earlier acknowledgement.
        """
        if self._refusal:
            raise self._refusal
        self._dealt = sequence
        self._since += 1
        if self._since < self._every:
            return False
        self._since = 0
        return True

    def due(self) -> UnaryCall[rpc.AckSlaEventsResponse] | None:
        """The acknowledgement to send, if there is one. Sent once: if it fails, a later one does instead."""
        if self._dealt <= self._acknowledged or self._refusal:
            return None
        request = rpc.AckSlaEventsRequest(consumer=self._consumer, sequence=self._dealt)
        return UnaryCall("AckSlaEvents", request, frozenset(), ACK_TIMEOUT_S)

    def settle(self, call: UnaryCall[rpc.AckSlaEventsResponse], error: SladError | None = None) -> None:
        """What became of an acknowledgement."""
        if isinstance(error, Unavailable | DeadlineExceeded):
            log.info("events of consumer %r are not acknowledged yet: %s", self._consumer, error)
        elif error and not (isinstance(error, OutOfRange) and error.reason == "ACK_BEHIND"):
            log.warning("an acknowledgement of consumer %r was refused: %s", self._consumer, error)
            self._refusal = error
        elif isinstance(call.request, rpc.AckSlaEventsRequest):
            self._acknowledged = call.request.sequence


def closed(what: str = "client") -> Cancelled:
    """What calls of a closed client end with."""
    return Cancelled(grpc.StatusCode.CANCELLED, f"the {what} was closed")


def is_broken(error: SladError) -> bool:
    """Whether a stream ended with this because the connection or slad went away."""
    # slad's own INTERNAL has a reason; without one it is the connection that broke.
    return error.code in _BROKEN_STREAM and (error.code is not grpc.StatusCode.INTERNAL or not error.reason)


def stream_ended() -> Unavailable:
    """What a stream ends with that ended without a word, and should not have."""
    return Unavailable(grpc.StatusCode.UNAVAILABLE, "the stream ended")


def asked(error: SladError) -> float:
    """Seconds for which slad asks to wait."""
    return error.retry_delay.total_seconds() if error.retry_delay else 0.0
