"""The pipeline for threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from google.protobuf.message import Message

from slad_client import _calls
from slad_client._pipeline import END_TIMEOUT_S, MAX_UNDER_WAY, Backlog, Settled, call_of, deliver, expected
from slad_client._policy import UnaryCall, closed
from slad_client.errors import DeadlineExceeded, SladError, from_rpc_error
from slad_client.v1 import sla_backend_pb2 as rpc

if TYPE_CHECKING:
    from slad_client.sync import SladClient

P = ParamSpec("P")
Reply = TypeVar("Reply")

ROOM = 2 * MAX_UNDER_WAY
"""Commands that a pipeline takes before it lets its caller wait."""


def _queued(
    describe: Callable[P, UnaryCall[Reply]],
) -> Callable[Concatenate[SladPipeline, P], Future[Reply]]:
    def method(self: SladPipeline, /, *args: P.args, **kwargs: P.kwargs) -> Future[Reply]:
        return self._put(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


class SladPipeline:
    """Commands that share messages, for those who have many; `SladClient.pipeline` makes one.

    The methods are those of the client, and return futures at once; `result()` waits for the reply, and
    raises what the client's own method would raise. Up to 1,024 commands are under way; beyond 2,048 without
    an answer a method waits. Commands of one ticket are carried out in the order in which they were given.
    When the connection breaks, those that have no answer are sent again under the same request_ids, so each
    is carried out once.

        with slad.pipeline() as pipeline:
            paused = [pipeline.pause_sla(**row) for row in rows]

    May be used by several threads. `timeout` of a single command counts from its call. Leaving the block
    waits for what is under way.
    """

    start_sla_tracking = _queued(_calls.start_sla_tracking)
    pause_sla = _queued(_calls.pause_sla)
    resume_sla = _queued(_calls.resume_sla)
    complete_sla = _queued(_calls.complete_sla)
    record_sla_message = _queued(_calls.record_sla_message)
    assign_sla = _queued(_calls.assign_sla)
    cancel_sla = _queued(_calls.cancel_sla)
    retarget_sla = _queued(_calls.retarget_sla)
    reopen_sla = _queued(_calls.reopen_sla)

    def __init__(self, client: SladClient, backlog: Backlog) -> None:
        self._client = client
        self._backlog = backlog
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        """Guards the backlog and what is below; told of every change."""
        self._due = threading.Condition(lock)
        """Told when the time at which something is due may have come nearer."""
        self._stream: Any = None
        self._silent = False
        self._closing = False
        self._threads: list[threading.Thread] = []
        with client._closing:
            client._streams.add(self)

    def execute(self, commands: Iterable[rpc.SlaCommand]) -> list[Message | SladError]:
        """Carries out many commands, each on its own; what became of them, in their order.

        That is the reply of the command's own RPC, or the error which that would have raised. A command
        without a `request_id` gets one.

        Raises TypeError when something is not a SlaCommand; nothing is sent then.
        """
        calls = [call_of(command) for command in commands]
        with self._changed:
            futures = [self._put(call) for call in calls]
        return [expected(future.exception() or future.result()) for future in futures]

    def close(self) -> None:
        """Waits until everything is answered, or given up, and ends the stream."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._due.notify()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self.cancel()

    def cancel(self) -> None:
        """Ends at once: commands without an answer end with Cancelled, and may have been carried out."""
        with self._changed:
            self._closing = True
            settled = self._backlog.give_up(closed("client" if self._client._closed else "pipeline"))
            stream = self._stream
            self._changed.notify_all()
            self._due.notify()
        if stream:
            stream.cancel()
        self._client._streams.discard(self)
        deliver(settled)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self.cancel()

    # --- what goes on behind it

    def _put(self, call: UnaryCall[Any]) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled any more
        with self._changed:
            # One of the pipeline's own threads, in the callback of a future, must not wait for itself.
            while not self._closing and threading.current_thread() not in self._threads:
                if len(self._backlog) < ROOM:
                    break
                self._changed.wait()
            if self._closing:
                raise closed("client" if self._client._closed else "pipeline")
            if not self._backlog or call.timeout is not None:
                self._due.notify()
            settled = self._backlog.put(call, future)
            if not self._threads:
                for work in (self._run, self._watch_time):
                    self._threads.append(threading.Thread(target=work, name="slad-pipeline", daemon=True))
                    self._threads[-1].start()
            self._changed.notify_all()
        deliver(settled)
        return future

    def _run(self) -> None:
        """One stream after the other, as long as there is something to send."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._backlog or self._closing)
                if not self._backlog:
                    return
                pause = self._backlog.pause()
            try:
                if pause:
                    self._client._sleep(pause)
                error = self._use_a_stream()
                with self._changed:
                    settled = self._backlog.broke(error)
            except Exception as error:
                # Whatever it is, such as one of a token that cannot be had: nobody is left waiting.
                with self._changed:
                    settled = self._backlog.give_up(error) + self._backlog.broke(None)
            self._tell(settled)

    def _use_a_stream(self) -> SladError | None:
        """Sends and receives until the stream ends: with what, if not well."""
        over = threading.Event()
        stream = self._client._open_pipeline(self._messages(over))
        with self._changed:
            self._stream, self._silent = stream, False
        try:
            for response in stream:
                with self._changed:
                    settled, refused = self._backlog.answer(response)
                self._tell(settled)
                if refused:
                    return refused
        except grpc.RpcError as failure:
            if self._silent:
                return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "slad says nothing")
            return from_rpc_error(failure)
        except SladError as error:
            return error
        finally:
            with self._changed:
                over.set()
                self._stream = None
                self._changed.notify_all()
            # Nothing else ends a stream for certain: not the garbage collector, not the channel.
            stream.cancel()
        return None

    def _messages(self, over: threading.Event) -> Iterator[rpc.ExecuteSlaRequest]:
        """What gRPC sends on one stream, from a thread of its own, until the stream is `over`."""
        while True:
            with self._changed:
                # Asked under the lock: what is taken here must not be of the next stream.
                if over.is_set() or (self._closing and not self._backlog):
                    return
                message = self._backlog.message()
                if message is None:
                    self._changed.wait()
                    continue
            yield message

    def _tell(self, settled: list[Settled]) -> None:
        """The backlog has changed: tells everybody; callers outside of the lock."""
        with self._changed:
            self._changed.notify_all()
            if not self._backlog:
                self._due.notify()
        deliver(settled)

    def _watch_time(self) -> None:
        """Looks after what takes too long, until everything is answered and the stream has ended."""
        while True:
            with self._changed:
                if self._closing and not self._backlog:
                    self._changed.wait_for(lambda: self._stream is None, END_TIMEOUT_S)
                    break
                self._due.wait(self._backlog.due_in() if self._backlog else None)
                settled = self._backlog.expire()
                if settled:
                    self._changed.notify_all()
                silent = self._stream if self._backlog.is_silent else None
                self._silent = self._silent or silent is not None
            if silent:
                silent.cancel()
            deliver(settled)
        if self._stream:
            self._stream.cancel()
