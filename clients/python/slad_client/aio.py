"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from slad_client import _calls
from slad_client._aio_consumer import SlaEventConsumer
from slad_client._aio_pipeline import Commands, SladPipeline, unary
from slad_client._pipeline import Backlog
from slad_client._policy import (
    CHANNEL_OPTIONS,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_S,
    Attempts,
    Defaults,
    Ledger,
    RetryPolicy,
    Subscription,
    UnaryCall,
    Watch,
    closed,
)
from slad_client.credentials import Token, bearer
from slad_client.errors import SladError, from_rpc_error
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2
from slad_client.v1 import types_pb2 as pb
from slad_client.v1.sla_backend_pb2_grpc import SlaBackendStub
from slad_client.v1.test_clock_pb2_grpc import TestClockStub

__all__ = ["SlaEventConsumer", "SladClient", "SladPipeline", "SladTestClock"]

P = ParamSpec("P")
Reply = TypeVar("Reply")


def _pages(
    describe: Callable[P, UnaryCall[rpc.ListSlaTrackingsResponse]],
) -> Callable[Concatenate[SladClient, P], AsyncGenerator[pb.SlaStatus, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[pb.SlaStatus, None]:
        return self._page_through(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


def _replies(
    describe: Callable[P, UnaryCall[Reply]],
) -> Callable[Concatenate[SladClient, P], AsyncGenerator[Reply, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Reply, None]:
        return self._receive(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


def _stream(
    describe: Callable[P, Watch],
) -> Callable[Concatenate[SladClient, P], AsyncGenerator[pb.SlaEvent, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[pb.SlaEvent, None]:
        return self._watch(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


class SladClient(Commands):
    """slad, to be awaited. Methods are the RPCs in snake_case, and raise `slad_client.SladError`.

    Made inside the event loop that uses it, closed with `close` or `async with`.

    Args:
        target: `host:port` or `unix:PATH`.
        token: Who is calling, where slad asks for it: a token, or what gives it. Over a Unix socket none is
            needed.
        tls: Credentials for a daemon that speaks TLS; see `slad_client.tls`.
        channel: Used in place of `target`, `tls` and `options`; it stays open when the client is closed.
        timeout: Of a call, retries included: seconds or a timedelta.
        retry: How calls are repeated; NO_RETRY: not at all.
        wait_for_ready: A call waits for a daemon that is not there, as long as it may, in place of failing
            and being retried.
        options: gRPC channel options, beyond CHANNEL_OPTIONS and in place of them.
        sleep: Waits before a retry; for tests.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: Token | None = None,
        tls: grpc.ChannelCredentials | None = None,
        channel: grpc.aio.Channel | None = None,
        timeout: _calls.Span = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy | None = None,
        wait_for_ready: bool = False,
        options: Mapping[str, Any] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._defaults = Defaults(
            _calls.seconds("timeout", timeout), retry or RetryPolicy(), wait_for_ready, token
        )
        self._sleep = sleep
        self._owned: grpc.aio.Channel | None = None
        if channel is None:
            asyncio.get_running_loop()  # gRPC would quietly take up with another loop
            merged = {**CHANNEL_OPTIONS, **(options or {})}
            channel = self._owned = _open(target, tls, list(merged.items()))
        self._target = target if self._owned else "a channel of the caller"
        self._stub = SlaBackendStub(channel)
        self._streams: set[grpc.aio.Call | SladPipeline] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.SladClient of {self._target}{', closed' if self._closed else ''}>"

    retarget_sla_trackings = _replies(_calls.retarget_sla_trackings)
    get_sla_status = unary(_calls.get_sla_status)
    batch_get_sla_status = unary(_calls.batch_get_sla_status)
    get_sla_timeline = unary(_calls.get_sla_timeline)
    preview_sla = unary(_calls.preview_sla)
    annotate_sla = unary(_calls.annotate_sla)
    report_sla = unary(_calls.report_sla)
    unfold_sla_report = _replies(_calls.unfold_sla_report)
    forecast_sla = unary(_calls.forecast_sla)
    list_sla_trackings = _pages(_calls.list_sla_trackings)
    watch_sla_events = _stream(_calls.watch_sla_events)
    ack_sla_events = unary(_calls.ack_sla_events)

    def pipeline(self, *, omit_status: bool = False, timeout: _calls.Span | None = None) -> SladPipeline:
        """What takes the same commands and puts many into a message, for those who have many to send.

        With `omit_status` replies come without the status of the ticket, which costs the most. A pipeline of
        which nothing is heard for `timeout`, by default the client's, ends all commands that wait with
        Unavailable or DeadlineExceeded; until then it goes on over breaks of the connection.

        Raises ValueError for a `timeout` that is no span of time.
        """
        given = self._defaults.timeout if timeout is None else _calls.seconds("timeout", timeout)
        return SladPipeline(self, Backlog(self._defaults.retry, given, omit_status=omit_status))

    async def execute(
        self,
        commands: Iterable[rpc.SlaCommand],
        *,
        omit_status: bool = False,
        timeout: _calls.Span | None = None,  # noqa: ASYNC109 - of the pipeline
    ) -> list[Message | SladError]:
        """Carries out many commands through a pipeline of their own; what became of them, in their order.

        See `pipeline` and `SladPipeline.execute`.

        Raises TypeError when something is not a SlaCommand; nothing is sent then.
        """
        async with self.pipeline(omit_status=omit_status, timeout=timeout) as pipeline:
            return await pipeline.execute(commands)

    async def close(self) -> None:
        """Ends pipelines, and watches without further acknowledgement; closes its channel."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.cancel()
        if self._owned:
            await self._owned.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: UnaryCall[Reply]) -> Reply:
        send: Any = getattr(self._stub, call.rpc)
        attempts = Attempts(call, self._defaults)
        while not self._closed:
            try:
                reply = await send(call.request, timeout=attempts.timeout(), **self._defaults.call_options())
                return cast(Reply, reply)
            except grpc.RpcError as failure:
                delay = attempts.after(failure)
            except asyncio.CancelledError:
                if self._closed and not _being_cancelled():
                    raise closed() from None
                raise
            await self._sleep(delay)
        raise closed()

    def _open_pipeline(self) -> grpc.aio.StreamStreamCall[rpc.ExecuteSlaRequest, rpc.ExecuteSlaResponse]:
        call: Any = self._stub.ExecuteSla(**self._defaults.call_options())
        return cast("grpc.aio.StreamStreamCall[rpc.ExecuteSlaRequest, rpc.ExecuteSlaResponse]", call)

    async def _page_through(
        self, call: UnaryCall[rpc.ListSlaTrackingsResponse]
    ) -> AsyncGenerator[pb.SlaStatus, None]:
        page: UnaryCall[rpc.ListSlaTrackingsResponse] | None = call
        while page:
            reply = await self._send(page)
            for tracking in reply.trackings:
                yield tracking
            page = _calls.next_page(call, reply)

    async def _receive(self, call: UnaryCall[Reply]) -> AsyncGenerator[Reply, None]:
        if self._closed:
            raise closed()
        stream = getattr(self._stub, call.rpc)(call.request, **self._defaults.call_options())
        self._streams.add(stream)
        try:
            async for reply in stream:
                yield cast(Reply, reply)
        except grpc.RpcError as failure:
            raise from_rpc_error(failure, getattr(call.request, "request_id", "")) from failure
        except asyncio.CancelledError:
            if self._closed and not _being_cancelled():
                raise closed() from None
            raise
        finally:
            stream.cancel()
            self._streams.discard(stream)

    async def _watch(
        self, watch: Watch, opens: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[pb.SlaEvent, None]:
        subscription = Subscription(watch, self._defaults.retry)
        async with contextlib.AsyncExitStack() as stack:
            acknowledger: _Acknowledger | None = None
            if watch.acknowledge:
                acknowledger = await stack.enter_async_context(_Acknowledger(Ledger(watch), self))
            while not self._closed:
                opens()
                stream = self._stub.WatchSlaEvents(subscription.request(), **self._defaults.call_options())
                self._streams.add(stream)
                try:
                    async for reply in stream:
                        for event in subscription.fresh(reply):
                            yield event
                            if acknowledger:
                                acknowledger.deal(event.sequence)
                    delay = subscription.after(None)
                except grpc.RpcError as failure:
                    delay = subscription.after(failure)
                except asyncio.CancelledError:
                    if self._closed and not _being_cancelled():
                        return
                    raise
                finally:
                    # Nothing else ends a stream for certain: not the garbage collector, not the channel.
                    stream.cancel()
                    self._streams.discard(stream)
                await self._sleep(delay)


class SladTestClock:
    """The virtual clock of `slad serve --virtual-clock`, for a PSA's own tests.

    Args:
        target: `host:port` or `unix:PATH`.
        token: Who is calling, where slad asks for it; it needs the role admin.
        tls: Credentials for a daemon that speaks TLS; see `slad_client.tls`.
        channel: Used in place of `target` and `tls`; it stays open when the clock is closed.
        timeout: Of a call: seconds or a timedelta. Years take some seconds.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: Token | None = None,
        tls: grpc.ChannelCredentials | None = None,
        channel: grpc.aio.Channel | None = None,
        timeout: _calls.Span = 60.0,
    ) -> None:
        self._token, self._timeout = token, _calls.seconds("timeout", timeout)
        self._owned: grpc.aio.Channel | None = None
        if channel is None:
            channel = self._owned = _open(target, tls, list(CHANNEL_OPTIONS.items()))
        self._stub = TestClockStub(channel)

    async def now(self) -> datetime:
        """slad's time, in UTC. Raises Unimplemented when slad goes by real time, as do the others."""
        reply = await self._call("GetTime", test_clock_pb2.GetTimeRequest())
        return cast(datetime, reply.now.ToDatetime(UTC))

    async def advance(self, by: timedelta) -> int:
        """Moves time on. What falls due on the way is committed when it returns: so many events."""
        request = test_clock_pb2.AdvanceTimeRequest()
        request.by.FromTimedelta(by)
        return int((await self._call("AdvanceTime", request)).events_committed)

    async def advance_to(self, to: datetime) -> int:
        """Moves time to an instant, as `advance` does. Raises ValueError for a naive one."""
        request = test_clock_pb2.AdvanceTimeRequest(to=_calls.timestamp("to", to))
        return int((await self._call("AdvanceTime", request)).events_committed)

    async def close(self) -> None:
        """Closes the channel if it is the clock's."""
        if self._owned:
            await self._owned.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, name: str, request: object) -> Any:
        call: Any = getattr(self._stub, name)
        metadata = None if self._token is None else bearer(self._token)
        try:
            return await call(request, timeout=self._timeout, metadata=metadata)
        except grpc.RpcError as failure:
            raise from_rpc_error(failure) from failure


def _open(
    target: str, tls: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls, options=options)


class _Acknowledger:
    """Tells slad of the events that a watch has dealt with, in a task of its own; the last on exit."""

    def __init__(self, ledger: Ledger, client: SladClient) -> None:
        self._ledger = ledger
        self._client = client
        self._awake = asyncio.Event()
        self._stopping = False

    def deal(self, sequence: int) -> None:
        if self._ledger.deal(sequence):
            self._awake.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="slad-acknowledger")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stopping = True
        self._awake.set()
        await self._task

    async def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ledger.interval):
                    await self._awake.wait()
            self._awake.clear()
            if not self._stopping:
                await self._acknowledge()
        await self._acknowledge()

    async def _acknowledge(self) -> None:
        call = self._ledger.due()
        if call is None or self._client._closed:
            return
        try:
            await self._client._send(call)
        except SladError as error:
            self._ledger.settle(call, error)
        else:
            self._ledger.settle(call)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
