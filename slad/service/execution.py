"""ExecuteSla: many commands on one stream, each as if it were sent alone (X1 to X4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.access import Caller
from slad.core.errors import InvalidField
from slad.engine.commands import Command, Complete, Render
from slad.engine.engine import SlaEngine
from slad.engine.handlers import execute_all
from slad.engine.time_source import TimeSource
from slad.service import replies
from slad.service.access import Gate, Rule, attributed, rule_of
from slad.service.calls import OK, CallLog, CallMeters, about
from slad.service.error_details import code_and_reason, status_of, tell_if_unexpected
from slad.service.fields import at_most
from slad.service.limits import MAX_BATCH, MAX_REPLY_BYTES
from slad.service.protobuf_bytes import embedded, tag_of
from slad.service.replies import CommandReply, Completed
from slad.service.requests import RequestReader

RPC: Final = "ExecuteSla"

COMMANDS_AT_ONCE: Final = 64
"""Commands of a message in one turn of the engine; timers and other callers get their turns between."""

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


class _Asked(NamedTuple):
    """A command that is to be carried out."""

    command: Command
    render: Render


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
        notice: Callable[[Exception], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._gate = gate
        self._meters = meters
        self._meter = meters.meter(RPC)
        self._log = log
        self._notice = notice
        self._kinds = _kinds(requests)

    async def replies(
        self, stream: AsyncIterator[rpc.ExecuteSlaRequest], who: Caller
    ) -> AsyncIterator[bytes]:
        """The serialized ExecuteSlaResponses to a stream of `who`'s. Raises InvalidField."""
        async for message in stream:
            at_most("commands", message.commands, MAX_BATCH)
            results: list[bytes] = []
            for some in _slices(message.commands):
                results += await self._carry_out(some, who, omit_status=message.omit_status)
            for reply in _framed(results):
                yield reply

    async def _carry_out(
        self, messages: list[rpc.SlaCommand], who: Caller, *, omit_status: bool
    ) -> list[bytes]:
        """The results of some commands, as fields of an ExecuteSlaResponse."""
        now = self._clock.now()
        fields = [message.WhichOneof("command") or EMPTY for message in messages]
        outcomes: list[Exception | bytes | _Asked] = []
        for field, message in zip(fields, messages, strict=True):
            try:
                outcomes.append(self._read(field, message, who, now, omit_status=omit_status))
            except Exception as error:
                outcomes.append(error)
        asked = [outcome for outcome in outcomes if isinstance(outcome, _Asked)]
        if asked:
            done = iter(await self._write(asked))
            outcomes = [next(done) if isinstance(outcome, _Asked) else outcome for outcome in outcomes]
        results = []
        for field, message, outcome in zip(fields, messages, outcomes, strict=True):
            if isinstance(outcome, bytes):
                self._meters.commands[field, OK] += 1
                body = embedded(self._kinds[field].tag, outcome)
            else:
                assert isinstance(outcome, Exception)
                body = self._failed(field, message, outcome)
            results.append(embedded(_RESULTS, body))
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

    def _read(
        self, field: str, message: rpc.SlaCommand, who: Caller, now: int, *, omit_status: bool
    ) -> _Asked:
        """A command, checked and authorised. Raises InvalidField, Refused."""
        if field is EMPTY:
            text = f"must be one of {', '.join(self._kinds)}"
            raise InvalidField(EMPTY, "REQUIRED", text)
        kind, request = self._kinds[field], getattr(message, field)
        self._gate.check(kind.rule, who, request)
        command = attributed(kind.read(request, now))
        if kind.reply is None:
            assert isinstance(command, Complete)
            return _Asked(command, Completed(command, omit_status=omit_status))
        return _Asked(command, kind.reply.brief if omit_status else kind.reply.whole)

    async def _write(self, asked: list[_Asked]) -> list[bytes | Exception]:
        try:
            outcomes = await self._engine.write(partial(execute_all, commands=asked))
        except Exception as error:
            return [error] * len(asked)
        for one in asked:
            if isinstance(one.render, Completed) and one.render.differs_on:
                self._meters.verdict_differed(one.render.differs_on)
        return outcomes


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


def _slices(commands: Any) -> Iterator[list[rpc.SlaCommand]]:
    rest = iter(commands)
    while some := list(islice(rest, COMMANDS_AT_ONCE)):
        yield some


def _framed(results: list[bytes]) -> Iterator[bytes]:
    """The results as replies that a client takes."""
    begin = size = 0
    for index, result in enumerate(results):
        if size + len(result) > MAX_REPLY_BYTES and index > begin:
            yield b"".join(results[begin:index])
            begin, size = index, 0
        size += len(result)
    yield b"".join(results[begin:])
