"""ExecuteSla: many commands on one stream, each as if it were sent alone (X1 to X4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterator, Sequence
from itertools import repeat
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.access import Caller
from slad.core.errors import InvalidField, stopping, without_frames
from slad.engine.commands import Command, Complete, Render
from slad.engine.engine import SlaEngine
from slad.engine.protobuf_bytes import embedded, tag_of
from slad.engine.time_source import TimeSource
from slad.service import replies
from slad.service.access import Gate, Rule, attributed, rule_of
from slad.service.calls import OK, CallLog, CallMeters, about
from slad.service.error_details import code_and_reason, status_of, tell_if_unexpected
from slad.service.fields import at_most
from slad.service.heavy_steps import HEAVY_BYTES, HeavySteps
from slad.service.limits import MAX_BATCH, MAX_REPLY_BYTES
from slad.service.replies import CommandReply, Completed
from slad.service.requests import RequestReader

if TYPE_CHECKING:
    from slad.service.tracing import Tracing

RPC: Final = "ExecuteSla"

COMMANDS_AT_ONCE: Final = 16
"""Commands of a message that go through the engine together; timers, other streams and single calls come in
between."""

MAX_UNDER_WAY: Final = 1_024
"""Commands of a stream that are read and have no result that has left (X4). A message that alone is more is
taken when nothing else is under way."""

MAX_UNDER_WAY_IN_ALL: Final = 16_384
"""Commands of all streams; each has its share. Bounds memory, however many streams there are."""

EMPTY: Final = "command"
"""The oneof of a command, which the error names for one that says nothing, or nothing that slad knows."""

_ERROR: Final = tag_of(rpc.SlaResult, "error")
_RESULTS: Final = tag_of(rpc.ExecuteSlaResponse, "results")


class _Kind(NamedTuple):
    """One of the commands that a message may hold."""

    tag: bytes
    """Of the field of SlaResult that holds its reply."""
    rule: Rule
    read: Callable[[Any, int], Command]
    """Makes the command of a request, at UTC epoch ms. Raises InvalidField."""
    reply: CommandReply | None
    """None: by `Completed`."""


class Execution:
    """Carries out streams of commands. `notice` is told of every error that ends a command."""

    def __init__(
        self,
        requests: RequestReader,
        engine: SlaEngine,
        clock: TimeSource,
        gate: Gate,
        meters: CallMeters,
        log: CallLog,
        steps: HeavySteps,
        notice: Callable[[Exception], None],
        tracing: Tracing | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._gate = gate
        self._steps = steps
        self._meters = meters
        self._meter = meters.meter(RPC)
        self._log = log
        self._notice = notice
        self._tracing = tracing
        self._kinds = _kinds(requests)
        self._open: set[_Exchange] = set()
        self.reading = asyncio.Lock()
        """Held while a part is read: of all streams one at a time, so that the engine waits for one only."""

    async def replies(
        self, stream: AsyncIterator[rpc.ExecuteSlaRequest], who: Caller
    ) -> AsyncGenerator[bytes, None]:
        """The serialized ExecuteSlaResponses to a stream of `who`'s. Raises InvalidField, Refused."""
        exchange = _Exchange(self, who)
        self._open.add(exchange)
        reading = asyncio.create_task(exchange.read(stream))
        try:
            async for reply in exchange.replies():
                yield reply
        finally:
            self._open.discard(exchange)
            reading.cancel()

    def close(self) -> None:
        """Ends all streams, once what they have under way is answered: they raise Refused (UNAVAILABLE)."""
        for exchange in self._open:
            exchange.end(stopping())

    @property
    def share(self) -> int:
        """How many commands each stream may have under way (X4)."""
        return min(MAX_UNDER_WAY, MAX_UNDER_WAY_IN_ALL // max(1, len(self._open)))

    def receive(self, message: rpc.ExecuteSlaRequest) -> _Received:
        """A message that has come."""
        number = len(message.commands)
        span = self._tracing and self._tracing.batch(number)
        is_large = message.ByteSize() >= HEAVY_BYTES
        return _Received(number, message.omit_status, is_large, perf_counter_ns(), span)

    def done(self, message: _Received) -> None:
        """Its results may go."""
        took = perf_counter_ns() - message.began
        self._meter.durations.observe(took)
        self._log.ended(RPC, None, took)
        if message.span is not None:
            message.span.end()

    def begin(
        self, stream: Hashable, messages: list[rpc.SlaCommand], who: Caller, received: _Received
    ) -> _Part:
        """Lets commands of a stream be carried out, after those before them."""
        now = self._clock.now()
        fields = [message.WhichOneof("command") or EMPTY for message in messages]
        errors: dict[int, Exception] = {}
        asked: list[tuple[Command, Render]] = []
        for place, (field, message) in enumerate(zip(fields, messages, strict=True)):
            try:
                kind, request = self._admit(field, message, who)
                asked.append(_asked(kind, kind.read(request, now), omit_status=received.omit_status))
            except Exception as error:
                errors[place] = without_frames(error)
        done = self._engine.put(stream, asked, received.span) if asked else None
        return _Part(messages, fields, errors, asked, done)

    async def begin_large(
        self, stream: Hashable, message: rpc.SlaCommand, who: Caller, received: _Received
    ) -> _Part:
        """The same with one command that is read beside the event loop: it may state 10,000 holidays."""
        now, field = self._clock.now(), message.WhichOneof("command") or EMPTY
        try:
            kind, request = self._admit(field, message, who)
            read = await self._steps.beside(kind.read, request, now)
        except Exception as error:
            return _Part([message], [field], {0: without_frames(error)}, [], None)
        asked = [_asked(kind, read, omit_status=received.omit_status)]
        return _Part([message], [field], {}, asked, self._engine.put(stream, asked, received.span))

    def _admit(self, field: str, message: rpc.SlaCommand, who: Caller) -> tuple[_Kind, Any]:
        """What kind a command is, and its request, authorised. Raises InvalidField, Refused."""
        if field is EMPTY:
            raise InvalidField(EMPTY, "REQUIRED", f"must be one of {', '.join(self._kinds)}")
        kind, request = self._kinds[field], getattr(message, field)
        self._gate.check(kind.rule, who, request)
        return kind, request

    async def results(self, part: _Part) -> list[bytes]:
        """The results of a part once they are durable, as fields of an ExecuteSlaResponse."""
        outcomes: Iterator[bytes | Exception] = iter(())
        if part.done is not None:
            try:
                outcomes = iter(await part.done)
            except Exception as error:
                outcomes = repeat(error)
        results: list[bytes] = []
        counts = self._meters.commands
        for place, field in enumerate(part.fields):
            outcome = part.errors.get(place) or next(outcomes)
            if isinstance(outcome, bytes):
                counts[field, OK] += 1
                body = embedded(self._kinds[field].tag, outcome)
            else:
                body = self._failed(field, part.messages[place], outcome)
            results.append(embedded(_RESULTS, body))
        for _, render in part.asked:
            if isinstance(render, Completed) and render.differs_on:
                self._meters.verdict_differed(render.differs_on)
        return results

    def _failed(self, field: str, message: rpc.SlaCommand, error: Exception) -> bytes:
        """Counts and logs a command that ends with `error`; its result."""
        request = None if field is EMPTY else getattr(message, field)
        code, reason = code_and_reason(error)
        self._meters.commands[field, code] += 1
        self._meter.refusals[reason] += 1
        self._log.refused(RPC, request, error, code, reason)
        tell_if_unexpected(error, {"rpc": RPC, **about(request)})
        self._notice(error)
        return embedded(_ERROR, status_of(error).SerializeToString())


def _asked(kind: _Kind, read: Command, *, omit_status: bool) -> tuple[Command, Render]:
    """A command for the engine, and what makes its reply."""
    command = attributed(read)
    if kind.reply is None:
        assert isinstance(command, Complete)
        return command, Completed(command, omit_status=omit_status)
    return command, kind.reply.brief if omit_status else kind.reply.whole


class _Part(NamedTuple):
    """Some commands of a message, which are carried out together."""

    messages: list[rpc.SlaCommand]
    fields: Sequence[str]
    """The oneof of each."""
    errors: dict[int, Exception]
    """Why some were refused before the engine heard of them, by their place."""
    asked: list[tuple[Command, Render]]
    """The others, in their order."""
    done: asyncio.Future[list[bytes | Exception]] | None
    """What becomes of these; None: there are none."""


class _Received(NamedTuple):
    """A message, its commands apart. In the line of parts it is the end of its own."""

    commands: int
    """How many it has."""
    omit_status: bool
    is_large: bool
    """One of its commands may be heavy to read."""
    began: int
    """When it was read, in ns of `perf_counter_ns`."""
    span: Any
    """What traces follow it by; None: they are off."""


class _Exchange:
    """One stream: what is under way, from the reading of a message to the leaving of its results."""

    def __init__(self, execution: Execution, who: Caller) -> None:
        self._execution = execution
        self._who = who
        self._under_way = 0
        self._left = asyncio.Event()
        """Set when results have left."""
        self._parts: asyncio.Queue[_Part | _Received | Exception | None] = asyncio.Queue()
        """In order; None: the stream has ended."""
        self._last: asyncio.Future[Any] | None = None
        """When it is done, so is all before it."""

    async def read(self, stream: AsyncIterator[rpc.ExecuteSlaRequest]) -> None:
        """Lets the commands of the stream be carried out, as far as there is room for them."""
        error: Exception | None = None
        try:
            async for message in stream:
                at_most("commands", message.commands, MAX_BATCH)
                await self._take(message)
        except Exception as raised:
            error = raised
        self.end(error)

    def end(self, error: Exception | None) -> None:
        """Ends the stream once what is under way has left, with `error` if there is one."""
        self._parts.put_nowait(error)

    async def replies(self) -> AsyncGenerator[bytes, None]:
        """The results of each message, when they are durable. Raises the error that ends the stream."""
        results: list[bytes] = []
        while (part := await self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, _Part):
                results += await self._execution.results(part)
                continue
            self._execution.done(part)
            for reply in _framed(results):
                yield reply
            results = []
            self._under_way -= part.commands
            self._left.set()

    async def _take(self, message: rpc.ExecuteSlaRequest) -> None:
        commands, received = message.commands, self._execution.receive(message)
        while self._under_way and self._under_way + len(commands) > self._execution.share:
            self._left.clear()
            await self._left.wait()
        self._under_way += len(commands)
        some: list[rpc.SlaCommand] = []
        for command in commands:
            if self._may_be_about_what_is_under_way(command):
                await self._begin(some, received)
                some = []
                if self._last is not None:
                    await asyncio.wait({self._last})
            if received.is_large and command.ByteSize() >= HEAVY_BYTES:
                await self._begin(some, received)
                some = []
                self._put(await self._execution.begin_large(self, command, self._who, received))
                continue
            some.append(command)
            if len(some) == COMMANDS_AT_ONCE:
                await self._begin(some, received)
                some = []
        await self._begin(some, received)
        self._parts.put_nowait(received)

    async def _begin(self, commands: list[rpc.SlaCommand], received: _Received) -> None:
        if not commands:
            return
        async with self._execution.reading:
            self._put(self._execution.begin(self, commands, self._who, received))
            await asyncio.sleep(0)  # others have their turn

    def _put(self, part: _Part) -> None:
        self._last = part.done or self._last
        self._parts.put_nowait(part)

    def _may_be_about_what_is_under_way(self, command: rpc.SlaCommand) -> bool:
        """Whether its tenant is looked for among the caller's, in what is committed (M7)."""
        if self._who.tenants is None or len(self._who.tenants) == 1:
            return False
        field = command.WhichOneof("command")
        return field is not None and not getattr(command, field).tenant_id


def _kinds(requests: RequestReader) -> dict[str, _Kind]:
    """By the field of SlaCommand, and of SlaResult."""

    def kind(field: str, method: str, read: Callable[[Any, int], Command], reply: Any = None) -> _Kind:
        return _Kind(tag_of(rpc.SlaResult, field), rule_of(f"slad.v1.SlaBackend.{method}"), read, reply)

    def timeless(read: Callable[[Any], Command]) -> Callable[[Any, int], Command]:
        return lambda request, now: read(request)

    return {
        "start": kind("start", "StartSlaTracking", requests.start, replies.STARTED),
        "pause": kind("pause", "PauseSla", timeless(requests.pause), replies.PAUSED),
        "resume": kind("resume", "ResumeSla", timeless(requests.resume), replies.RESUMED),
        "complete": kind("complete", "CompleteSla", timeless(requests.complete)),
        "cancel": kind("cancel", "CancelSla", timeless(requests.cancel), replies.CANCELLED),
        "retarget": kind("retarget", "RetargetSla", requests.retarget, replies.RETARGETED),
        "reopen": kind("reopen", "ReopenSla", timeless(requests.reopen), replies.REOPENED),
        "message": kind("message", "RecordSlaMessage", timeless(requests.message), replies.RECORDED),
        "assign": kind("assign", "AssignSla", timeless(requests.assign), replies.ASSIGNED),
    }


def _framed(results: list[bytes]) -> Iterator[bytes]:
    """The results as replies that a client takes."""
    begin = size = 0
    for index, result in enumerate(results):
        if size + len(result) > MAX_REPLY_BYTES and index > begin:
            yield b"".join(results[begin:index])
            begin, size = index, 0
        size += len(result)
    yield b"".join(results[begin:])
