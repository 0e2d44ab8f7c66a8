"""The peer: a grpc.aio server that answers every call at once, with bytes that it has ready.

It runs as slad does (uvloop, the same server options, bytes out), but neither parses nor decides nor stores.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Any, Final

import grpc
import uvloop

from slad.service.server import OPTIONS

SERVICE: Final = "benchmarks.Echo"
METHOD: Final = "Echo"


async def serve(target: str, reply: bytes) -> None:
    """Answers calls to `target` with `reply` until SIGTERM or SIGINT."""

    async def echo(_request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return reply

    server = grpc.aio.server(options=OPTIONS)
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    handlers = {METHOD: grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(target)
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="host:port to listen on")
    parser.add_argument("--reply-bytes", type=int, required=True, help="size of every reply")
    options = parser.parse_args()
    uvloop.run(serve(options.target, bytes(options.reply_bytes)))


if __name__ == "__main__":
    main()
