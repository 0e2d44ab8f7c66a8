"""`slad demo`: a day at a small service desk in a few seconds, on the virtual clock."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
import grpc
from rich.console import Group
from rich.live import Live
from rich.text import Text
from slad_client import CHANNEL_OPTIONS
from slad_client.sync import SladClient
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc, test_clock_pb2, test_clock_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import demo_day, time_text
from slad.cli.event_view import event_line
from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.explain import horizon, timeline_parts
from slad.cli.help import example
from slad.cli.output import Cell, Printer, console, fancy, output_option, show, table
from slad.cli.ticket_view import bar, lanes, left, word
from slad.config.extras import has_console
from slad.core.instants import to_datetime

FRAMES_A_SECOND: Final = 12
EVENTS_SHOWN: Final = 8
MIN_WIDTH_OF_BARS: Final = 105
AFTERWARDS: Final = (
    'slad preview --hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin --response 1h --resolution 8h'
)
"""A command that works when the demo is over."""
START_TIMEOUT_S: Final = 30.0
CONSOLE_PORT: Final = 7525


@click.command(epilog=example("slad demo --seconds 30", "slad demo --console"))
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=3_600),
    help="How long the demo takes.  [default: 10, with --console 120]",
)
@click.option(
    "--console",
    "in_browser",
    is_flag=True,
    help="Show the afternoon in a browser, by the console. Ends with Ctrl-C.",
)
@output_option()
def demo(seconds: float | None, in_browser: bool, out: Printer) -> None:
    """Watch a day of a service desk, 09:00 to 18:00 in Berlin, on the virtual clock.

    The command starts a daemon of its own with its data in a temporary directory, and removes both at the
    end. If the output is not a terminal, or with -o json, it prints the events one by one.
    """
    if in_browser:
        _show_in_browser(120.0 if seconds is None else seconds)
        return
    seconds = 10.0 if seconds is None else seconds
    with _own_daemon() as channel:
        day = _Day(channel)
        if out.is_for_people and console().is_terminal:
            _play(day, seconds)
        else:
            for event in day.events(seconds):
                out.next(event, lambda event=event: [event_line(event)], str(event.sequence))  # type: ignore[misc]
        if out.is_for_people:
            _sum_up(day)


class _Day:
    """The day under way: moves the clock, does what is due, hears what slad says."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.now = demo_day.BEGIN
        self.client = SladClient(channel=channel)
        self._clock = test_clock_pb2_grpc.TestClockStub(channel)
        self._backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
        self._coming = deque(demo_day.actions())
        self._heard = 0

    def events(self, seconds: float) -> Iterator[pb.SlaEvent]:
        """All events, while the rest of the day goes by within `seconds`."""
        frames = max(1, round(seconds * FRAMES_A_SECOND))
        begun, begin = time.monotonic(), self.now
        for frame in range(1, frames + 1):
            yield from self.go_to(begin + (demo_day.END - begin) * frame / frames)
            time.sleep(max(0.0, begun + seconds * frame / frames - time.monotonic()))

    def go_to(self, instant: datetime) -> Iterator[pb.SlaEvent]:
        """What happens until `instant`."""
        _leave_if_asked()
        while self._coming and self._coming[0].at <= instant:
            action = self._coming.popleft()
            self._advance(action.at)
            action.do(self.client, action.ticket_id)
        self._advance(instant)
        yield from self._news()

    def tickets(self) -> list[pb.SlaStatus]:
        """How all tickets stand."""
        return list(self.client.list_sla_trackings())

    def _advance(self, instant: datetime) -> None:
        request = test_clock_pb2.AdvanceTimeRequest()
        request.to.FromDatetime(instant.astimezone(UTC))
        self._clock.AdvanceTime(request)
        self.now = instant

    def _news(self) -> Iterator[pb.SlaEvent]:
        """The events since the last ones, up to the newest there is."""
        stream = self._backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=self._heard))
        head = int(dict(stream.initial_metadata())["slad-head-sequence"])
        try:
            while self._heard < head:
                for event in next(stream).events:
                    self._heard = event.sequence
                    yield event
        finally:
            stream.cancel()


def _show_in_browser(seconds: float) -> None:
    """Plays the morning at once and the afternoon before the reader's eyes, then stands still."""
    if not has_console():
        raise CommandError("the console is not installed: pip install 'slad[console]'", EXIT_CANNOT_START)
    address = f"127.0.0.1:{_free_port()}"
    with _own_daemon("--console-listen", address) as channel:
        day = _Day(channel)
        deque(day.go_to(demo_day.NOON), maxlen=0)
        url = f"http://{address}/"
        show(f"A day of a small service desk in Berlin, on the virtual clock: {url}", "")
        show(f"One ticket: {url}t/{demo_day.TENANT}/{demo_day.BREACHED}", "Ctrl-C ends the demo.")
        if _has_screen():
            webbrowser.open(url)
        deque(day.events(seconds), maxlen=0)
        show("", "It is 18:00, and the clock stands still.")
        while True:
            _leave_if_asked()
            time.sleep(1 / FRAMES_A_SECOND)


def _free_port() -> int:
    """The usual port of a console if it is free, else another."""
    for port in (CONSOLE_PORT, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise CommandError("no port is free", EXIT_CANNOT_START)


def _has_screen() -> bool:
    """Whether a browser with windows can be opened: one in the terminal would be in the way."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))


def _play(day: _Day, seconds: float) -> None:
    heard: deque[pb.SlaEvent] = deque(maxlen=EVENTS_SHOWN)
    frames = max(1, round(seconds * FRAMES_A_SECOND))
    with Live(console=console(), auto_refresh=False, transient=True, redirect_stdout=False) as live:
        begun = time.monotonic()
        for frame in range(1, frames + 1):
            instant = demo_day.BEGIN + (demo_day.END - demo_day.BEGIN) * frame / frames
            heard.extend(day.go_to(instant))
            live.update(_board(day, list(heard)), refresh=True)
            time.sleep(max(0.0, begun + seconds * frame / frames - time.monotonic()))


def _board(day: _Day, heard: list[pb.SlaEvent]) -> Group:
    """The screen at one moment."""
    minute = day.now - timedelta(seconds=day.now.second, microseconds=day.now.microsecond)
    title = Text.assemble((f" {minute:%A %H:%M %Z} ", "reverse bold"), "  a small service desk in Berlin")
    lines = [event_line(event) for event in heard]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(title, Text(), _tickets(day), Text(), *lines)


def _tickets(day: _Day) -> Group:
    rows: list[list[Cell]] = []
    bars = fancy() and console().width >= MIN_WIDTH_OF_BARS
    for status in day.tickets():
        cells: list[Cell] = [status.ticket_id, status.policy_id, word(status)]
        for lane in lanes(status):
            if bars:
                cells.append(bar(time_text.ms(lane.clock.elapsed), time_text.ms(lane.clock.target)))
            cells.append(left(lane))
        rows.append(cells)
    columns = ["RESPONSE", "", "RESOLUTION", ""] if bars else ["RESPONSE", "RESOLUTION"]
    return Group(table(["TICKET", "POLICY", "STATUS", *columns], rows))


def _sum_up(day: _Day) -> None:
    show("", _tickets(day), "")
    status = day.client.get_sla_status(ticket_id=demo_day.BREACHED).status
    until = horizon(status)
    life = day.client.get_sla_timeline(
        ticket_id=demo_day.BREACHED, until=None if until is None else to_datetime(until)
    )
    show(f"Why did {demo_day.BREACHED} breach? `slad explain {demo_day.BREACHED}` says:", "")
    show(*timeline_parts(life))
    show("", "The daemon of the demo is gone. Try it on a schedule of yours, without a daemon:", "")
    show(f"  {AFTERWARDS}")


_signals: list[int] = []
"""The signals that asked the demo to end."""


def _leave(number: int, _: object) -> None:
    _signals.append(number)
    _leave_if_asked()


def _leave_if_asked() -> None:
    """Asked again with every frame: what a handler raises is lost if it runs within a `__del__`."""
    if _signals:
        sys.exit(128 + _signals[0])


@contextmanager
def _own_daemon(*options: str) -> Iterator[grpc.Channel]:
    """A channel to a daemon on the virtual clock that lives as long as the context."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed window must not leave the daemon behind
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="slad-demo-") as folder:
        address = f"unix:{folder}/slad.sock"
        command = [
            *(sys.executable, "-m", "slad", "serve", "--listen", address, "--data", f"{folder}/data"),
            *("--virtual-clock", demo_day.BEGIN.astimezone(UTC).isoformat()),
            *options,
        ]
        log = Path(folder) / "log"
        with (
            log.open("wb") as sink,
            subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL) as process,  # noqa: S603
        ):
            try:
                with grpc.insecure_channel(address, options=list(CHANNEL_OPTIONS.items())) as channel:
                    _wait_for(channel, process, log)
                    yield channel
            finally:
                process.terminate()


def _wait_for(channel: grpc.Channel, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    ready = grpc.channel_ready_future(channel)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            ready.result(timeout=0.1)
        except grpc.FutureTimeoutError:
            continue
        return
    last = log.read_text("utf-8").strip().splitlines()[-1:]
    raise CommandError(f"the daemon of the demo did not start: {' '.join(last)}", EXIT_CANNOT_START)
