"""Sends calls as bytes, and tells how they ended."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final, NamedTuple

import grpc
from slad_client.v1 import admin_pb2, test_clock_pb2
from slad_client.v1 import sla_backend_pb2 as rpc

from tests.trials.fuzz.checks import Outcome
from tests.trials.fuzz.generator import Call

DEADLINE_S: Final = 30.0
"""A call that takes longer hangs."""

PATIENCE_S: Final = 0.005
"""How long an open stream is listened to."""

MAX_FRAMES: Final = 3
"""Messages that are read from a stream."""

OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""So that a reply of any size arrives, and is found too large."""

LOST_STATUS: Final = "Internal error from Core"
"""grpc.aio's client says so, and forgets the server's status, when it writes to a stream that has just ended."""

ATTEMPTS: Final = 10
"""How often such a call is made, until its status arrives."""

LONGER_S: Final = 0.1
"""So much more time the second attempt leaves for it between two messages, the third four times as much …"""

_STATUS_KEY: Final = "grpc-status-details-bin"


class Everything(NamedTuple):
    """What callers can see at one instant, without the events."""

    statuses: list[bytes]
    consumers: dict[str, bytes]
    now: int
    """UTC epoch ms."""


class Client:
    """A channel to the daemon."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._between_messages_s = 0.0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def send(self, call: Call) -> Outcome:
        begun = perf_counter()
        arity = (call.method.client_streaming, call.method.server_streaming)
        for attempt in range(ATTEMPTS):
            self._between_messages_s = attempt**2 * LONGER_S
            outcome = await _SENDERS[arity](self, call)
            if outcome.details != LOST_STATUS:
                break
        outcome.seconds = perf_counter() - begun
        return outcome

    async def unary(self, method: str, request: Any, reply: Any) -> Any:
        """A proper call of a proper client."""
        stub = self._channel.unary_unary(method, type(request).SerializeToString, reply.FromString)
        return await stub(request, timeout=DEADLINE_S)

    async def head(self) -> int:
        """The sequence of the newest event."""
        path = "/slad.v1.SlaBackend/WatchSlaEvents"
        watch = self._channel.unary_stream(path)(b"", timeout=DEADLINE_S)
        metadata = await watch.initial_metadata()
        watch.cancel()
        return int(metadata["slad-head-sequence"])

    async def events(self, after: int) -> list[Any]:
        """All events after a sequence, of which there are some."""
        head = await self.head()
        path = "/slad.v1.SlaBackend/WatchSlaEvents"
        request = rpc.WatchSlaEventsRequest(after_sequence=after)
        watch = self._channel.unary_stream(path)(request.SerializeToString(), timeout=DEADLINE_S)
        found: list[Any] = []
        while not found or found[-1].sequence < head:
            found.extend(rpc.WatchSlaEventsResponse.FromString(await watch.read()).events)
        watch.cancel()
        return found

    async def everything(self) -> Everything:
        """All that callers can see."""
        statuses: list[bytes] = []
        token = ""
        while True:
            request = rpc.ListSlaTrackingsRequest(page_size=1_000, page_token=token)
            page = await self.unary(
                "/slad.v1.SlaBackend/ListSlaTrackings", request, rpc.ListSlaTrackingsResponse
            )
            statuses += [status.SerializeToString(deterministic=True) for status in page.trackings]
            token = page.next_page_token
            if not token:
                break
        listed = await self.unary(
            "/slad.v1.SlaAdmin/ListSlaConsumers",
            admin_pb2.ListSlaConsumersRequest(),
            admin_pb2.ListSlaConsumersResponse,
        )
        for consumer in listed.consumers:
            consumer.streams = 0  # how many are open is no state
        consumers = {consumer.consumer: consumer.SerializeToString() for consumer in listed.consumers}
        return Everything(statuses, consumers, (await self.now()).ToMilliseconds())

    async def now(self) -> Any:
        """The virtual time, as a Timestamp."""
        reply = await self.unary(
            "/slad.v1.TestClock/GetTime", test_clock_pb2.GetTimeRequest(), test_clock_pb2.GetTimeResponse
        )
        return reply.now

    # --- by the shape of the RPC

    async def _send_unary(self, call: Call) -> Outcome:
        sent = self._channel.unary_unary(call.path)(call.messages[0], timeout=DEADLINE_S)
        if call.cancelled:
            await asyncio.sleep(0)
            sent.cancel()
        return await _reply_of(sent)

    async def _send_upload(self, call: Call) -> Outcome:
        sent = self._channel.stream_unary(call.path)(timeout=DEADLINE_S)
        await self._write_all(sent, call)
        return await _reply_of(sent)

    async def _send_watch(self, call: Call) -> Outcome:
        sent = self._channel.unary_stream(call.path)(call.messages[0], timeout=DEADLINE_S)
        if call.cancelled:
            sent.cancel()
        return await _listen(sent)

    async def _send_both(self, call: Call) -> Outcome:
        sent = self._channel.stream_stream(call.path)(timeout=DEADLINE_S)
        writing = asyncio.create_task(self._write_all(sent, call))
        outcome = await _listen(sent, writing)
        await writing
        return outcome

    async def _write_all(self, sent: Any, call: Call) -> None:
        try:
            for message in call.messages:
                await sent.write(message)
                ends = perf_counter() + self._between_messages_s
                while not sent.done() and perf_counter() < ends:  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(LONGER_S / 10)
                if sent.done():
                    return
            if call.cancelled:
                sent.cancel()
            else:
                await sent.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # refused before the last message; the status tells


_SENDERS: Final = {
    (False, False): Client._send_unary,
    (True, False): Client._send_upload,
    (False, True): Client._send_watch,
    (True, True): Client._send_both,
}


async def _reply_of(sent: Any) -> Outcome:
    try:
        reply = await sent
    except grpc.aio.AioRpcError as error:
        return _failed(error.code(), error.details(), error.trailing_metadata())
    except asyncio.CancelledError:
        return Outcome(await sent.code())
    return Outcome(grpc.StatusCode.OK, replies=[reply])


async def _listen(sent: Any, writing: asyncio.Task[None] | None = None) -> Outcome:
    """Opens a stream, and reads a little of it; open is as good as answered.

    While `writing` it reads as well: gRPC does not tell that a stream has ended before its replies are read.
    """
    replies: list[bytes] = []
    try:
        metadata = await sent.initial_metadata()
        while len(replies) < MAX_FRAMES:
            patience = PATIENCE_S if metadata or replies else DEADLINE_S
            read = asyncio.ensure_future(sent.read())
            if writing is not None:
                await asyncio.wait({read, writing}, return_when=asyncio.FIRST_COMPLETED)
            frame = await asyncio.wait_for(read, patience)
            if frame is grpc.aio.EOF:
                break
            replies.append(frame)
        else:
            if writing is not None:
                await asyncio.wait({writing})
            sent.cancel()
            return Outcome(grpc.StatusCode.OK, replies=replies)
    except TimeoutError:
        sent.cancel()
        return Outcome(grpc.StatusCode.OK, replies=replies)
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass
    return _failed(await sent.code(), await sent.details(), await sent.trailing_metadata(), replies)


def _failed(
    code: grpc.StatusCode, details: str | None, trailing: Any, replies: list[bytes] | None = None
) -> Outcome:
    status = next((value for key, value in trailing or () if key == _STATUS_KEY), None)
    return Outcome(code, details or "", status, replies or [])
