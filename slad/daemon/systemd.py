"""Telling systemd how the daemon is (sd_notify); nothing happens where systemd is not."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final

log = logging.getLogger(__name__)

STATUS_S: Final = 10.0
"""How often STATUS is sent, if the watchdog does not ask for more."""

SIGNS: Final = 3
"""Signs of life in the time after which systemd would end the daemon: two may get lost."""


def notify(*lines: str) -> None:
    """Sends state lines, such as READY=1, to the socket that NOTIFY_SOCKET names, if it names one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall("\n".join(lines).encode())
        except OSError as error:
            # A supervisor that does not listen is no reason to stop the clocks.
            log.debug("systemd cannot be notified of %s: %s", lines[0], error)


class Watchdog:
    """Tells systemd that the timer loop turns (WATCHDOG=1), and how things stand (STATUS).

    `turn_begins` is for that loop, and nothing else: when it hangs, systemd hears nothing more and restarts
    slad, however well other threads are.
    """

    def __init__(self, status: Callable[[], str]) -> None:
        self._standing = status
        self._interval_s = STATUS_S if os.environ.get("NOTIFY_SOCKET") else float("inf")
        self._state: tuple[str, ...] = ()
        watchdog_us = int(os.environ.get("WATCHDOG_USEC") or 0)
        if watchdog_us and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self._state = ("WATCHDOG=1",)
            self._interval_s = min(self._interval_s, watchdog_us / 1_000_000 / SIGNS)
        self._next = monotonic() + self._interval_s

    def turn_begins(self) -> None:
        """To be called with every turn; most calls do nothing."""
        now = monotonic()
        if now >= self._next:
            self._next = now + self._interval_s
            notify(*self._state, f"STATUS={self._standing()}")
