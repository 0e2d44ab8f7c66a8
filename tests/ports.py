"""Ports for servers that cannot say which one they chose, or that come back where they were."""

from __future__ import annotations

import socket
from typing import Final

_HOLDERS: Final[list[socket.socket]] = []


def own_port() -> int:
    """A port of 127.0.0.1 that nobody else is given while this process lives; nothing listens there yet.

    A socket that does not listen stays bound to it, so the system hands it to no other. On Linux a server
    that sets SO_REUSEADDR, as nearly all do, may listen there all the same, once and again.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _HOLDERS.append(holder)
    return int(holder.getsockname()[1])
