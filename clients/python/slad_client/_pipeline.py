"""What the pipelines of both clients do alike, with no input or output of their own.

That is: which commands go into which message, whose result is whose, and what becomes of commands whose
stream broke.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import grpc
from google.protobuf.message import Message

from slad_client._calls import identified
from slad_client._policy import (
    RETRIED_COMMAND,
    RetryPolicy,
    UnaryCall,
    asked,
    is_broken,
    log,
    stream_ended,
)
from slad_client.errors import DeadlineExceeded, Internal, ResourceExhausted, SladError, from_status
from slad_client.v1 import sla_backend_pb2 as rpc

MAX_UNDER_WAY: Final = 1_024
"""Commands of a stream that have no result yet; slad reads no further then."""

PER_MESSAGE: Final = 128
"""Commands of a message. slad would take 1,000; but while one is carried out the next is to be on its way."""

MAX_MESSAGE_BYTES: Final = 1 << 20
"""Of several commands. A single one may be longer."""

MAX_COMMAND_BYTES: Final = (4 << 20) - 64
"""slad takes messages of 4 MiB."""

END_TIMEOUT_S: Final = 2.0
"""How long slad may take to end a stream on which everything has been answered."""

FIELDS: Final[Mapping[str, str]] = {
    field.message_type.full_name: field.name
    for field in rpc.SlaCommand.DESCRIPTOR.fields
    if field.message_type
} | {rpc.SlaCommand.DESCRIPTOR.full_name: ""}
"""Where a request goes in a SlaCommand, by the full name of its message; an empty command is as it is."""


class Future(Protocol):
    """What a caller waits for, of asyncio or of concurrent.futures."""

    def done(self) -> bool:
        """Whether it has a result, or the caller has given it up."""

    def set_result(self, result: Any, /) -> None:
        """Hands the reply over."""

    def set_exception(self, exception: Any, /) -> None:
        """Hands the error over."""


class Settled(NamedTuple):
    """What has become of a command, for `deliver`."""

    future: Future
    outcome: Message | Exception


def deliver(settled: Iterable[Settled]) -> None:
    """Tells those who wait. What they have given up is dropped."""
    for future, outcome in settled:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def call_of(command: rpc.SlaCommand) -> UnaryCall[Message]:
    """A command as a call, with a request_id. Raises TypeError for what is no SlaCommand."""
    if not isinstance(command, rpc.SlaCommand):
        raise TypeError(f"{command!r} is not a SlaCommand")
    name = command.WhichOneof("command")
    # One that says nothing is sent as it is: slad says what is wrong with it.
    request = identified(getattr(command, name)) if name else command
    return UnaryCall("ExecuteSla", request, RETRIED_COMMAND)


def expected(outcome: Any) -> Any:
    """What became of a command, for its caller. Raises what is no answer of slad's."""
    if isinstance(outcome, BaseException) and not isinstance(outcome, SladError):
        raise outcome
    return outcome


@dataclass(slots=True, eq=False)
class _Pending:
    """A command without a result."""

    number: int
    call: UnaryCall[Any]
    future: Future
    size: int
    once: bool
    """It is not to be sent again."""
    over: bool = False
    """Its caller has been told already."""

    @property
    def request_id(self) -> str:
        return _request_id(self.call)


class Backlog:
    """The commands of a pipeline that have no result yet, over all the streams that they take.

    Whatever settles commands returns that, for `deliver`. A pipeline that nothing was heard of for `timeout`
    seconds gives all of them up.
    """

    def __init__(
        self,
        retry: RetryPolicy,
        timeout: float,
        *,
        omit_status: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retry = retry
        self._timeout = timeout
        self._omit_status = omit_status
        self._clock = clock
        self._count = 0
        self._open = 0
        self._waiting: list[tuple[int, _Pending]] = []
        """A heap: what has to be sent again comes before what is new."""
        self._under_way: deque[_Pending] = deque()
        self._deadlines: list[tuple[float, int, _Pending]] = []
        """A heap of those that have a timeout of their own."""
        self._answered_at = 0.0
        """The last answer that counts, or the first command that waits for one."""
        self._moved_at = 0.0
        """The last response, or the first message that waits for one."""
        self._failures = 0
        self._pause = 0.0
        self._trouble: SladError | None = None

    def __len__(self) -> int:
        """How many callers wait."""
        return self._open

    def put(self, call: UnaryCall[Any], future: Future) -> list[Settled]:
        """Takes a command to be sent. Raises TypeError when the call is none that a pipeline takes."""
        if call.request.DESCRIPTOR.full_name not in FIELDS:
            raise TypeError(f"{call.rpc} is no command of a pipeline")
        size = call.request.ByteSize()
        if size > MAX_COMMAND_BYTES:
            text = f"a command of {size} bytes; slad takes messages of up to 4 MiB"
            error = ResourceExhausted(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            return [Settled(future, error.about(_request_id(call)))]
        now = self._clock()
        if not self._open:
            self._answered_at = now
        self._count += 1
        self._open += 1
        pending = _Pending(self._count, call, future, size, (call.retry or self._retry).attempts == 1)
        heapq.heappush(self._waiting, (pending.number, pending))
        if call.timeout is not None:
            heapq.heappush(self._deadlines, (now + call.timeout, pending.number, pending))
        return []

    def message(self) -> rpc.ExecuteSlaRequest | None:
        """What to send next; None when there is nothing, or no room for it."""
        # A little room is left alone while much waits, so that messages stay large.
        room = MAX_UNDER_WAY - len(self._under_way)
        if room < min(len(self._waiting), PER_MESSAGE):
            return None
        request, size = rpc.ExecuteSlaRequest(omit_status=self._omit_status), 0
        while self._waiting and len(request.commands) < PER_MESSAGE:
            pending = self._waiting[0][1]
            if not self._is_over(pending):
                size += pending.size
                if request.commands and size > MAX_MESSAGE_BYTES:
                    break
                if not self._under_way:
                    self._moved_at = self._clock()
                command = request.commands.add()
                if field := FIELDS[pending.call.request.DESCRIPTOR.full_name]:
                    getattr(command, field).CopyFrom(pending.call.request)
                self._under_way.append(pending)
            heapq.heappop(self._waiting)
        return request if request.commands else None

    def pause(self) -> float:
        """Seconds to wait before the next message, told once."""
        pause, self._pause = self._pause, 0.0
        return pause

    def answer(self, response: rpc.ExecuteSlaResponse) -> tuple[list[Settled], SladError | None]:
        """Takes results, which come in the order of the commands.

        With an error the stream has to be given up: slad refused a command for now, and what was sent behind
        it is not to be told, or to fail, before it. All of that is sent again, in order.
        """
        settled: list[Settled] = []
        refused: SladError | None = None
        for result in response.results:
            if not self._under_way:
                raise Internal(grpc.StatusCode.INTERNAL, "more results than commands")
            pending = self._under_way[0]
            outcome = _outcome(result, pending.request_id)
            if isinstance(outcome, SladError) and outcome.code in RETRIED_COMMAND and not pending.once:
                refused = outcome
                break
            self._under_way.popleft()
            if not self._is_over(pending):
                settled.append(self._settle(pending, outcome))
        self._moved_at = self._clock()
        if settled:
            self._answered_at, self._failures, self._trouble = self._moved_at, 0, None
        return settled, refused

    def broke(self, error: SladError | None) -> list[Settled]:
        """The stream has ended; None: without a word. What was under way is sent again, if it may be."""
        lost = [pending for pending in self._under_way if not self._is_over(pending)]
        self._under_way.clear()
        for pending in lost:
            heapq.heappush(self._waiting, (pending.number, pending))
        if not self._open:
            return []
        error = error or stream_ended()
        if not is_broken(error) and error.code not in RETRIED_COMMAND:
            return self.give_up(error)
        self._trouble = error
        self._failures += 1
        self._pause = self._retry.delay(self._failures, asked(error))
        log.warning("a pipeline broke, again in %.1f s: %s", self._pause, error)
        return [self._settle(pending, error.about(pending.request_id)) for pending in lost if pending.once]

    def expire(self) -> list[Settled]:
        """Gives up what has waited for too long."""
        now = self._clock()
        if self._open and now >= self._answered_at + self._timeout:
            return self.give_up(self._trouble or _late(self._timeout))
        settled = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._is_over(self._deadlines[0][2])):
            _, _, pending = heapq.heappop(self._deadlines)
            if not self._is_over(pending):
                error = self._trouble or _late(pending.call.timeout or 0.0)
                settled.append(self._settle(pending, error.about(pending.request_id)))
        return settled

    def give_up(self, error: Exception) -> list[Settled]:
        """Every command that has no result ends with `error`."""
        # What is under way stays there, as its results may come yet.
        everything = [*self._under_way, *(pending for _, pending in sorted(self._waiting))]
        self._waiting.clear()
        self._deadlines.clear()
        self._failures, self._trouble = 0, None
        return [
            self._settle(pending, error.about(pending.request_id) if isinstance(error, SladError) else error)
            for pending in everything
            if not self._is_over(pending)
        ]

    @property
    def is_silent(self) -> bool:
        """Whether the stream has to be given up: slad has not said a word of what is under way."""
        return bool(self._under_way) and self._clock() >= self._moved_at + self._silence

    def due_in(self) -> float:
        """Seconds until `expire` and `is_silent` are to be asked (again)."""
        if not self._open:
            return math.inf
        now = self._clock()
        due = [
            self._answered_at + self._timeout,
            (self._moved_at if self._under_way else now) + self._silence,
        ]
        if self._deadlines:
            due.append(self._deadlines[0][0])
        return max(0.0, min(due) - now)

    @property
    def _silence(self) -> float:
        return math.inf if self._retry.attempts == 1 else self._retry.attempt_timeout

    def _settle(self, pending: _Pending, outcome: Message | Exception) -> Settled:
        pending.over = True
        self._open -= 1
        return Settled(pending.future, outcome)

    def _is_over(self, pending: _Pending) -> bool:
        """Whether nobody waits for it any more."""
        if not pending.over and pending.future.done():
            pending.over = True
            self._open -= 1
        return pending.over


def _request_id(call: UnaryCall[Any]) -> str:
    return str(getattr(call.request, "request_id", ""))


def _outcome(result: rpc.SlaResult, request_id: str) -> Message | SladError:
    kind = result.WhichOneof("result")
    if kind is None:
        return Internal(grpc.StatusCode.INTERNAL, "a result without an answer", request_id=request_id)
    answer: Any = getattr(result, kind)
    return from_status(answer, request_id) if kind == "error" else answer


def _late(timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer in {timeout:g} s")
