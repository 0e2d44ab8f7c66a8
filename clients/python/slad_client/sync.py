"""The client that blocks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from slad_client import _calls
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
from slad_client._sync_consumer import SlaEventConsumer
from slad_client._sync_pipeline import SladPipeline
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


def _unary(describe: Callable[P, UnaryCall[Reply]]) -> Callable[Concatenate[SladClient, P], Reply]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> Reply:
        return self._send(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


def _pages(
    describe: Callable[P, UnaryCall[rpc.ListSlaTrackingsResponse]],
) -> Callable[Concatenate[SladClient, P], Generator[pb.SlaStatus, None, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> Generator[pb.SlaStatus, None, None]:
        return self._page_through(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


def _replies(
    describe: Callable[P, UnaryCall[Reply]],
) -> Callable[Concatenate[SladClient, P], Generator[Reply, None, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> Generator[Reply, None, None]:
        return self._receive(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


def _stream(
    describe: Callable[P, Watch],
) -> Callable[Concatenate[SladClient, P], Generator[pb.SlaEvent, None, None]]:
    def method(self: SladClient, /, *args: P.args, **kwargs: P.kwargs) -> Generator[pb.SlaEvent, None, None]:
        return self._watch(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


class SladClient:
    """slad, call by call. Methods are the RPCs in snake_case, and raise `slad_client.SladError`.

    May be used by several threads; closed with `close` or `with`.

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
        channel: grpc.Channel | None = None,
        timeout: _calls.Span = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy | None = None,
        wait_for_ready: bool = False,
        options: Mapping[str, Any] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._defaults = Defaults(
            _calls.seconds("timeout", timeout), retry or RetryPolicy(), wait_for_ready, token
        )
        self._sleep = sleep
        self._owned: grpc.Channel | None = None
        if channel is None:
            merged = {**CHANNEL_OPTIONS, **(options or {})}
            channel = self._owned = _open(target, tls, list(merged.items()))
        self._target = target if self._owned else "a channel of the caller"
        self._stub = SlaBackendStub(channel)
        self._streams: set[grpc.RpcContext | SladPipeline] = set()
        self._closed = False
        self._closing = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.SladClient of {self._target}{', closed' if self._closed else ''}>"

    start_sla_tracking = _unary(_calls.start_sla_tracking)
    pause_sla = _unary(_calls.pause_sla)
    resume_sla = _unary(_calls.resume_sla)
    complete_sla = _unary(_calls.complete_sla)
    record_sla_message = _unary(_calls.record_sla_message)
    assign_sla = _unary(_calls.assign_sla)
    cancel_sla = _unary(_calls.cancel_sla)
    retarget_sla = _unary(_calls.retarget_sla)
    retarget_sla_trackings = _replies(_calls.retarget_sla_trackings)
    reopen_sla = _unary(_calls.reopen_sla)
    get_sla_status = _unary(_calls.get_sla_status)
    batch_get_sla_status = _unary(_calls.batch_get_sla_status)
    get_sla_timeline = _unary(_calls.get_sla_timeline)
    preview_sla = _unary(_calls.preview_sla)
    annotate_sla = _unary(_calls.annotate_sla)
    report_sla = _unary(_calls.report_sla)
    unfold_sla_report = _replies(_calls.unfold_sla_report)
    forecast_sla = _unary(_calls.forecast_sla)
    list_sla_trackings = _pages(_calls.list_sla_trackings)
    watch_sla_events = _stream(_calls.watch_sla_events)
    ack_sla_events = _unary(_calls.ack_sla_events)

    def pipeline(self, *, omit_status: bool = False, timeout: _calls.Span | None = None) -> SladPipeline:
        """What takes the same commands and puts many into a message, for those who have many to send.

        With `omit_status` replies come without the status of the ticket, which costs the most. A pipeline of
        which nothing is heard for `timeout`, by default the client's, ends all commands that wait with
        Unavailable or DeadlineExceeded; until then it goes on over breaks of the connection.

        Raises ValueError for a `timeout` that is no span of time.
        """
        given = self._defaults.timeout if timeout is None else _calls.seconds("timeout", timeout)
        return SladPipeline(self, Backlog(self._defaults.retry, given, omit_status=omit_status))

    def execute(
        self,
        commands: Iterable[rpc.SlaCommand],
        *,
        omit_status: bool = False,
        timeout: _calls.Span | None = None,
    ) -> list[Message | SladError]:
        """Carries out many commands through a pipeline of their own; what became of them, in their order.

        See `pipeline` and `SladPipeline.execute`.

        Raises TypeError when something is not a SlaCommand; nothing is sent then.
        """
        with self.pipeline(omit_status=omit_status, timeout=timeout) as pipeline:
            return pipeline.execute(commands)

    def close(self) -> None:
        """Ends pipelines, and watches without further acknowledgement; closes its channel.

        May be called from another thread than the one that watches.
        """
        with self._closing:
            self._closed = True
            streams = tuple(self._streams)
        for stream in streams:
            stream.cancel()
        if self._owned:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: UnaryCall[Reply]) -> Reply:
        send: Any = getattr(self._stub, call.rpc)
        attempts = Attempts(call, self._defaults)
        while not self._closed:
            try:
                reply = send(call.request, timeout=attempts.timeout(), **self._defaults.call_options())
                return cast(Reply, reply)
            except grpc.RpcError as failure:
                delay = attempts.after(failure)
            except ValueError:
                if self._closed:  # just now, by another thread
                    raise closed() from None
                raise
            self._sleep(delay)
        raise closed()

    def _open_pipeline(self, messages: Iterator[rpc.ExecuteSlaRequest]) -> Any:
        return self._stub.ExecuteSla(messages, **self._defaults.call_options())

    def _page_through(
        self, call: UnaryCall[rpc.ListSlaTrackingsResponse]
    ) -> Generator[pb.SlaStatus, None, None]:
        page: UnaryCall[rpc.ListSlaTrackingsResponse] | None = call
        while page:
            reply = self._send(page)
            yield from reply.trackings
            page = _calls.next_page(call, reply)

    def _receive(self, call: UnaryCall[Reply]) -> Generator[Reply, None, None]:
        with self._closing:
            if self._closed:
                raise closed()
            stream = getattr(self._stub, call.rpc)(call.request, **self._defaults.call_options())
            self._streams.add(stream)
        try:
            for reply in stream:
                yield cast(Reply, reply)
        except grpc.RpcError as failure:
            if self._closed:
                raise closed() from None
            raise from_rpc_error(failure, getattr(call.request, "request_id", "")) from failure
        finally:
            stream.cancel()
            self._streams.discard(stream)

    def _watch(
        self, watch: Watch, opens: Callable[[], None] = lambda: None
    ) -> Generator[pb.SlaEvent, None, None]:
        subscription = Subscription(watch, self._defaults.retry)
        with contextlib.ExitStack() as stack:
            acknowledger: _Acknowledger | None = None
            if watch.acknowledge:
                acknowledger = stack.enter_context(_Acknowledger(Ledger(watch), self))
            while True:
                opens()
                with self._closing:
                    if self._closed:
                        return
                    stream = self._stub.WatchSlaEvents(
                        subscription.request(), **self._defaults.call_options()
                    )
                    self._streams.add(stream)
                try:
                    for reply in stream:
                        for event in subscription.fresh(reply):
                            yield event
                            if acknowledger:
                                acknowledger.deal(event.sequence)
                    delay = subscription.after(None)
                except grpc.RpcError as failure:
                    if self._closed:
                        return
                    delay = subscription.after(failure)
                finally:
                    # Nothing else ends a stream for certain: not the garbage collector, not the channel.
                    stream.cancel()
                    self._streams.discard(stream)
                self._sleep(delay)


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
        channel: grpc.Channel | None = None,
        timeout: _calls.Span = 60.0,
    ) -> None:
        self._token, self._timeout = token, _calls.seconds("timeout", timeout)
        self._owned: grpc.Channel | None = None
        if channel is None:
            channel = self._owned = _open(target, tls, list(CHANNEL_OPTIONS.items()))
        self._stub = TestClockStub(channel)

    def now(self) -> datetime:
        """slad's time, in UTC. Raises Unimplemented when slad goes by real time, as do the others."""
        reply = self._call("GetTime", test_clock_pb2.GetTimeRequest())
        return cast(datetime, reply.now.ToDatetime(UTC))

    def advance(self, by: timedelta) -> int:
        """Moves time on. What falls due on the way is committed when it returns: so many events."""
        request = test_clock_pb2.AdvanceTimeRequest()
        request.by.FromTimedelta(by)
        return int((self._call("AdvanceTime", request)).events_committed)

    def advance_to(self, to: datetime) -> int:
        """Moves time to an instant, as `advance` does. Raises ValueError for a naive one."""
        request = test_clock_pb2.AdvanceTimeRequest(to=_calls.timestamp("to", to))
        return int((self._call("AdvanceTime", request)).events_committed)

    def close(self) -> None:
        """Closes the channel if it is the clock's."""
        if self._owned:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, name: str, request: object) -> Any:
        call: Any = getattr(self._stub, name)
        metadata = None if self._token is None else bearer(self._token)
        try:
            return call(request, timeout=self._timeout, metadata=metadata)
        except grpc.RpcError as failure:
            raise from_rpc_error(failure) from failure


def _open(target: str, tls: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, tls, options=options)


class _Acknowledger:
    """Tells slad of the events that a watch has dealt with, from a thread of its own; the last on exit."""

    def __init__(self, ledger: Ledger, client: SladClient) -> None:
        self._ledger = ledger
        self._client = client
        self._awake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="slad-acknowledger", daemon=True)

    def deal(self, sequence: int) -> None:
        if self._ledger.deal(sequence):
            self._awake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping = True
        self._awake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._awake.wait(self._ledger.interval)
            self._awake.clear()
            if not self._stopping:
                self._acknowledge()
        self._acknowledge()

    def _acknowledge(self) -> None:
        call = self._ledger.due()
        if call is None or self._client._closed:
            return
        try:
            self._client._send(call)
        except SladError as error:
            self._ledger.settle(call, error)
        else:
            self._ledger.settle(call)
