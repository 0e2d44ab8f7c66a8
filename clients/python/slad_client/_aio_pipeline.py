"""Commands in asyncio, and the pipeline, which takes them by the same methods as the client."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from slad_client import _calls
from slad_client._pipeline import END_TIMEOUT_S, Backlog, call_of, deliver, expected
from slad_client._policy import UnaryCall, closed
from slad_client.errors import DeadlineExceeded, SladError, from_rpc_error
from slad_client.v1 import sla_backend_pb2 as rpc

if TYPE_CHECKING:
    from slad_client.aio import SladClient

P = ParamSpec("P")
Reply = TypeVar("Reply")


def unary(
    describe: Callable[P, UnaryCall[Reply]],
) -> Callable[Concatenate[Commands, P], Coroutine[Any, Any, Reply]]:
    """A method that sends what `describe` makes of its arguments."""

    async def method(self: Commands, /, *args: P.args, **kwargs: P.kwargs) -> Reply:
        return await self._send(describe(*args, **kwargs))

    return _calls.method_of(describe, method)


class Commands(ABC):
    """The methods that change a ticket."""

    start_sla_tracking = unary(_calls.start_sla_tracking)
    pause_sla = unary(_calls.pause_sla)
    resume_sla = unary(_calls.resume_sla)
    complete_sla = unary(_calls.complete_sla)
    record_sla_message = unary(_calls.record_sla_message)
    assign_sla = unary(_calls.assign_sla)
    cancel_sla = unary(_calls.cancel_sla)
    retarget_sla = unary(_calls.retarget_sla)
    reopen_sla = unary(_calls.reopen_sla)

    @abstractmethod
    async def _send(self, call: UnaryCall[Reply]) -> Reply:
        """The reply. Raises SladError."""


class SladPipeline(Commands):
    """Commands that share messages, for those who have many; `SladClient.pipeline` makes one.

    What is under way at the same time goes together, up to 1,024 commands; more of them wait for their turn.
    Commands of one ticket are carried out in the order in which they were given. When the connection breaks,
    those that have no answer are sent again under the same request_ids, so each is carried out once.

        async with slad.pipeline() as pipeline:
            await asyncio.gather(*(pipeline.pause_sla(**row) for row in rows))

    A method raises what the client's own would raise, and `timeout` of a single command counts from its call.
    Leaving the block waits for what is under way.
    """

    def __init__(self, client: SladClient, backlog: Backlog) -> None:
        self._client = client
        self._backlog = backlog
        self._awake = asyncio.Event()
        self._stream: grpc.aio.Call | None = None
        self._silent = False
        self._closing = False
        self._pump: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        client._streams.add(self)

    async def execute(self, commands: Iterable[rpc.SlaCommand]) -> list[Message | SladError]:
        """Carries out many commands, each on its own; what became of them, in their order.

        That is the reply of the command's own RPC, or the error which that would have raised. A command
        without a `request_id` gets one.

        Raises TypeError when something is not a SlaCommand; nothing is sent then.
        """
        futures = [self._put(call) for call in [call_of(command) for command in commands]]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        return [expected(outcome) for outcome in outcomes]

    async def close(self) -> None:
        """Waits until everything is answered, or given up, and ends the stream."""
        self._closing = True
        self._awake.set()
        if self._pump:
            await asyncio.gather(self._pump, return_exceptions=True)
        self.cancel()

    def cancel(self) -> None:
        """Ends at once: commands without an answer end with Cancelled, and may have been carried out."""
        self._closing = True
        self._client._streams.discard(self)
        deliver(self._backlog.give_up(closed("client" if self._client._closed else "pipeline")))
        for task in (self._pump, self._timer):
            if task:
                task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            await self.close()
        else:
            self.cancel()

    # --- what goes on behind it

    async def _send(self, call: UnaryCall[Reply]) -> Reply:
        return cast(Reply, await self._put(call))

    def _put(self, call: UnaryCall[Any]) -> asyncio.Future[Any]:
        if self._closing:
            raise closed("client" if self._client._closed else "pipeline")
        future = asyncio.get_running_loop().create_future()
        deliver(self._backlog.put(call, future))
        self._awake.set()
        if self._timer is None or call.timeout is not None:
            self._watch_time()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run(), name="slad-pipeline")
        return future

    async def _run(self) -> None:
        """One stream after the other, as long as there is something to send."""
        try:
            while self._backlog or not self._closing:
                if not self._backlog:
                    await self._wait()
                    continue
                if pause := self._backlog.pause():
                    await self._client._sleep(pause)
                deliver(self._backlog.broke(await self._use_a_stream()))
        except Exception as error:
            # Whatever it is, such as one of a token that cannot be had: nobody is left waiting.
            deliver(self._backlog.give_up(error))
            deliver(self._backlog.broke(None))

    async def _use_a_stream(self) -> SladError | None:
        """Sends and receives until the stream ends: with what, if not well."""
        self._silent = False
        self._stream = stream = self._client._open_pipeline()
        feeding = asyncio.create_task(self._feed(stream), name="slad-pipeline-feed")
        try:
            async for response in stream:
                settled, refused = self._backlog.answer(response)
                deliver(settled)
                self._awake.set()
                if refused:
                    return refused
        except grpc.RpcError as failure:
            return from_rpc_error(failure)
        except SladError as error:
            return error
        except asyncio.CancelledError:
            if not self._silent:
                raise
            return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "slad says nothing")
        finally:
            self._stream = None
            # Nothing else ends a stream for certain: not the garbage collector, not the channel.
            stream.cancel()
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        return None

    async def _feed(
        self, stream: grpc.aio.StreamStreamCall[rpc.ExecuteSlaRequest, rpc.ExecuteSlaResponse]
    ) -> None:
        while self._backlog or not self._closing:
            if message := self._backlog.message():
                await stream.write(message)
            else:
                await self._wait()
        await stream.done_writing()
        await asyncio.sleep(END_TIMEOUT_S)
        stream.cancel()

    async def _wait(self) -> None:
        self._awake.clear()
        if self._backlog or not self._closing:
            await self._awake.wait()

    def _watch_time(self) -> None:
        """Looks after what takes too long, as long as something is under way."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        deliver(self._backlog.expire())
        self._awake.set()
        if self._backlog.is_silent and self._stream:
            self._silent = True
            self._stream.cancel()
        if self._backlog:
            self._timer = asyncio.get_running_loop().call_later(self._backlog.due_in(), self._watch_time)
