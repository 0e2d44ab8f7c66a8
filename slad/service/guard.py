"""What goes around every method: who calls, whether there is a place, slow callers, counting, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from slad.config.settings import LimitSettings
from slad.core.access import Caller
from slad.core.errors import InvalidField, Refusal, Refused, stopping
from slad.core.instants import SECOND_MS
from slad.service import error_details
from slad.service.access import Gate, Rule
from slad.service.calls import CallLog, CallMeter, about
from slad.service.endings import end, endable
from slad.service.heavy_steps import HEAVY_BYTES, HeavySteps
from slad.service.places import Kind, Places, places
from slad.service.stalls import unread, unsent, unsent_by_strangers

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = Callable[[Any, Context], Awaitable[bytes | None]]

GONE_S: Final = 0.2
"""gRPC ends the stream of a caller who is gone as if it were complete; it cancels the call a moment later."""


class Bounds:
    """What callers may take, over all methods."""

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self.steps = HeavySteps()
        self._places: dict[Kind, Places] = places(limits)
        self._bulk_s = limits.bulk_time_ms / SECOND_MS
        self._bulk: set[asyncio.Task[Any]] = set()
        """Bulk calls under way."""
        self._is_stopping = False
        self._message_bytes = limits.message_bytes
        self._unsent = unsent(limits)
        self._unsent_by_strangers = unsent_by_strangers(limits)
        self._unread = unread(limits)

    @contextmanager
    def place(self, kind: Kind, who: Caller, context: Context) -> Iterator[None]:
        """A place for a call of a kind that lasts. It is `who`'s tenants', or else the connection's.

        Raises Refused.
        """
        if kind is Kind.SHORT:
            yield
            return
        with self._places[kind].taken(who.tenants or who.token_id or context.peer()):
            yield

    @asynccontextmanager
    async def in_time(self, kind: Kind) -> AsyncIterator[None]:
        """The whole of a call of that kind. Raises Refused when it takes too long, or slad stops."""
        if kind is not Kind.BULK:
            yield
            return
        timeout, task = asyncio.timeout(self._bulk_s), asyncio.current_task()
        assert task is not None
        if self._is_stopping:
            raise stopping()
        self._bulk.add(task)
        try:
            with endable():
                async with timeout:
                    yield
        except TimeoutError:
            if not timeout.expired():
                raise
            raise Refused(
                Refusal.RESOURCE_EXHAUSTED,
                "CALL_TOO_LONG",
                f"it took longer than {self._bulk_s:g} s (limits.bulk_time); completed work was kept",
                {"limit": "limits.bulk_time"},
            ) from None
        finally:
            self._bulk.discard(task)

    def stop(self) -> None:
        """Ends all bulk calls, as they may last: they raise Refused (UNAVAILABLE). What was done is done."""
        self._is_stopping = True
        for task in self._bulk:
            end(task, stopping())

    async def request(self, rule: Rule, parse: Callable[[bytes], Any], context: Context) -> Any:
        """The request of a call. Raises Refused when it does not come, InvalidField when there is none, or as
        `parse` does."""
        arriving = self._unsent if rule.role is not None else self._unsent_by_strangers
        body: Any = await arriving.wait(context.read(), self._message_bytes)
        if body is grpc.aio.EOF:
            await asyncio.sleep(GONE_S)
            raise InvalidField("", "MALFORMED_MESSAGE", "the call ended without a message")
        # On the way of every call: most need no coroutine more.
        return parse(body) if len(body) < HEAVY_BYTES else await self.parsed(parse, body)

    async def parsed(self, parse: Callable[[bytes], Any], body: bytes) -> Any:
        """The message of a body. Raises what `parse` raises."""
        if len(body) < HEAVY_BYTES:
            return parse(body)
        async with self.steps.one():
            return parse(body)

    async def begin(self, context: Context) -> None:
        """To be called before the first message is sent. With it, gRPC would send the initial metadata again
        when it could not send the message, and had to end the call."""
        with suppress(grpc.aio.UsageError):  # the method has sent its own
            await context.send_initial_metadata(())

    async def send(self, context: Context, reply: Any, size: int) -> None:
        """Sends one message of a stream, of `size` bytes. Raises Refused when nobody reads it."""
        await self._unread.wait(context.write(reply), size)


@dataclass(frozen=True, slots=True)
class Rpc:
    """What a guard needs to know of the method that it guards."""

    rule: Rule
    gate: Gate
    bounds: Bounds
    parse: Callable[[bytes], Any]
    run: Callable[..., Any]
    notice: Callable[[Exception], None]
    meter: CallMeter
    log: CallLog

    def end(self, request: Any, began: int) -> None:
        """Counts a reply. `began` is of `perf_counter_ns`."""
        took = perf_counter_ns() - began
        self.meter.succeeded += 1
        self.meter.durations.observe(took)
        self.log.ended(self.meter.rpc, request, took)

    def fail(self, request: Any, error: Exception) -> dict[str, Any]:
        """Counts and logs a call that ends with `error`; what a log line tells about it."""
        code, reason = self.meter.fail(error)
        self.log.refused(self.meter.rpc, request, error, code, reason)
        self.notice(error)
        return {"rpc": self.meter.rpc, **about(request)}

    def caller_gone(self) -> asyncio.CancelledError:
        """Counts a call to which nothing can be sent any more; what to raise."""
        gone = asyncio.CancelledError()
        self.meter.fail(gone)
        return gone


def guarded(method: MethodDescriptor, rpc: Rpc) -> Handler:
    """A handler of bytes that lets `rpc.run` be called when it may be. It reads requests by its context.

    So the metadata are looked at before the request is received: whoever may not call sends nothing.
    """
    if method.client_streaming:
        return _exchange(rpc) if method.server_streaming else _upload(rpc)
    return _stream(rpc) if method.server_streaming else _call(rpc)


def parser(method: MethodDescriptor) -> Callable[[bytes], Any]:
    """What makes a message of a request. It raises InvalidField.

    Requests come as bytes: of those that are no message gRPC itself would say UNKNOWN and an exception.
    """
    from_bytes = GetMessageClass(method.input_type).FromString

    def parse(body: bytes) -> Any:
        try:
            return from_bytes(body)
        except DecodeError:
            message = f"the bytes are not a {method.input_type.full_name}"
            raise InvalidField("", "MALFORMED_MESSAGE", message) from None

    return parse


def _call(rpc: Rpc) -> Handler:
    parse, run, meter, receive = rpc.parse, rpc.run, rpc.meter, rpc.bounds.request
    rule, admit, check = rpc.rule, rpc.gate.admit, rpc.gate.check

    async def call(_: Any, context: Context) -> bytes | None:
        began = perf_counter_ns()
        meter.begun += 1
        request = None
        try:
            who = admit(rule, context)
            request = await receive(rule, parse, context)
            check(rule, who, request)
            reply: bytes = await run(request)
        except Exception as error:
            call_was = rpc.fail(request, error)
            request = None  # this frame lives on in a cycle of gRPC's until the collector comes
            await error_details.abort(context, error, call_was)
            return None
        except BaseException as error:
            meter.fail(error)
            raise
        rpc.end(request, began)
        return reply

    return call


def _upload(rpc: Rpc) -> Handler:
    kind, bounds, run, meter, gate = rpc.rule.kind, rpc.bounds, rpc.run, rpc.meter, rpc.gate

    async def call(bodies: Any, context: Context) -> bytes | None:
        began = perf_counter_ns()
        meter.begun += 1
        try:
            who = gate.admit(rpc.rule, context)
            with bounds.place(kind, who, context), gate.stream(who):
                async with bounds.in_time(kind):
                    reply: bytes = await run(_messages(rpc, who, bodies), context)
        except grpc.aio.InternalError:
            raise rpc.caller_gone() from None
        except Exception as error:
            await error_details.abort(context, error, rpc.fail(None, error))
            return None
        except BaseException as error:
            meter.fail(error)
            raise
        rpc.end(None, began)
        return reply

    return call


async def _messages(rpc: Rpc, who: Caller, bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    is_first = True
    async for body in bodies:
        message = await rpc.bounds.parsed(rpc.parse, body)
        if is_first:
            rpc.gate.check(rpc.rule, who, message)
            is_first = False
        yield message


def _stream(rpc: Rpc) -> Handler:
    async def replies(who: Caller, _: Any, context: Context, asked: list[Any]) -> Any:
        asked.append(request := await rpc.bounds.request(rpc.rule, rpc.parse, context))
        rpc.gate.check(rpc.rule, who, request)
        return rpc.run(request, context)

    return _streaming(rpc, replies)


def _exchange(rpc: Rpc) -> Handler:
    async def replies(who: Caller, bodies: Any, context: Context, _: list[Any]) -> Any:
        return rpc.run(_messages(rpc, who, bodies), context)

    return _streaming(rpc, replies)


def _streaming(rpc: Rpc, replies: Callable[[Caller, Any, Context, list[Any]], Awaitable[Any]]) -> Handler:
    """`replies` makes them for a caller, its bodies and its context, and keeps a request that is only one."""
    kind, bounds, meter, gate = rpc.rule.kind, rpc.bounds, rpc.meter, rpc.gate

    async def call(bodies: Any, context: Context) -> None:
        meter.begun += 1
        asked: list[Any] = []
        with ExitStack() as place:
            try:
                who = gate.admit(rpc.rule, context)
                # Also while a caller who does not read has the status to read: gRPC holds what is before it.
                place.enter_context(bounds.place(kind, who, context))
                async with bounds.in_time(kind):
                    with gate.stream(who):
                        await _send_all(rpc, who, await replies(who, bodies, context, asked), context)
            except grpc.aio.InternalError:
                raise rpc.caller_gone() from None
            except Exception as error:
                call_was = rpc.fail(asked[0] if asked else None, error)
                asked.clear()  # as in `_call`
                await error_details.abort(context, error, call_was)
            except BaseException as error:
                meter.fail(error)
                raise
            else:
                meter.succeeded += 1

    return call


async def _send_all(rpc: Rpc, who: Caller, replies: Any, context: Context) -> None:
    is_first = True
    async with aclosing(replies):
        async for reply in replies:
            rpc.gate.still_good(who)
            if is_first:
                await rpc.bounds.begin(context)
                is_first = False
            await rpc.bounds.send(context, reply, len(reply))
