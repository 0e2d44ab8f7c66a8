"""Telling systemd how the daemon is (sd_notify); nothing happens where systemd is not."""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> None:
    """Sends state lines, such as READY=1, to the socket that NOTIFY_SOCKET names, if it names one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall("\n".join(lines).encode())
